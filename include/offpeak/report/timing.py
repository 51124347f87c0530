"""The time: the stages of the run, and every shard and batch with its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from offpeak.foresight import outlook_of
from offpeak.intents import ESCALATED, partial_of
from offpeak.ledger.records import BatchRecord, Shard
from offpeak.report.material import Material
from offpeak.report.wording import cut, usd
from offpeak.states import Outcome

BATCHES = "batches in flight"
"""The stage that is the provider's: from the first submission to the last end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLine:
    """`ended_at` is None while it lasts; `seconds` then count to the time of the report."""

    name: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """The last forecast of the run's end."""

    p50: datetime
    p90: datetime
    basis: str
    why: str
    """The decision that was made with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLine:
    """One batch of a shard in one round, or a shard that has none yet."""

    shard: int
    round: int
    batch_id: str
    status: str
    provider_status: str
    requests: int
    completed: int
    submitted_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """Of the batch that was collected."""
    cost_usd: Decimal | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    started_at: datetime
    ended_at: datetime | None
    seconds: float
    """From the run's start to its end, or to the time of the report."""
    stages: tuple[StageLine, ...]
    shards: tuple[ShardLine, ...]
    route: str = "batch"
    """The workload's own word: batch, auto or realtime."""
    foreseen: Foreseen | None = None
    calibration: str = ""
    """How often such forecasts held, in words."""
    decisions: tuple[str, ...] = ()
    """What was escalated, and whether it was published in part, with the reasons."""


def timing(found: Material) -> Timing:
    """Stages in the order they began."""
    run = found.run
    stages = [
        StageLine(
            name=one.name,
            started_at=one.started_at,
            ended_at=one.ended_at,
            seconds=one.seconds if one.ended_at else max(0.0, (found.now - one.started_at).total_seconds()),
        )
        for one in found.stages
    ]
    if found.batches:
        stages.append(_in_flight(found))
    return Timing(
        started_at=run.created_at,
        ended_at=run.ended_at,
        seconds=max(0.0, ((run.ended_at or found.now) - run.created_at).total_seconds()),
        stages=tuple(sorted(stages, key=lambda one: one.started_at)),
        shards=_lines(found),
        route=str(found.fact("route") or "batch"),
        foreseen=_foreseen(found),
        calibration=found.calibration,
        decisions=_decisions(found),
    )


def _foreseen(found: Material) -> Foreseen | None:
    outlook = outlook_of(found.run)
    if outlook is None or outlook.p50 is None or outlook.p90 is None:
        return None
    return Foreseen(p50=outlook.p50, p90=outlook.p90, basis=outlook.basis, why=cut(outlook.why))


def _decisions(found: Material) -> tuple[str, ...]:
    said = [
        f"Shard {number} was escalated with {one['requests']:,} requests left "
        f"({usd(None if one['usd'] is None else Decimal(one['usd']))} in realtime): {cut(one['why'])}."
        for number, one in found.part(ESCALATED).items()
    ]
    if part := partial_of(found.run):
        said.append(f"It was published in part: {cut(str(part['why']))}.")
    return tuple(said)


def _in_flight(found: Material) -> StageLine:
    begun = min(one.created_at for one in found.batches)
    live = any(not one.status.ended for one in found.batches)
    ends = [one.ended_at or one.seen_at for one in found.batches]
    ended = None if live else max(ends)
    return StageLine(
        name=BATCHES,
        started_at=begun,
        ended_at=ended,
        seconds=max(0.0, ((ended or found.now) - begun).total_seconds()),
    )


def _lines(found: Material) -> tuple[ShardLine, ...]:
    by_shard: dict[tuple[int, int], list[BatchRecord]] = defaultdict(list)
    for batch in found.batches:
        by_shard[batch.key.round, batch.key.number].append(batch)
    made = []
    for shard in found.shards:
        had = by_shard[shard.key.round, shard.key.number]
        made += [_of_batch(shard, batch, found.now) for batch in had]
        if shard.batch_id is None or not any(batch.batch_id == shard.batch_id for batch in had):
            made.append(_without_batch(shard))
    return tuple(made)


def _of_batch(shard: Shard, batch: BatchRecord, now: datetime) -> ShardLine:
    ended = batch.ended_at or (batch.seen_at if batch.status.ended else None)
    present = batch.batch_id == shard.batch_id
    return ShardLine(
        shard=shard.key.number,
        round=shard.key.round,
        batch_id=batch.batch_id,
        status=str(batch.status),
        provider_status=batch.provider_status,
        requests=batch.total or shard.request_count,
        completed=batch.completed,
        submitted_at=batch.created_at,
        ended_at=ended,
        seconds=max(0.0, ((ended or now) - batch.created_at).total_seconds()),
        outcomes=_ordered(shard.outcomes) if present else {},
        cost_usd=shard.cost_usd if present else None,
        note=cut(batch.note),
    )


def _ordered(outcomes: Mapping[str, int]) -> dict[str, int]:
    """In the order of the vocabulary; the ledger's JSON may come back in any."""
    order = [*(str(one) for one in Outcome if str(one) in outcomes), *outcomes]
    return {name: outcomes[name] for name in dict.fromkeys(order)}


def _without_batch(shard: Shard) -> ShardLine:
    return ShardLine(
        shard=shard.key.number,
        round=shard.key.round,
        batch_id=shard.batch_id or "",
        status=str(shard.state),
        provider_status="",
        requests=shard.request_count,
        completed=0,
        submitted_at=shard.intent_at,
        ended_at=None,
        seconds=None,
        outcomes=_ordered(shard.outcomes),
        cost_usd=shard.cost_usd,
        note=cut(shard.note),
    )
