"""Patience: how long a provider's wish to be left alone is heeded. A pure decision."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

HEEDED = timedelta(hours=6)
"""The longest wish that is heeded as it was stated."""
BETWEEN_TRIES = timedelta(minutes=30)
"""After a longer wish, or one that would miss the due time, the provider is asked again this often."""


class Patience(NamedTuple):
    """How long to wait, and the plain sentence about it; empty when the wish is simply followed."""

    pause: timedelta
    said: str


def patience(wish_seconds: float | None, *, otherwise: timedelta, left: timedelta | None) -> Patience:
    """The wait after a provider declined and wished to be asked again in `wish_seconds`.

    A wish is followed to the second when it is at most 6 h and ends before the due time, which is `left`
    away (None: there is none; negative: it has passed). A longer wish is followed for 30 minutes at most
    and said in a sentence: limits are raised and load passes, and one more try costs nothing, while a wrong
    header that was believed would cost the table its day. Without a wish: `otherwise`.
    """
    if wish_seconds is None:
        return Patience(otherwise, "")
    wish = timedelta(seconds=min(max(wish_seconds, 0.0), timedelta(days=36_500).total_seconds()))
    if left is not None and wish > left:
        why = "after its due time" if left > timedelta(0) else "too long for a run that is late"
    elif wish > HEEDED:
        why = f"longer than the {in_words(HEEDED)} that such a wish is heeded"
    else:
        return Patience(wish, "")
    pause = min(wish, BETWEEN_TRIES)
    if pause == wish and left is not None and left <= timedelta(0):
        return Patience(wish, "")  # it is late, which is known; the wait is the provider's own
    return Patience(
        pause,
        f"The wait that the provider asks for, {in_words(wish)}, is {why}: tried again in {in_words(pause)}.",
    )


def in_words(span: timedelta) -> str:
    """A span as people say it, in at most two units: `2 d 3 h`, `2 min 10 s`."""
    left = round(span.total_seconds())
    parts = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count:,} {unit}")
    return " ".join(parts[:2]) or "0 s"
