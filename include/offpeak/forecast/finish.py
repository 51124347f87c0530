"""When it will be done: the finish of a batch from its own progress or its like, and of all that wait together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from offpeak.forecast.history import History
from offpeak.forecast.survival import Survival

ONE_IN = 1_000
"""`sure` is missed by one batch in so many."""
TELLING = 0.05
"""From this share of its requests on, a batch's own progress says more than the history."""
HALF_DONE = 0.5
SURE_TIMES = 5.0
"""A batch that has done half is taken to need at most five times what its progress says; one in a thousand more."""
LEAST_LEFT = timedelta(minutes=1)
"""Finalizing and downloading, however far the progress."""
LONGEST = timedelta(days=30)
"""No forecast goes further; a batch that seems to take longer is stuck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The forecast of one end: as likely before as after `p50`, nine in ten before `p90`. Never in the past."""

    p50: datetime
    p90: datetime
    basis: str
    """What it rests on, in words: "from 4 past batches"."""
    sure: datetime | None = None
    """All but one in a thousand are done by then; None where nobody can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A batch that is open, as last seen. `done` stays 0 where the provider tells nothing before the end."""

    requests: int
    done: int
    created_at: datetime
    now: datetime


def of_batch(progress: Progress, history: History) -> Finish:
    """The finish of an open batch: from its own progress once that is telling, else from its like in the
    history, given that it has lasted as long as it has."""
    own = of_share(progress)
    if own is not None:
        return own
    like = history.like(progress.requests, progress.created_at)
    return of_survival(progress, like.survival, basis=like.basis)


def of_survival(progress: Progress, survival: Survival, *, basis: str) -> Finish:
    """The finish of a batch of which nothing is known but its age."""
    lasted = max((progress.now - progress.created_at).total_seconds(), 0.0)

    def at(level: float) -> datetime:
        age = timedelta(seconds=min(survival.quantile(level, lasted=lasted), LONGEST.total_seconds()))
        return max(progress.created_at + age, progress.now + LEAST_LEFT)

    sure = at(1 - 1 / ONE_IN) if survival.count else None
    return Finish(p50=at(0.5), p90=at(0.9), basis=basis, sure=sure)


def of_share(progress: Progress) -> Finish | None:
    """The finish if the batch goes on as it went so far; None before that is telling.

    The time until its first result counts as if it had been work, so an early forecast is late
    rather than soon. The less is done, the wider: at a tenth nine in ten need up to six times the
    time, at nine tenths one and a half times.
    """
    share = progress.done / progress.requests if progress.requests else 0.0
    if share < TELLING:
        return None
    age = max(progress.now - progress.created_at, timedelta(0))
    left = max(age * ((1 - share) / share), LEAST_LEFT)

    def at(times: float) -> datetime:
        return progress.now + min(left * times, LONGEST)

    return Finish(
        p50=at(1.0),
        p90=at(1.0 + HALF_DONE / share),
        basis=f"from its own progress, {progress.done:,} of {progress.requests:,} done",
        sure=at(SURE_TIMES) if share >= HALF_DONE else None,
    )


def of_all(finishes: Iterable[Finish | None]) -> Finish | None:
    """The finish of what waits for all of them: the latest of each. None when one is unknown, or there is none.

    The batches of a night are slow together, so the latest p90 is taken for the p90 of the latest.
    """
    known: list[Finish] = []
    for one in finishes:
        if one is None:
            return None
        known.append(one)
    if not known:
        return None
    last = max(known, key=lambda one: one.p90)
    sures = [one.sure for one in known if one.sure is not None]
    return Finish(
        p50=max(one.p50 for one in known),
        p90=last.p90,
        basis=last.basis,
        sure=max(sures) if len(sures) == len(known) else None,
    )
