"""The page and the picture: docs/nights.md between its marks, and docs/nights.svg, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.nights.scenario import SCENARIOS, Scenario
from tests.nights.year import Year, at_rank

BEGIN, END = "<!-- figures: written by `make nights` -->", "<!-- end of figures -->"
COLOURS = {
    "batch only": "#b45309",
    "realtime only": "#6b7280",
    "fixed cut-off": "#2563eb",
    "Offpeak": "#059669",
}
GOAL_ON_TIME, GOAL_COST = 0.999, 0.55
WIDTH, HEIGHT, PANEL = 190, 210, 36
RARE = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Shares of late nights with a line in the plot."""


def text(years: Sequence[Year], *, nights: int, seed: int) -> str:
    """The figures as Markdown, marks included."""
    head = [
        BEGIN,
        "",
        f"{nights:,} nights for each line, seed {seed}; all policies live through the same nights.",
        "",
        "| workload | policy | on time | cost | went realtime | late: median | late: 99 % |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [
        f"| {year.scenario.name} | {year.policy} | {share(year.on_time)} | {year.cost:.3f} "
        f"| {year.escalated:.1%} of the nights | {minutes(year, 0.5)} | {minutes(year, 0.99)} |"
        for year in years
    ]
    return "\n".join([*head, *rows, "", *verdicts(years), "", END])


def share(value: float) -> str:
    return f"{100 * value:.2f} %"


def minutes(year: Year, level: float) -> str:
    late = at_rank(year.late_minutes, level)
    return "never" if late is None else f"{late:,.0f} min"


def verdicts(years: Sequence[Year]) -> list[str]:
    """One sentence for each workload: where the goal holds, and where not."""
    found = []
    for scenario in SCENARIOS:
        of = {year.policy: year for year in years if year.scenario == scenario}
        if "Offpeak" in of and "batch only" in of:
            found.append(f"- {scenario.name}: {_verdict(of['Offpeak'], of['batch only'])}")
    return found


def _verdict(mine: Year, batch: Year) -> str:
    in_time, cheap = mine.on_time >= GOAL_ON_TIME, mine.cost <= GOAL_COST
    goal = {
        (True, True): "the goal holds",
        (True, False): "on time, but dearer than the goal",
        (False, True): "cheap enough, but late more often than the goal allows",
    }.get((in_time, cheap), "the goal does not hold")
    low, high = interval(len(mine.late_minutes), len(mine.outcomes))
    held = (
        ""
        if mine.p90_held is None
        else f" The p90 made at submission held for {mine.p90_held:.1%} of the batches."
    )
    return (
        f"{goal}: {share(mine.on_time)} on time (95 % interval {share(1 - high)} to {share(1 - low)}) at "
        f"{mine.cost:.3f} of realtime, where batches alone miss {share(1 - batch.on_time)}. "
        f"The dearest night cost {mine.dearest:.2f}; {mine.beyond_bound or 'no'} night"
        f"{'s were' if mine.beyond_bound > 1 else ' was'} above the bound.{held}"
    )


def interval(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, p = 1.96, count / total
    middle = p + z * z / (2 * total)
    spread = z * ((p * (1 - p) + z * z / (4 * total)) / total) ** 0.5
    return max((middle - spread) / (1 + z * z / total), 0.0), (middle + spread) / (1 + z * z / total)


def picture(years: Sequence[Year]) -> str:
    """One panel a workload: cost to the right, late nights upwards on a logarithmic scale; the goal is shaded."""
    scenarios = [one for one in SCENARIOS if any(year.scenario == one for year in years)]
    width, height = (WIDTH + PANEL) * len(scenarios) + PANEL, HEIGHT + 90
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="11" role="img">',
        "<title>Late nights and cost of four policies</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, scenario in enumerate(scenarios):
        parts += _panel(
            PANEL + number * (WIDTH + PANEL), scenario, [y for y in years if y.scenario == scenario]
        )
    for number, (policy, colour) in enumerate(COLOURS.items()):
        x = PANEL + number * 130
        parts.append(f'<circle cx="{x}" cy="{height - 12}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{x + 9}" y="{height - 8}">{escape(policy)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: int, scenario: Scenario, years: Sequence[Year]) -> list[str]:
    top = 30
    parts = [
        f'<text x="{left}" y="18" font-weight="bold">{escape(scenario.name)}</text>',
        f'<rect x="{left}" y="{top + _y(1 - GOAL_ON_TIME):.1f}" width="{_x(GOAL_COST):.1f}" '
        f'height="{HEIGHT - _y(1 - GOAL_ON_TIME):.1f}" fill="#d1fae5"/>',
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#9ca3af"/>',
    ]
    for rare in RARE:
        y = top + _y(rare)
        parts.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        parts.append(
            f'<text x="{left - 3}" y="{y + 3:.1f}" text-anchor="end" font-size="8">{100 * rare:g} %</text>'
        )
    for cost in (0.5, 0.75, 1.0):
        at = left + _x(cost)
        parts.append(f'<text x="{at:.1f}" y="{top + HEIGHT + 14}" text-anchor="middle">{cost:g}</text>')
    parts.append(f'<text x="{left}" y="{top + HEIGHT + 30}" fill="#6b7280">late nights over cost</text>')
    for year in years:
        x, y = left + _x(year.cost), top + _y(1 - year.on_time)
        said = f"{year.policy}: {share(year.on_time)} on time at {year.cost:.3f}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[year.policy]}" fill-opacity="0.85">'
            f"<title>{escape(said)}</title></circle>"
        )
    return parts


def _x(cost: float) -> float:
    return (cost - 0.45) / 0.6 * WIDTH


def _y(late: float) -> float:
    """From the top; a year without a late night lies on the ground line."""
    from math import log10

    high, low = log10(0.5), log10(0.0002)
    return HEIGHT * (high - log10(max(late, 0.0002))) / (high - low)
