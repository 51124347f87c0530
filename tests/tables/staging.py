"""What the table tests publish: rows with provenance, staged as a run stages them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offpeak.tables import PROVENANCE, Layout, Staged

ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "decimal128(18, 9)": pa.decimal128(18, 9),
    "timestamp[us, tz=UTC]": pa.timestamp("us", tz="UTC"),
}
MORNING = datetime(2026, 11, 22, 8, tzinfo=UTC)
PRICE = Decimal("0.000125000")


def layout(answer: Mapping[str, pa.DataType] | None = None, *, key: pa.DataType | None = None) -> Layout:
    """A ticket's key, one kept column, the answer's columns and the provenance."""
    answers = answer or {"intent": pa.string()}
    fields = [pa.field("ticket_id", key or pa.string()), pa.field("text", pa.string())]
    fields += [pa.field(name, kind) for name, kind in answers.items()]
    fields += [pa.field(name, ARROW[kind]) for name, kind in PROVENANCE]
    return Layout(schema=pa.schema(fields), key="ticket_id", answer=tuple(answers))


def row(key: Any, intent: Any = "refund", *, run: str = "run-1", **more: Any) -> dict[str, Any]:
    """One answered and paid row; `more` overrides any column."""
    return {
        "ticket_id": key,
        "text": f"text of {key!r}",
        "intent": intent,
        "_fingerprint": f"fp-{key}",
        "_model": "gpt-5-mini",
        "_run": run,
        "_outcome": "answered",
        "_input_tokens": 100,
        "_output_tokens": 10,
        "_cost_usd": PRICE,
        "_answered_at": MORNING,
        **more,
    }


def carried(key: Any, intent: Any = "refund", *, run: str = "run-1", **more: Any) -> dict[str, Any]:
    """A row that an earlier run paid for: in this run it cost nothing."""
    return row(key, intent, run=run, **{"_cost_usd": Decimal(0), **more})


def staged(
    folder: Path,
    rows: Sequence[Mapping[str, Any]] | Iterable[pa.RecordBatch],
    *,
    run: str = "run-1",
    hour: int = 8,
    of: Layout | None = None,
    workload: str = "tickets",
) -> Staged:
    """Write one run's result where a run would leave it."""
    of = of or layout()
    path = folder / f"staged-{run}.parquet"
    count = 0
    with pq.ParquetWriter(path, of.schema) as writer:
        batches: Iterable[Any] = rows
        if isinstance(rows, Sequence):
            batches = pa.Table.from_pylist([dict(each) for each in rows], of.schema).to_batches()
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
    start = MORNING.replace(hour=0) + timedelta(hours=hour)
    return Staged(
        path=path,
        layout=of,
        workload=workload,
        run_id=run,
        interval_key=start.strftime("%Y-%m-%dT%H%M%SZ"),
        row_count=count,
    )


def wanted(folder: Path, fingerprints: Iterable[str]) -> Path:
    """A file of them as a plan's spool has them: with nulls, and some more than once."""
    path, each = folder / "wanted.parquet", list(fingerprints)
    pq.write_table(pa.table({"_fingerprint": pa.array([None, *each, *each[:2], None], pa.string())}), path)
    return path


def many(count: int, of: Layout, run: str, **columns: pa.Array) -> Iterable[pa.RecordBatch]:
    """Batches of generated rows, so that a large publish never stands in the test's memory."""
    size = 50_000
    for first in range(0, count, size):
        rows = min(size, count - first)
        keys = pa.array([f"key-{number:08d}" for number in range(first, first + rows)])
        arrays = {
            "ticket_id": keys,
            "text": pa.array(["a text of some length, as tickets have"] * rows),
            "intent": pa.array([f"intent of {run}"] * rows),
            "_fingerprint": pa.array([f"fp-{run}-{number:08d}" for number in range(first, first + rows)]),
            "_model": pa.array(["gpt-5-mini"] * rows),
            "_run": pa.array([run] * rows),
            "_outcome": pa.array(["answered"] * rows),
            "_input_tokens": pa.array([100] * rows, pa.int64()),
            "_output_tokens": pa.array([10] * rows, pa.int64()),
            "_cost_usd": pa.array([PRICE] * rows, pa.decimal128(18, 9)),
            "_answered_at": pa.array([MORNING] * rows, pa.timestamp("us", tz="UTC")),
            **columns,
        }
        yield pa.RecordBatch.from_arrays([arrays[name] for name in of.schema.names], schema=of.schema)
