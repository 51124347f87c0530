"""The page: facts as one self-contained HTML document that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from offpeak.report import wording
from offpeak.report.facts import Facts
from offpeak.report.templates import environment_of

if TYPE_CHECKING:
    from jinja2 import Environment

SHARDS_OPEN = 20
"""With more lines than this the shards' table is folded away."""
SHARDS_SHOWN = 500
"""More lines than this are in the JSON only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stage on the time line; in per cent of its width."""

    name: str
    left: float
    width: float
    seconds: float
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLine:
    bars: tuple[Bar, ...]
    due: float | None
    """Where due is; None when it is far outside."""


def page(facts: Facts) -> str:
    """The HTML. Every text in it is escaped, and invisible characters are made visible."""
    return (
        _environment()
        .get_template("page.html")
        .render(
            facts=facts,
            timeline=timeline(facts),
            now=facts.made_at,
            shards_open=SHARDS_OPEN,
            shards_shown=SHARDS_SHOWN,
            text_characters=wording.TEXT_CHARACTERS,
        )
    )


def timeline(facts: Facts) -> TimeLine:
    """Stages between the start and the end (or now), and due when it does not squeeze them."""
    timing, due = facts.timing, facts.headline.due_at
    start = timing.started_at
    end = max(
        [
            start + timedelta(seconds=max(timing.seconds, 0.001)),
            *(one.ended_at or facts.made_at for one in timing.stages),
        ]
    )
    if due is not None and start < due <= start + 2 * (end - start):
        end = max(end, due)
    whole = (end - start).total_seconds()

    def place(at: datetime) -> float:
        return min(100.0, max(0.0, 100 * (at - start).total_seconds() / whole))

    bars = []
    for one in timing.stages:
        left, right = place(one.started_at), place(one.ended_at or facts.made_at)
        bars.append(
            Bar(
                name=one.name,
                left=round(min(left, 99.5), 2),
                width=round(max(right - left, 0.5), 2),
                seconds=one.seconds,
                live=one.ended_at is None,
            )
        )
    shown = due is not None and start <= due <= end
    return TimeLine(bars=tuple(bars), due=round(place(due), 2) if due and shown else None)


@cache
def _environment() -> Environment:
    return environment_of("report", finalize=wording.shown, filters=_FILTERS)


def _iso(at: datetime) -> str:
    return at.isoformat()


_FILTERS: Mapping[str, Any] = {
    "number": wording.number,
    "usd": wording.usd,
    "share": wording.share,
    "points": wording.points,
    "span": wording.span,
    "moment": wording.moment,
    "exactly": wording.exactly,
    "briefly": wording.briefly,
    "clock": wording.clock,
    "plural": wording.plural,
    "iso": _iso,
}
