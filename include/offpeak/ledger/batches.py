"""Batches in the ledger: each owned by one shard, seen again and again, never going back from their end."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select

from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger import shards
from offpeak.ledger.records import BatchRecord, Shard, ShardKey
from offpeak.ledger.schema import BATCHES

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, RowMapping
    from sqlalchemy.engine import Connection

    from offpeak.ledger.database import Change

_FIELDS = tuple(field.name for field in dataclasses.fields(BatchRecord) if field.name != "key")


def of_run(connection: Connection, run_id: str) -> list[BatchRecord]:
    """By round, number, attempt."""
    query = select(BATCHES).where(BATCHES.c.run_id == run_id)
    query = query.order_by(BATCHES.c.round, BATCHES.c.number, BATCHES.c.attempt)
    return [_record(row) for row in connection.execute(query).mappings()]


def owned_ids(connection: Connection, account: str) -> frozenset[str]:
    query = select(BATCHES.c.batch_id).where(BATCHES.c.account == account)
    return frozenset(connection.execute(query).scalars())


def take(change: Change, shard: Shard, batch: BatchRecord) -> None:
    """Make the batch the shard's. LedgerConflict when another shard owns it; SpecError for a record
    that speaks of another shard, attempt or account."""
    _check_of(shard, batch)
    known = _locked(change, batch)
    if known is None:
        change.connection.execute(BATCHES.insert().values(_row(batch)))
        return
    if known.key != shard.key:
        raise shards.conflict(
            shard, f"batch {batch.batch_id} at {batch.account} belongs to {shards.label(known.key)} already"
        )
    change.connection.execute(BATCHES.update().where(_at(batch)).values(_row(batch)))


def seen(change: Change, batch: BatchRecord) -> None:
    """Record an observation, unless a later one or the batch's end is recorded already."""
    known = _locked(change, batch)
    if known is None:
        raise LedgerConflict(
            f"Batch {batch.batch_id} at {batch.account} belongs to no shard in this ledger, so its status "
            f"({batch.status}) was not recorded. It may run and be billed: attach it to its shard first."
        )
    if not _is_news(known, batch):
        return
    update = {
        "status": batch.status,
        "provider_status": batch.provider_status,
        "seen_at": batch.seen_at,
        "ended_at": batch.ended_at or known.ended_at,
        "total": batch.total,
        "completed": batch.completed,
        "failed": batch.failed,
        "note": batch.note or known.note,
    }
    change.connection.execute(BATCHES.update().where(_at(batch)).values(update))
    if batch.status is not known.status:
        moved = f"batch {batch.batch_id} {known.status} → {batch.status}"
        shards.event(change, known.key, moved, batch.note)


def _is_news(known: BatchRecord, batch: BatchRecord) -> bool:
    if known.status.ended != batch.status.ended:
        return batch.status.ended  # the end is the end, whichever clock says what
    return batch.seen_at >= known.seen_at


def _check_of(shard: Shard, batch: BatchRecord) -> None:
    spoken = (batch.key, batch.attempt, batch.account)
    if spoken != (shard.key, shard.attempt, shard.account):
        raise SpecError(
            f"The record of batch {batch.batch_id} speaks of {shards.label(batch.key)}, attempt "
            f"{batch.attempt}, account {batch.account}, but was to be attached to {shards.label(shard.key)}, "
            f"attempt {shard.attempt}, account {shard.account}. The batch may run and be billed; the ledger "
            "was not changed."
        )


def _locked(change: Change, batch: BatchRecord) -> BatchRecord | None:
    row = change.connection.execute(select(BATCHES).where(_at(batch)).with_for_update()).mappings().first()
    return None if row is None else _record(row)


def _at(batch: BatchRecord) -> ColumnElement[bool]:
    return and_(BATCHES.c.account == batch.account, BATCHES.c.batch_id == batch.batch_id)


def _row(batch: BatchRecord) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(batch, name) for name in _FIELDS}
    return row | {"run_id": batch.key.run_id, "round": batch.key.round, "number": batch.key.number}


def _record(row: RowMapping) -> BatchRecord:
    key = ShardKey(run_id=row["run_id"], round=row["round"], number=row["number"])
    return BatchRecord(key=key, **{name: row[name] for name in _FIELDS})
