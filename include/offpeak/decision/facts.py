"""What a decision rests on, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from offpeak.forecast.finish import Finish
from offpeak.quota import RealtimeLimits
from offpeak.states import Route, ShardState

SUSTAINED = 0.8
"""The share of its limits that an account is trusted to answer at, minute after minute."""


class Action(StrEnum):
    """What to do about the due time now."""

    WAIT = "wait"
    ESCALATE = (
        "escalate"  # cancel the batches of `shards`, keep what they have, answer their rest in realtime
    )
    UNAFFORDABLE = "unaffordable"  # it is time to escalate `shards`, but the budget forbids it
    PUBLISH_PARTIAL = "publish_partial"  # publish what is answered; batches of `shards` are cancelled first
    TOO_LATE = "too_late"  # realtime from now on misses due; `shards` still gain by it


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFacts:
    """One shard of the run, collected or not."""

    number: int
    requests: int
    done: int
    """Answers that will be kept: of an open batch what it has finished, of the realtime route what came."""
    route: Route
    state: ShardState
    batch_age: timedelta | None = None
    finish: Finish | None = None
    """Of its batch. None, as for one that waits to be submitted, is treated as later than any other."""

    @property
    def left(self) -> int:
        return max(self.requests - self.done, 0)

    @property
    def open(self) -> bool:
        return self.state is not ShardState.COLLECTED

    @property
    def in_batch(self) -> bool:
        """Also with nothing left: a batch that has done all may still hang before it gives its results."""
        return self.open and self.route is Route.BATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a decision rests on. Durations that are not known should be given too long, not too short."""

    now: datetime
    due_at: datetime | None
    shards: tuple[ShardFacts, ...]
    realtime: RealtimeLimits
    tokens_per_request: float
    """Input and output together; 0 when unknown, the limit of tokens is then not reckoned with."""
    usd_batch_each: Decimal | None = None
    """Of one request; None when the price is unknown."""
    usd_realtime_each: Decimal | None = None
    spent_usd: Decimal = Decimal(0)
    committed_usd: Decimal = Decimal(0)
    """What the open batches and realtime shards will still cost if nothing is decided."""
    budget_usd: Decimal | None = None
    drain: timedelta = timedelta(minutes=10)
    """From asking a batch to end until its results can be fetched."""
    publish_takes: timedelta = timedelta(minutes=2)
    """Checks and publish."""
    margin: timedelta = timedelta(minutes=5)
    """For all that takes longer than planned, the time between two decisions included."""
    partial_at: float | None = None
    """The share of all requests with which the workload accepts to be published."""
    requests_total: int = 0
    answered: int = 0
    """Over the whole run: carried, of collected shards, and in realtime; not what lies in open batches."""
    answer_seconds: float = 4.0
    """Of one realtime answer; with the concurrency it bounds the pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now, and when to ask again at the latest."""

    action: Action
    shards: tuple[int, ...] = ()
    """Numbers, slowest first. What the action does to them is said at Action."""
    wake_at: datetime | None = None
    """Decide again by then; earlier is never wrong. None: nothing can change, or there is no due time."""
    cost_usd: Decimal | None = None
    """What answering the rest of `shards` in realtime costs; None when the price is unknown."""
    finish: Finish | None = None
    """When the run would be published if nothing is decided; None when nobody can say."""
    why: str = ""


def realtime_takes(facts: Facts, requests: int) -> timedelta:
    """How long the account is trusted to need for so many requests, alone. The last answer's own time is in it."""
    if requests <= 0:
        return timedelta(0)
    limits = facts.realtime
    paces = [limits.concurrency * 60 / facts.answer_seconds]
    if limits.requests_per_minute is not None:
        paces.append(limits.requests_per_minute)
    if limits.tokens_per_minute is not None and facts.tokens_per_request > 0:
        paces.append(limits.tokens_per_minute / facts.tokens_per_request)
    return timedelta(minutes=requests / (SUSTAINED * min(paces)), seconds=facts.answer_seconds)
