"""How long batches took: what a forecast learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select

from offpeak.ledger.records import BatchTime
from offpeak.ledger.schema import BATCHES, SHARDS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def batch_times(connection: Connection, provider: str, model: str, *, limit: int) -> list[BatchTime]:
    """Latest first, over all runs and accounts."""
    b, s = BATCHES.c, SHARDS.c
    shard = and_(b.run_id == s.run_id, b.round == s.round, b.number == s.number)
    size = func.coalesce(func.nullif(b.total, 0), s.request_count)  # 0 where the provider never said
    query = select(b.batch_id, b.status, b.created_at, b.seen_at, b.ended_at, size.label("requests"))
    query = query.select_from(BATCHES.join(SHARDS, shard)).where(b.provider == provider, s.model == model)
    query = query.order_by(b.created_at.desc(), b.batch_id).limit(limit)
    return [BatchTime(**row) for row in connection.execute(query).mappings()]
