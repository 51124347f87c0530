"""Money in the ledger: spend is written once, with the change it belongs to, and summed as Decimals."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import desc, func, select

from offpeak.ledger import runs, shards
from offpeak.ledger.records import NewShard, Shard, Spend, TokenSample
from offpeak.ledger.schema import RUNS, SHARDS, SPEND, in_utc
from offpeak.states import ShardState

if TYPE_CHECKING:
    from sqlalchemy import RowMapping
    from sqlalchemy.engine import Connection

    from offpeak.ledger.database import Change

_FIELDS = tuple(field.name for field in dataclasses.fields(Spend))


def record(change: Change, spend: Spend) -> None:
    change.connection.execute(SPEND.insert().values({name: getattr(spend, name) for name in _FIELDS}))


def collect(change: Change, collected: Shard, spend: Spend, *, next_round: NewShard | None) -> bool:
    """in_flight → collected, the spend and the next round's shard. False when it was collected before."""
    shard = shards.locked(change, collected.key)
    if shard.state is ShardState.COLLECTED:
        return False
    if shard.state is not ShardState.IN_FLIGHT or shard.batch_id != collected.batch_id:
        raise shards.conflict(shard, f"the results of batch {collected.batch_id} cannot be collected for it")
    settle(change, shard, collected, spend, next_round=next_round)
    return True


def settle(
    change: Change, shard: Shard, collected: Shard, spend: Spend, *, next_round: NewShard | None
) -> None:
    """The shard as collected, its spend and the next round: what both routes end with."""
    shards.move(
        change,
        shard,
        state=ShardState.COLLECTED,
        holder="",
        lease_until=None,
        results=collected.results,
        outcomes=collected.outcomes,
        usage=collected.usage,
        cost_usd=collected.cost_usd,
        note=collected.note,
    )
    record(change, spend)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in collected.outcomes.items())
    shards.event(change, shard.key, f"{ShardState.COLLECTED}", counts)
    if next_round is not None:
        shards.insert(change, shard.key.run_id, [next_round])
        shards.event(change, next_round.key, f"{ShardState.WRITTEN}", f"{next_round.request_count} requests")


def stray(change: Change, batch_id: str, spend: Spend) -> bool:
    """The spend of a batch that no shard owns, once: the run's fact `strays` says which are recorded."""
    run = runs.locked(change, spend.run_id)
    known = list(run.facts.get("strays", ()))
    if batch_id in known:
        return False
    runs.note(change, run, {"strays": [*known, batch_id]})
    record(change, spend)
    change.event(run.run_id, f"stray batch {batch_id} billed", f"{spend.requests} requests")
    return True


def spent(
    connection: Connection, *, run_id: str | None, workload: str | None, since: datetime | None
) -> list[Spend]:
    """In the order of their time."""
    query = select(SPEND).order_by(SPEND.c.at, SPEND.c.sequence)
    if run_id is not None:
        query = query.where(SPEND.c.run_id == run_id)
    if workload is not None:
        query = query.where(SPEND.c.workload == workload)
    if since is not None:
        query = query.where(SPEND.c.at >= in_utc(since))
    return [_record(row) for row in connection.execute(query).mappings()]


def tokens_per_request(
    connection: Connection, workload: str, model: str, *, runs: int
) -> tuple[float, float] | None:
    """Mean (input, output) over the last `runs` runs that asked `model`, whatever snapshot answered. Previews,
    and spend without tokens (a batch that expired untouched), say nothing about a request and do not count."""
    asked = select(RUNS.c.run_id).where(RUNS.c.workload == workload, RUNS.c.model == model)
    like = (SPEND.c.workload == workload, SPEND.c.run_id.in_(asked))
    recent = select(SPEND.c.run_id).where(*like).group_by(SPEND.c.run_id)
    recent = recent.order_by(desc(func.max(SPEND.c.sequence))).limit(runs)
    run_ids = list(connection.execute(recent).scalars())
    rows = connection.execute(
        select(SPEND.c.requests, SPEND.c.usage).where(*like, SPEND.c.run_id.in_(run_ids))
    ).all()
    tokens = [
        (requests, usage.get("input_tokens", 0), usage.get("output_tokens", 0)) for requests, usage in rows
    ]
    counted = [(requests, read, said) for requests, read, said in tokens if read or said]
    total = sum(requests for requests, _, _ in counted)
    if total <= 0:
        return None
    return sum(read for _, read, _ in counted) / total, sum(said for _, _, said in counted) / total


def token_samples(connection: Connection, workload: str, model: str, *, runs: int) -> list[TokenSample]:
    """Per run: the tokens of all its spend over the requests of its collected shards of round 1."""
    first = (SHARDS.c.round == 1, SHARDS.c.state == ShardState.COLLECTED)
    had = select(SHARDS.c.run_id, func.sum(SHARDS.c.request_count).label("requests"))
    of_run = had.where(*first).group_by(SHARDS.c.run_id).subquery()
    recent = select(RUNS.c.run_id, of_run.c.requests).join(of_run, of_run.c.run_id == RUNS.c.run_id)
    recent = recent.where(RUNS.c.workload == workload, RUNS.c.model == model)
    found = connection.execute(recent.order_by(desc(RUNS.c.sequence)).limit(runs)).all()
    requests = {run_id: int(count) for run_id, count in found}
    tokens = {run_id: [0, 0] for run_id in requests}
    query = select(SPEND.c.run_id, SPEND.c.usage).where(SPEND.c.run_id.in_(requests))
    for run_id, usage in connection.execute(query):
        tokens[run_id][0] += usage.get("input_tokens", 0)
        tokens[run_id][1] += usage.get("output_tokens", 0)
    return [
        TokenSample(
            run_id=run_id, requests=count, input_tokens=read / count, output_tokens=said_tokens / count
        )
        for run_id, count in requests.items()
        for read, said_tokens in [tokens[run_id]]
        if count and (read or said_tokens)
    ]


def _record(row: RowMapping) -> Spend:
    return Spend(**{name: row[name] for name in _FIELDS})
