"""The history of a provider's batches: plain samples, and which of them are like the batch in question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from offpeak.forecast.survival import Survival
from offpeak.states import BatchStatus

if TYPE_CHECKING:
    from offpeak.ledger import Ledger

ENOUGH = 20
"""As many past batches are used before less similar ones are called in."""
LIKE_SIZE = 4.0
"""A batch of up to four times as many, or as few, requests is of like size."""
LIKE_HOURS = 3
"""Created within so many hours of the same time of day."""
MOST = 1_000
"""The latest batches that the ledger is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastBatch:
    """One batch that was: how large, from when, how long."""

    requests: int
    created_at: datetime
    lasted: timedelta
    """To its end, or for as long as it was seen."""
    finished: bool
    """It completed. One that was cancelled, expired, or is still open only lasted longer than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Those of the history that speak about one batch."""

    survival: Survival
    basis: str


@dataclass(frozen=True, slots=True)
class History:
    """Past batches of one provider and model."""

    batches: Sequence[PastBatch] = ()

    def like(self, requests: int, created_at: datetime) -> Chosen:
        """The past batches of like size at like hours where there are enough, else of like size, else all."""
        sized = [one for one in self.batches if _like_size(one.requests, requests)]
        timed = [one for one in sized if _like_hour(one.created_at, created_at)]
        for chosen, of_what in ((timed, " of like size at this time of day"), (sized, " of like size")):
            if len(chosen) >= ENOUGH:
                return _chosen(chosen, of_what)
        return _chosen(self.batches, "")

    def before(self, moment: datetime) -> History:
        """What was known at that moment: later batches left out, those then open cut there."""
        return History([_cut(one, moment) for one in self.batches if one.created_at < moment])


def past_batches(ledger: Ledger, provider: str, model: str, *, now: datetime) -> History:
    """The ledger's latest batches of this provider and model. Those that failed as a whole are left out."""
    found = []
    for one in ledger.batch_times(provider, model, limit=MOST):
        if one.status is BatchStatus.FAILED:
            continue
        end = (one.ended_at or one.seen_at) if one.status.ended else now
        found.append(
            PastBatch(
                requests=one.requests,
                created_at=one.created_at,
                lasted=max(end - one.created_at, timedelta(0)),
                finished=one.status is BatchStatus.COMPLETED,
            )
        )
    return History(found)


def _chosen(batches: Iterable[PastBatch], of_what: str) -> Chosen:
    survival = Survival.of((one.lasted.total_seconds(), one.finished) for one in batches)
    if not survival.count:
        return Chosen(survival=survival, basis="no past batch: a guess between 1 and 24 hours")
    plural = "" if survival.count == 1 else "es"
    return Chosen(survival=survival, basis=f"from {survival.count:,} past batch{plural}{of_what}")


def _cut(one: PastBatch, moment: datetime) -> PastBatch:
    if one.created_at + one.lasted <= moment:
        return one
    lasted = moment - one.created_at
    return PastBatch(requests=one.requests, created_at=one.created_at, lasted=lasted, finished=False)


def _like_size(one: int, other: int) -> bool:
    least, most = sorted((max(one, 1), max(other, 1)))
    return most <= least * LIKE_SIZE


def _like_hour(one: datetime, other: datetime) -> bool:
    apart = abs(_hour(one) - _hour(other))
    return min(apart, 24 - apart) <= LIKE_HOURS


def _hour(moment: datetime) -> float:
    utc = moment.astimezone(UTC)
    return utc.hour + utc.minute / 60
