"""How often the forecast held: each past batch is forecast again from what was known when it was created."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from offpeak.forecast.finish import Progress, of_batch
from offpeak.forecast.history import History

LATEST = 200
"""So many past batches are forecast again; the cost grows with their square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A forecast, and what came of it."""

    p50: datetime
    p90: datetime
    seen_until: datetime
    """The end, or the moment until which it was seen open."""
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How many of the forecasts that can be judged held."""

    count: int
    held_p50: int
    held_p90: int

    @property
    def share_p90(self) -> float | None:
        """The share of batches done by their p90; None when there is none to judge. 0.9 is right."""
        return self.held_p90 / self.count if self.count else None

    def said(self) -> str:
        """For the report: "p90 held for 181 of 200 past batches (90 %)"."""
        if not self.count:
            return "no forecast can be judged yet"
        share = round(100 * self.held_p90 / self.count)
        return f"p90 held for {self.held_p90:,} of {self.count:,} past batches ({share} %)"


def calibration(pairs: Iterable[Pair]) -> Calibration:
    """A batch that was cancelled or is open counts as late once it was seen past the p90; before that
    nobody knows, and it is left out."""
    judged = [one for one in pairs if one.finished or one.seen_until > one.p90]
    return Calibration(
        count=len(judged),
        held_p50=sum(one.finished and one.seen_until <= one.p50 for one in judged),
        held_p90=sum(one.finished and one.seen_until <= one.p90 for one in judged),
    )


def replayed(history: History, *, latest: int = LATEST) -> Iterator[Pair]:
    """The latest batches with the forecast that this code makes of them from the batches before each.

    Nothing needs to have been recorded, and a better forecast is judged over the same past. The first
    ones, made without history, are left out.
    """
    ordered = sorted(history.batches, key=lambda one: one.created_at)
    for one in ordered[-latest:]:
        known = history.before(one.created_at)
        if not any(earlier.finished for earlier in known.batches):
            continue
        created = one.created_at
        progress = Progress(requests=one.requests, done=0, created_at=created, now=created)
        finish = of_batch(progress, known)
        yield Pair(p50=finish.p50, p90=finish.p90, seen_until=created + one.lasted, finished=one.finished)
