"""Shards in the ledger: how they are written down, read, and moved from state to state."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select

from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger.records import NewShard, Shard, ShardKey
from offpeak.ledger.schema import RUNS, SHARDS
from offpeak.states import ShardState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, RowMapping
    from sqlalchemy.engine import Connection

    from offpeak.ledger.database import Change

_FIELDS = tuple(field.name for field in dataclasses.fields(Shard) if field.name != "key")
_NEW_FIELDS = tuple(field.name for field in dataclasses.fields(NewShard) if field.name != "key")


def get(connection: Connection, key: ShardKey) -> Shard:
    """SpecError when there is no such shard."""
    return _one(key, connection.execute(select(SHARDS).where(at(key))).mappings().first())


def locked(change: Change, key: ShardKey) -> Shard:
    """The shard, which no other transaction can change until this one ends."""
    query = select(SHARDS).where(at(key)).with_for_update(key_share=True)
    return _one(key, change.connection.execute(query).mappings().first())


def of_run(connection: Connection, run_id: str, number: int | None) -> list[Shard]:
    """By round, then number."""
    query = select(SHARDS).where(SHARDS.c.run_id == run_id).order_by(SHARDS.c.round, SHARDS.c.number)
    if number is not None:
        query = query.where(SHARDS.c.number == number)
    return [_record(row) for row in connection.execute(query).mappings()]


def in_states(connection: Connection, states: Collection[ShardState], workload: str | None) -> list[Shard]:
    """Over all runs, in the order in which the runs were opened."""
    query = select(SHARDS).join(RUNS, RUNS.c.run_id == SHARDS.c.run_id).where(SHARDS.c.state.in_(states))
    query = query.order_by(RUNS.c.sequence, SHARDS.c.round, SHARDS.c.number)
    if workload is not None:
        query = query.where(RUNS.c.workload == workload)
    return [_record(row) for row in connection.execute(query).mappings()]


def tagged(connection: Connection, tag: str) -> Shard | None:
    row = connection.execute(select(SHARDS).where(SHARDS.c.tag == tag)).mappings().first()
    return None if row is None else _record(row)


def insert(change: Change, run_id: str, new: Sequence[NewShard]) -> None:
    """Write down shards whose files exist. SpecError when one is not of this run."""
    strays = [shard.key for shard in new if shard.key.run_id != run_id]
    if strays:
        raise SpecError(
            f"The {label(strays[0])} cannot be written down for run {run_id}. Nothing was changed."
        )
    if new:
        change.connection.execute(SHARDS.insert(), [_new_row(shard, change) for shard in new])


def move(change: Change, shard: Shard, **values: Any) -> Shard:
    """Compare-and-set: write `values` if state, attempt and holder are still those of `shard`."""
    written = {**values, "updated_at": change.now}
    where = and_(
        at(shard.key),
        SHARDS.c.state == shard.state,
        SHARDS.c.attempt == shard.attempt,
        SHARDS.c.holder == shard.holder,
    )
    if change.connection.execute(SHARDS.update().where(where).values(written)).rowcount != 1:
        raise conflict(shard, "it was moved by another worker in this very moment")
    return dataclasses.replace(shard, **written)


def at(key: ShardKey) -> ColumnElement[bool]:
    return and_(SHARDS.c.run_id == key.run_id, SHARDS.c.round == key.round, SHARDS.c.number == key.number)


def label(key: ShardKey) -> str:
    return f"shard {key.number} round {key.round} of run {key.run_id}"


def event(change: Change, key: ShardKey, what: str, detail: str = "") -> None:
    change.event(key.run_id, f"shard {key.number} round {key.round}: {what}", detail)


def conflict(shard: Shard, why: str) -> LedgerConflict:
    """The error of a verb that found the shard elsewhere: where it is, what is still true, what to do."""
    text = label(shard.key)
    return LedgerConflict(
        f"{text[0].upper()}{text[1:]} is {shard.state}, attempt {shard.attempt}{_held(shard)}: {why}. "
        f"The ledger was not changed. {_advice(shard)}"
    )


def _held(shard: Shard) -> str:
    if not shard.holder:
        return ""
    until = f" until {shard.lease_until.isoformat()}" if shard.lease_until else ""
    return f", held by {shard.holder}{until}"


def _advice(shard: Shard) -> str:
    match shard.state:
        case ShardState.WRITTEN:
            return "No batch of it runs that the ledger knows of; claim it to submit it."
        case ShardState.SUBMITTING:
            return (
                "Its holder may already have paid. When the lease ends the next claim takes it over, and "
                "looks at the provider before anything is sent."
            )
        case ShardState.IN_FLIGHT:
            return (
                f"Batch {shard.batch_id} is at the provider and billed; poll it, never send the shard again."
            )
        case ShardState.COLLECTED:
            return f"Its results are in {shard.results} and its spend is recorded; nothing is left to do."


def _new_row(new: NewShard, change: Change) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(new, name) for name in _NEW_FIELDS}
    row |= {"run_id": new.key.run_id, "round": new.key.round, "number": new.key.number}
    row |= {"state": ShardState.WRITTEN, "attempt": 0, "updated_at": change.now}
    return row | {"holder": "", "results": "", "outcomes": {}, "usage": {}, "note": ""}


def _one(key: ShardKey, row: RowMapping | None) -> Shard:
    if row is None:
        raise SpecError(
            f"There is no {label(key)} in this ledger. Nothing was changed; `offpeak status` lists them."
        )
    return _record(row)


def _record(row: RowMapping) -> Shard:
    key = ShardKey(run_id=row["run_id"], round=row["round"], number=row["number"])
    return Shard(key=key, **{name: row[name] for name in _FIELDS})
