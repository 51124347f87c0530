"""Latency profiles: how long batches take, drawn from stated distributions, by a name."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from offpeak.emulator.latency import Draw, FixedLatency, Latency, Phases

USUAL_REQUESTS = 10_000
SIZE_POWER = 0.15
"""Ten times the requests take 1.4 times as long: batches wait in a queue more than they run."""
VALIDATING_MOST_SECONDS = 60.0
FINALIZING_MOST_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A quick median with a heavy tail, slow nights, and batches that never complete.

    A batch takes median x size x night x batch x tail: `night` is the same for all batches that a
    provider gets between two noons, the other factors are of the batch alone. Seeded: equal draws,
    equal phases.
    """

    what: str
    """For the docs and the control endpoint."""
    median_seconds: float
    """From creation to end, of a batch of 10,000 requests on an ordinary night."""
    spread: float = 0.5
    """Standard deviation of the logarithm between the batches of one night."""
    night_spread: float = 0.4
    """The same between ordinary nights."""
    tail_share: float = 0.02
    """Of the batches; their time is multiplied by a Pareto variable of index 1."""
    slow_nights: float = 0.0
    """The share of nights that are slow for everybody."""
    slow_times: tuple[float, float] = (8.0, 60.0)
    """How many times slower, uniform in the logarithm."""
    stuck_share: float = 0.0
    """Of the batches; they stop after a uniform share of their lines and run into their expiry."""
    cancel_most_seconds: float = 600.0
    """Draining a cancelled batch takes up to this; the median is a quarter of it."""

    def slow(self, draw: Draw) -> bool:
        """Whether the night of this draw is a slow one."""
        return self._night(draw)[0]

    def phases(self, draw: Draw) -> Phases:
        one = random.Random(f"{draw.seed}/{draw.provider}/batch {draw.number}")  # noqa: S311 - a draw
        total = self.median_seconds * (max(1, draw.requests) / USUAL_REQUESTS) ** SIZE_POWER
        total *= self._night(draw)[1] * math.exp(one.gauss(0, self.spread))
        if one.random() < self.tail_share:
            total *= one.paretovariate(1.0)
        validating = min(VALIDATING_MOST_SECONDS, total * 0.05)
        finalizing = min(FINALIZING_MOST_SECONDS, total * 0.05)
        busy = total - validating - finalizing
        waiting = busy * one.uniform(0.2, 0.8)
        stuck = one.random() < self.stuck_share
        return Phases(
            validating_seconds=validating,
            waiting_seconds=waiting,
            running_seconds=busy - waiting,
            stalls_at=one.random() if stuck else 1.0,
            finalizing_seconds=finalizing,
            cancelling_seconds=self.cancel_most_seconds * one.random() ** 2,
        )

    def _night(self, draw: Draw) -> tuple[bool, float]:
        """Whether the night is slow, and the factor of all its batches."""
        night = random.Random(f"{draw.seed}/{draw.provider}/night {draw.night}")  # noqa: S311 - a draw
        factor = math.exp(night.gauss(0, self.night_spread))
        if night.random() >= self.slow_nights:
            return False, factor
        least, most = self.slow_times
        return True, factor * least * (most / least) ** night.random()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed(FixedLatency):
    """The emulator's default under its name."""

    what: ClassVar[str] = "Every batch takes 10 seconds, whatever its size."


PROFILES: dict[str, Fixed | Profile] = {
    "fixed": Fixed(),
    "quick": Profile(
        what="A median of 6 minutes, little spread; 6 % of the batches draw from a heavy tail.",
        median_seconds=360.0,
        spread=0.4,
        night_spread=0.25,
        tail_share=0.06,
        slow_nights=0.02,
        stuck_share=0.001,
        cancel_most_seconds=300.0,
    ),
    "typical": Profile(
        what="A median of 20 minutes with a heavy tail; 4 % of the nights are 8 to 60 times slower.",
        median_seconds=1_200.0,
        tail_share=0.01,
        slow_nights=0.04,
        stuck_share=0.001,
    ),
    "congested": Profile(
        what="A median of an hour with a heavy tail; 25 % of the nights are 3 to 30 times slower.",
        median_seconds=3_600.0,
        tail_share=0.04,
        slow_nights=0.25,
        slow_times=(3.0, 30.0),
        stuck_share=0.005,
    ),
    "slow_night": Profile(
        what="Every night is slow: a median of about 7 hours, some batches expire.",
        median_seconds=1_200.0,
        slow_nights=1.0,
    ),
    "stuck": Profile(
        what="A median of 20 minutes, but every fourth batch stops somewhere and expires.",
        median_seconds=1_200.0,
        stuck_share=0.25,
    ),
}
"""Each by its name. The order is that of the docs."""


def latency_named(name: str) -> Latency:
    """The profile of this name; ValueError, with the names there are, for another."""
    if name not in PROFILES:
        raise ValueError(f"There is no latency {name!r}. There are: {', '.join(PROFILES)}.")
    return PROFILES[name]
