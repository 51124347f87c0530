"""Wording: the numbers of a digest as its readers see them, on the page and in the mail alike. Pure functions."""

from __future__ import annotations

from offpeak.digest.edition import Edition, GroupPart, Numbers
from offpeak.digest.night import WEEK
from offpeak.report.wording import plural, usd

AS_USUAL = 0.05
"""A smaller change than this is none."""
TIMES = 2.0
"""From here on a change is told as so many times the usual."""


def title(edition: Edition) -> str:
    """`Tuesday, 24 November 2026`, or the stretch of time."""
    if edition.whole_day:
        date = edition.night.date
        return f"{date:%A}, {date.day} {date:%B %Y}"
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(edition.night.zone)
    start, end = edition.night.start.astimezone(zone), edition.night.end.astimezone(zone)
    return f"{start.day} {start:%b %Y, %H:%M} to {end.day} {end:%b %Y, %H:%M}"


def summary(edition: Edition) -> str:
    """What the night was, in a sentence."""
    if not edition.whole.items:
        return f"No items on {title(edition)}."
    said = (
        f"{plural(edition.whole.items, 'item')} in {plural(len(edition.parts), 'group')}, "
        f"{plural(edition.statements, 'statement')}, each with its sources."
    )
    if missing := len(edition.unanswered):
        said += f" {plural(missing, 'group')} without an answer."
    return said


def change(numbers: Numbers) -> str:
    """`+18 %`, `as usual`, `3.1 times the usual`; empty where nothing is known to compare with."""
    if numbers.change is None:
        return ""
    if abs(numbers.change) < AS_USUAL:
        return "as usual"
    if numbers.change >= TIMES - 1:
        return f"{numbers.change + 1:.1f} times the usual"
    return f"{'+' if numbers.change > 0 else '−'}{abs(numbers.change):.0%}".replace("%", " %")


def usual(numbers: Numbers, edition: Edition) -> str:
    """`usual for a Tuesday: 123`; empty where nothing is known."""
    if numbers.usual is None:
        return ""
    mean = f"{numbers.usual:,.0f}" if numbers.usual >= 10 else f"{numbers.usual:.1f}"
    weekly = edition.night.usual == WEEK and edition.whole_day
    return f"usual for a {edition.night.date:%A}: {mean}" if weekly else f"usual: {mean}"


def basis(edition: Edition) -> str:
    """What `usual` means, for the foot of the page."""
    if edition.night.usual == WEEK:
        return "The usual is the mean of the same hours of the same weekday in the four weeks before."
    return "The usual is the mean of the four stretches of the same length before."


def cost(edition: Edition) -> str:
    """What the night cost, and what it would have cost in realtime."""
    spent = edition.cost
    asked = f"{plural(spent.requests, 'request')} in {plural(edition.stages, 'stage')}"
    if not spent.requests:
        return f"Nothing was asked anew: every answer was there already ({asked})."
    if spent.actual_usd is None:
        return f"{asked}; the cost is not known, for {edition.model} has no price here."
    beside = (
        "" if spent.realtime_usd is None else f"; in realtime it would have been {usd(spent.realtime_usd)}"
    )
    return f"{asked} for {usd(spent.actual_usd)}{beside}."


def missing(edition: Edition) -> list[str]:
    """What is not in the digest although it belongs there, a sentence each."""
    left, said = edition.left_out, []
    said += [f"{part.name} got no answer ({part.why})." for part in edition.unanswered]
    said += [_unread(part) for part in edition.parts if part.unread and not part.why]
    said += [f"{name}: {plural(items, 'item')}, none with a text." for name, items in edition.textless]
    counted = (
        (left.unreadable, "record", "of the source could not be read"),
        (left.undated, "item", "of the source without a readable time, of whatever day"),
        (left.repeated, "item", "under a key that an earlier one has"),
        (left.textless, "item", "without a text: counted, but there was nothing to read"),
    )
    said += [f"{plural(count, one)} {what}." for count, one, what in counted if count]
    return said + [f"Could not be read: {example}" for example in left.examples]


def _unread(part: GroupPart) -> str:
    return f"{part.name}: {plural(part.unread, 'item')} of {part.numbers.items:,} lay in windows that got no answer."


def quiet(edition: Edition) -> str:
    """Groups that usually have items and had none."""
    return ", ".join(f"{name} (usually {usual:,.0f})" for name, usual in edition.quiet)
