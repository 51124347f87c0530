"""The ledger: the SQL database of runs, shards, batches and spend. The only state."""

from __future__ import annotations

from offpeak.ledger.ledger import Ledger
from offpeak.ledger.records import (
    BatchRecord,
    Event,
    NewRun,
    NewShard,
    Run,
    Shard,
    ShardKey,
    Spend,
    Stage,
)

__all__ = [
    "BatchRecord",
    "Event",
    "Ledger",
    "NewRun",
    "NewShard",
    "Run",
    "Shard",
    "ShardKey",
    "Spend",
    "Stage",
]
