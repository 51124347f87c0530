"""When to look at a batch next: a pure decision, from its age and a random draw."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import timedelta

from offpeak.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often batches are looked at. Young ones often, old ones seldom, never two in lockstep."""

    first: timedelta = timedelta(seconds=15)
    """Wait before the first look. On Airflow not below 10 s: a trigger that fires at once can fail its task."""
    least: timedelta = timedelta(seconds=10)
    most: timedelta = timedelta(minutes=5)
    share_of_age: float = 0.08
    """An interval is this share of the batch's age, held between `least` and `most`."""
    jitter: float = 0.2
    """Each wait is stretched or shortened by up to this share."""
    busy: timedelta = timedelta(seconds=30)
    """Before another try when the provider could not be reached or declined without naming a time."""
    settle: timedelta = timedelta(seconds=60)
    """How long a batch that was just created may stay out of the provider's list."""

    @classmethod
    def quick_from_env(cls) -> Pace:
        """QUICK, with OFFPEAK_LOOK_SECONDS (first and least wait) and OFFPEAK_SETTLE_SECONDS in its place.

        SpecError for one that is no number of seconds.
        """
        look, settle = _seconds("OFFPEAK_LOOK_SECONDS"), _seconds("OFFPEAK_SETTLE_SECONDS")
        pace: Pace = QUICK if look is None else replace(QUICK, first=look, least=look)
        return pace if settle is None else replace(pace, settle=settle)

    def after_failures(self, count: int) -> timedelta:
        """The wait after so many failed submissions of one shard: doubling from `busy` up to 30 minutes."""
        doubled: int = 2 ** min(max(count - 1, 0), 10)
        return min(self.busy * doubled, timedelta(minutes=30))

    def in_line(self, ahead: int, *, draw: float) -> timedelta:
        """The wait before a shard asks for room again, the longer the more go first: `busy` for each, at most
        `most`; `draw` is uniform in [0, 1)."""
        return min(self.busy * (1 + ahead), self.most) * (1 + self.jitter * (2 * draw - 1))

    def next_look(self, age: timedelta, *, draw: float) -> timedelta:
        """The wait before the next look at a batch of this age; `draw` is uniform in [0, 1)."""
        wait = self.first if age <= timedelta(0) else min(max(age * self.share_of_age, self.least), self.most)
        return wait * (1 + self.jitter * (2 * draw - 1))


def _seconds(variable: str) -> timedelta | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        seconds = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        seconds = timedelta(-1)
    if seconds < timedelta(0):
        raise SpecError(f"{variable}={text!r} is no number of seconds. Give 0 or more, or unset it.")
    return seconds


QUICK = Pace(first=timedelta(seconds=1), least=timedelta(seconds=1), most=timedelta(minutes=2))
"""For a process that waits by itself (the CLI): the first looks come soon."""
