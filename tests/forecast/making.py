"""Facts and samples that the forecast's tests begin from."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from offpeak.decision import Facts, Finish, ShardFacts
from offpeak.forecast import PastBatch
from offpeak.quota import RealtimeLimits
from offpeak.states import Route, ShardState

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def past(
    minutes: float, *, finished: bool = True, requests: int = 1_000, ago: timedelta = 24 * HOUR
) -> PastBatch:
    return PastBatch(
        requests=requests, created_at=NOW - ago, lasted=timedelta(minutes=minutes), finished=finished
    )


def finish(p50: float, p90: float, sure: float | None = None) -> Finish:
    """In minutes from now."""

    def at(minutes: float) -> datetime:
        return NOW + timedelta(minutes=minutes)

    return Finish(p50=at(p50), p90=at(p90), basis="from a test", sure=None if sure is None else at(sure))


def shard(number: int = 1, **changes: Any) -> ShardFacts:
    """1,000 requests in a batch that is an hour old and nobody knows when it ends."""
    one = ShardFacts(
        number=number,
        requests=1_000,
        done=0,
        route=Route.BATCH,
        state=ShardState.IN_FLIGHT,
        batch_age=HOUR,
        finish=finish(600, 1_000),
    )
    return dataclasses.replace(one, **changes)


def facts(*shards: ShardFacts, due_in: timedelta | None = 8 * HOUR, **changes: Any) -> Facts:
    """An account that is trusted with 100 requests a minute, so that 1,000 take ten minutes and four seconds;
    15 more for drain, publish and margin."""
    made = Facts(
        now=NOW,
        due_at=None if due_in is None else NOW + due_in,
        shards=shards or (shard(),),
        realtime=RealtimeLimits(requests_per_minute=125, concurrency=1_000),
        tokens_per_request=100,
        usd_batch_each=Decimal("0.01"),
        usd_realtime_each=Decimal("0.02"),
        drain=8 * MINUTE,
        publish_takes=2 * MINUTE,
        margin=5 * MINUTE,
        requests_total=sum(one.requests for one in shards) or 1_000,
    )
    return dataclasses.replace(made, **changes)
