"""What is aimed at, beside what was reached: the first table of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.bench.contenders import OURS
from tests.bench.record import Record

RATIOS = (
    ("build", "common-ai", 25.0),
    ("build", "pandas + json", 20.0),
    ("build", "plain write", 0.2),
    ("chat", "common-ai", 6.0),
    ("chat", "pandas + json", 5.0),
    ("anthropic", "common-ai", 20.0),
    ("floats", "json + numpy", 6.0),
    ("base64", "json + numpy", 12.0),
)
"""(part, contender, how many times as fast we are at least)."""
PEAKS = ("build", "chat", "anthropic")
MOST_PEAK_MB, MOST_GROWTH = 250.0, 1.1
MOST_CPU_SECONDS, WHOLE_ROWS = 40.0, 1_000_000
MOST_SECOND_SHARE = 1 / 3
MOST_POLLING_SHARE, MOST_NOTICE_SECONDS = 0.05, 40.0
"""A 30 second interval, at most a fifth more of it, and what the batches age meanwhile."""
MOST_AIRFLOW_SECONDS, MOST_HELP_SECONDS = 30.0, 0.3


class Reached(NamedTuple):
    """A goal and where we are."""

    what: str
    goal: str
    reached: str
    met: bool


def reached(found: Sequence[Record]) -> Iterator[Reached]:
    """Every goal of which something was measured."""
    for part, contender, least in RATIOS:
        yield from _ratios([one for one in found if one.part == part], contender, least)
    for part in PEAKS:
        yield from _peaks([one for one in found if one.part == part])
    for one in found:
        yield from _single(one)


def _ratios(found: Sequence[Record], contender: str, least: float) -> Iterator[Reached]:
    for one in found:
        ours, theirs = one.line(OURS), one.line(contender)
        if ours is None or theirs is None:
            continue
        times = theirs.wall_seconds / max(ours.wall_seconds, 0.001)
        cpu = theirs.cpu_seconds / max(ours.cpu_seconds, 0.001)
        yield Reached(
            f"{one.part}, {one.rows:,} rows",
            f"≥ {least:g} × {contender}",
            f"{times:.2f} × (CPU {cpu:.2f} ×)",
            times >= least,
        )


def _peaks(found: Sequence[Record]) -> Iterator[Reached]:
    peaks = [(one.rows, ours.peak_mb) for one in found if (ours := one.line(OURS))]
    for rows, peak in peaks:
        growth = peak / peaks[0][1]
        yield Reached(
            f"{found[0].part}, {rows:,} rows",
            f"≤ {MOST_PEAK_MB:g} MB, and no more with more rows (± 10 %)",
            f"{peak:,.0f} MB, {growth:.2f} × that of {peaks[0][0]:,}",
            peak <= MOST_PEAK_MB and growth <= MOST_GROWTH,
        )


def _single(one: Record) -> Iterator[Reached]:
    ours = one.line(OURS)
    assert ours is not None
    extra = ours.extra
    if one.part == "whole":
        first, second = extra["first_cpu_seconds"], extra["second_cpu_seconds"]
        most = MOST_CPU_SECONDS * one.rows / WHOLE_ROWS
        yield Reached(
            f"whole, {one.rows:,} rows", f"≤ {most:g} s of own CPU", f"{first:.1f} s", first <= most
        )
        requests, changed = extra["second_requests"], extra["changed_rows"]
        yield Reached(
            f"second night, {one.rows:,} rows",
            "≤ 1/3 of the first one's CPU, requests = changed rows",
            f"{second / first:.2f}; {requests:,.0f} requests for {changed:,.0f} changed rows",
            second <= MOST_SECOND_SHARE * first and requests == changed,
        )
    elif one.part == "polling":
        share, late = extra["cpu_share"], extra["noticed_last_seconds"]
        yield Reached(
            f"polling, {one.rows:,} batches",
            f"≤ 5 % of a core, every end noticed within {MOST_NOTICE_SECONDS:g} s",
            f"{100 * share:.1f} %, the last after {late:.1f} s",
            share <= MOST_POLLING_SHARE and late <= MOST_NOTICE_SECONDS,
        )
    elif one.part == "airflow":
        took = extra["published_median_seconds"]
        yield Reached(
            "Airflow, 20 shards",
            f"≤ {MOST_AIRFLOW_SECONDS:g} s to the table",
            f"{took:.1f} s",
            took <= MOST_AIRFLOW_SECONDS,
        )
    elif one.part == "startup":
        took = ours.wall_seconds
        yield Reached(
            "offpeak --help", f"≤ {MOST_HELP_SECONDS:g} s", f"{took:.2f} s", took <= MOST_HELP_SECONDS
        )
