"""The ledger: the SQL database of runs, shards, batches, spend and alerts. The only state."""

from __future__ import annotations

from offpeak.ledger.ledger import Ledger
from offpeak.ledger.records import (
    Alert,
    BatchRecord,
    BatchTime,
    Delivery,
    Event,
    NewAlert,
    NewRun,
    NewShard,
    Run,
    Shard,
    ShardKey,
    Spend,
    Stage,
)

__all__ = [
    "Alert",
    "BatchRecord",
    "BatchTime",
    "Delivery",
    "Event",
    "Ledger",
    "NewAlert",
    "NewRun",
    "NewShard",
    "Run",
    "Shard",
    "ShardKey",
    "Spend",
    "Stage",
]
