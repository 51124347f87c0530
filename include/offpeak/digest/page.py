"""The page: an edition as one self-contained HTML document that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from offpeak.digest import wording
from offpeak.digest.edition import Edition
from offpeak.report.templates import environment_of
from offpeak.report.wording import exactly, number, plural, shown

if TYPE_CHECKING:
    from jinja2 import Environment

WIDTH, HEIGHT, GAP = 168.0, 36.0, 1.5


class Bar(NamedTuple):
    """One period of a trend, in the picture's own units."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    """`now`, `like` (the same weekday), `past`, or `unknown`: before the source begins."""


def page(edition: Edition, *, earlier: str = "") -> str:
    """The HTML. Every text in it is escaped, and invisible characters are made visible. `earlier` is the file of
    the night before, beside this one."""
    return _environment().get_template("page.html").render(edition=edition, earlier=earlier, wording=wording)


def bars(trend: Sequence[int | None]) -> list[Bar]:
    """A trend as bars on one base line, the latest at the right; a period of nothing is a hair, not a gap."""
    if not trend:
        return []
    most = max([value for value in trend if value is not None], default=0) or 1
    step = WIDTH / len(trend)
    made = []
    for place, value in enumerate(trend):
        height = 1.0 if not value else max(1.5, HEIGHT * value / most)
        back = len(trend) - 1 - place
        known = "now" if not back else "like" if back % 7 == 0 else "past"
        kind = "unknown" if value is None else known
        made.append(
            Bar(
                round(place * step, 2),
                round(HEIGHT - height, 2),
                round(step - GAP, 2),
                round(height, 2),
                kind,
            )
        )
    return made


def _counts(trend: Sequence[int | None]) -> str:
    """The trend in words, for those who do not see it."""
    known = [value for value in trend if value is not None]
    if not known:
        return "no trend yet"
    return f"{known[-1]:,} now; {plural(len(known), 'period')}, between {min(known):,} and {max(known):,}"


def _hour(at: datetime) -> str:
    """`24 Nov, 09:44`; the foot of the page names the zone."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b, %H:%M}"


@cache
def _environment() -> Environment:
    return environment_of(
        "digest",
        finalize=shown,
        filters={
            "number": number,
            "plural": plural,
            "hour": _hour,
            "exactly": exactly,
            "bars": bars,
            "counts": _counts,
        },
    )
