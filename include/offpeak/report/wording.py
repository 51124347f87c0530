"""Wording: numbers, money, times and foreign text as a reader of the report sees them. Pure functions."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from offpeak.checks.plain import percent

UNKNOWN = "not known"
TEXT_CHARACTERS = 300
"""So much of a model's or a row's text is shown; its full length is named beside it."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ORDINARY = frozenset("\n\t\u200d\ufe0f")  # the joiner and the selector make emoji of several characters


def shown(value: Any) -> Any:
    """Text in which every control, bidi and other invisible character is visible as `⟨U+202E⟩`.

    What such a character does to a line (turn it round, hide a part) then cannot happen to the page.
    """
    if not isinstance(value, str) or (value.isascii() and value.isprintable()):
        return value
    if all(char in _ORDINARY or unicodedata.category(char) not in _UNSEEN for char in value):
        return value
    cleaned = "".join(
        f"⟨U+{ord(char):04X}⟩" if char not in _ORDINARY and unicodedata.category(char) in _UNSEEN else char
        for char in value
    )
    return type(value)(cleaned)  # a text that is marked as safe HTML stays so


def number(value: Any) -> str:
    """`3,080`, or words where it is not known."""
    if value is None:
        return UNKNOWN
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def usd(amount: Decimal | None) -> str:
    """Dollars to the cent, and below a dollar to the hundredth of a cent, so that small runs do not read $0.00."""
    if amount is None:
        return UNKNOWN
    sign, size = ("−", -amount) if amount < 0 else ("", amount)
    if 0 < size < Decimal("0.0001"):
        return f"{sign}less than $0.0001" if not sign else "−less than $0.0001"
    return f"{sign}${size:,.4f}" if 0 < size < 1 else f"{sign}${size:,.2f}"


def share(part: float | None) -> str:
    """A share from 0 to 1 as a percentage; a negative one with its sign."""
    if part is None:
        return UNKNOWN
    return f"−{percent(-part)}" if part < 0 else percent(part)


def points(change: float | None) -> str:
    """A change in percentage points, always with its sign."""
    if change is None:
        return "new"
    if abs(change) < 0.05:
        return "±0.0"
    return f"+{change:.1f}" if change > 0 else f"−{-change:.1f}"


def span(length: timedelta | float) -> str:
    """`45 s`, `33 min`, `1 h 12 min`, `25 h`, `3 days`; the sign is the caller's to word."""
    seconds = abs(length.total_seconds() if isinstance(length, timedelta) else length)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 600:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"


def moment(at: datetime | None) -> str:
    """`22 Nov 2026, 07:12 UTC`."""
    if at is None:
        return "–"
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"


def exactly(at: datetime | None) -> str:
    """`2026-11-22 07:12:45 UTC`, for tables."""
    return "–" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def briefly(at: datetime | None) -> str:
    """`22 Nov 07:12:45`, under a heading that names the zone."""
    return "–" if at is None else f"{at.astimezone(UTC).day} {at.astimezone(UTC):%b %H:%M:%S}"


def clock(at: datetime, now: datetime) -> str:
    """`07:12 UTC`; with the day when it is not today's, with the year when it is not this one."""
    utc, today = at.astimezone(UTC), now.astimezone(UTC)
    if utc.date() == today.date():
        return f"{utc:%H:%M} UTC"
    year = "" if utc.year == today.year else f" {utc.year}"
    return f"{utc.day} {utc:%b}{year} {utc:%H:%M} UTC"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 batch`, `2 batches`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def cut(value: Any, characters: int = TEXT_CHARACTERS) -> str:
    """The beginning of a text."""
    text = "" if value is None else str(value)
    return text if len(text) <= characters else f"{text[:characters]}…"
