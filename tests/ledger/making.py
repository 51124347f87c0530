"""Records that the ledger's tests begin from."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from offpeak.ledger import BatchRecord, Ledger, NewRun, NewShard, Shard, ShardKey, Spend
from offpeak.states import BatchStatus, Outcome, Route

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LEASE = timedelta(minutes=5)
ANNA = "elsewhere:11:aaaa"
BERT = "elsewhere:12:bbbb"


def new_run(**changes: Any) -> NewRun:
    run = NewRun(
        workload="ticket_triage",
        interval_key="2026-11-22T070000Z",
        interval_start=NOW - timedelta(hours=1),
        interval_end=NOW,
        spec_hash="5pec",
        spec={"model": "gpt-5-mini", "prompt": {"user": "{{ row.text }}"}},
        store="/store",
        due_at=NOW + timedelta(minutes=45),
        started_by="scheduled__1",
        provider="openai",
        model="gpt-5-mini",
    )
    return dataclasses.replace(run, **changes)


def new_shard(run_id: str, number: int = 1, *, in_round: int = 1) -> NewShard:
    return NewShard(
        key=ShardKey(run_id=run_id, round=in_round, number=number),
        tag=f"{number:02x}{in_round:02x}",
        file=f"runs/{number}/{in_round}.jsonl",
        request_count=10,
        size_bytes=5_000_000_000,
        estimated_tokens=3_000_000_000,
        provider="openai",
        account="openai_default",
        model="gpt-5-mini",
        endpoint="responses",
    )


def running(ledger: Ledger, shards: int = 1) -> list[ShardKey]:
    """The shards of a run that has just begun to run."""
    run, _ = ledger.open_run(new_run(), now=NOW)
    new = [new_shard(run.run_id, number) for number in range(1, shards + 1)]
    ledger.start_running(run.run_id, new, {}, now=NOW)
    return [shard.key for shard in new]


def batch_of(shard: Shard, batch_id: str = "batch_1", **changes: Any) -> BatchRecord:
    batch = BatchRecord(
        key=shard.key,
        attempt=shard.attempt,
        provider="openai",
        account="openai_default",
        batch_id=batch_id,
        status=BatchStatus.VALIDATING,
        provider_status="validating",
        created_at=NOW,
        seen_at=NOW,
        total=10,
    )
    return dataclasses.replace(batch, **changes)


def flying(ledger: Ledger, key: ShardKey, batch_id: str = "batch_1") -> Shard:
    """The shard, submitted by Anna."""
    shard = ledger.claim(key, ANNA, LEASE, now=NOW)
    assert shard is not None
    return ledger.attach(key, ANNA, batch_of(shard, batch_id), now=NOW)


def results_of(shard: Shard) -> Shard:
    return dataclasses.replace(
        shard,
        results=f"results/{shard.key.number}-{shard.key.round}.parquet",
        outcomes={Outcome.ANSWERED: 9, Outcome.REFUSED: 1},
        usage={"input_tokens": 1000, "output_tokens": 200},
        cost_usd=Decimal("0.000123450"),
    )


def spend_of(shard: Shard, **changes: Any) -> Spend:
    spend = Spend(
        workload="ticket_triage",
        run_id=shard.key.run_id,
        at=NOW,
        route=Route.BATCH,
        provider="openai",
        account="openai_default",
        model="gpt-5-mini",
        requests=10,
        usage={"input_tokens": 1000, "output_tokens": 200},
        cost_usd=Decimal("0.000123450"),
        realtime_usd=Decimal("0.0002469"),
    )
    return dataclasses.replace(spend, **changes)
