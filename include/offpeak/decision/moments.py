"""The last safe moment of each shard, and which batches are sure to be in time."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from offpeak.decision.facts import Facts, ShardFacts, realtime_takes


class Moment(NamedTuple):
    """The last safe moment of one shard: later than this, realtime cannot be relied on for it."""

    at: datetime
    shard: ShardFacts


def moments(facts: Facts, due_at: datetime) -> list[Moment]:
    """Of every shard in a batch, slowest and so first to go to last."""
    last = due_at - facts.publish_takes - facts.margin - facts.drain
    slowest_first = sorted((one for one in facts.shards if one.in_batch), key=slowness, reverse=True)
    after, moments = 0, []
    for shard in reversed(slowest_first):
        after += shard.left
        moments.append(Moment(last - realtime_takes(facts, after), shard))
    return moments[::-1]


def slowness(shard: ShardFacts) -> tuple[bool, float, int, int]:
    late = shard.finish.p90.timestamp() if shard.finish else 0.0
    return (shard.finish is None, late, shard.left, shard.number)


def sure(facts: Facts, shard: ShardFacts) -> bool:
    """Whether all but one in a thousand of such batches are done in time. With several shards the risk is
    that of one: the batches of a night are late together."""
    assert facts.due_at is not None
    in_time = facts.due_at - facts.publish_takes - facts.margin
    sure = shard.finish.sure if shard.finish else None
    return sure is not None and sure <= in_time
