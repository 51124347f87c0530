"""What the core's tests begin from: workloads, sites with a SQLite ledger, planned runs, result lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.blocks import Block, lines_of
from offpeak.collect import collect
from offpeak.ledger import BatchRecord, Ledger, NewShard, Run, Shard, ShardKey
from offpeak.plan import Plan, Reading, make_plan
from offpeak.providers.provider import Batch, Limits
from offpeak.results import Tally
from offpeak.rows.source import Opening, RowBatch
from offpeak.run import new_run
from offpeak.shards import ShardFile, estimated_tokens
from offpeak.site import Interval, Site
from offpeak.states import BatchStatus
from offpeak.store import Store

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Kind(BaseModel):
    """The answer that most tests ask for."""

    kind: Literal["card", "refund", "other"]
    urgent: bool = False


@dataclass(frozen=True, kw_only=True)
class Given:
    """Rows that a test holds in its hands, in batches as it gives them."""

    batches_: tuple[RowBatch, ...]
    key: str = "id"

    def describe(self) -> str:
        return "rows of a test"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        yield from self.batches_


def given_rows(*tables: pa.Table, key: str = "id") -> Given:
    """One batch for each table, from origins `part-1`, `part-2` ..."""
    made = tuple(
        RowBatch(table.combine_chunks().to_batches()[0], f"part-{number}", 1)
        for number, table in enumerate(tables, 1)
    )
    return Given(batches_=made, key=key)


def settings(**changes: Any) -> dict[str, Any]:
    """The arguments of a workload that is right in everything."""
    return {
        "name": "sorting",
        "rows": parquet("{store}/in/*.parquet", key="id"),
        "prompt": Prompt(system="Sort bank tickets.", user="{{ row.text }}"),
        "answer": Kind,
        "model": "openai:gpt-5-mini",
        "into": parquet_table("{store}/table"),
        "max_failed": 1.0,
        **changes,
    }


def workload(**changes: Any) -> Workload:
    return Workload(**settings(**changes))


class Narrow:
    """A provider with other limits, and the rest as it is."""

    def __init__(self, provider: Any, *, requests: int = 50_000, size_bytes: int = 200_000_000) -> None:
        self._provider = provider
        self.limits = Limits(requests=requests, size_bytes=size_bytes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


def narrow(of: Workload, **limits: int) -> Workload:
    """The workload with a provider that takes less."""
    of.__dict__["provider"] = Narrow(of.provider, **limits)
    return of


def hourly(hour: int = 8) -> Interval:
    start = datetime(2026, 11, 22, hour, tzinfo=UTC)
    return Interval(start=start, end=start + timedelta(hours=1))


def site(folder: Path) -> Site:
    store = Store(str(folder / "store"))
    return Site(store=store, ledger=Ledger(store.default_ledger_url()), env={}, now=lambda: NOW)


def write_rows(at: Site, rows: Sequence[Mapping[str, Any]] | pa.Table, name: str = "in/a.parquet") -> Path:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist([dict(row) for row in rows])
    path = Path(at.store.root) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def texts(*given: str | None) -> list[dict[str, Any]]:
    """Rows k1, k2 ... with these texts."""
    return [{"id": f"k{number}", "text": text} for number, text in enumerate(given, 1)]


@dataclass(kw_only=True)
class Planned:
    """A run with its plan, running in the ledger."""

    workload: Workload
    site: Site
    run: Run
    plan: Plan
    rounds: int = field(default=0)

    def file(self, name: str) -> Path:
        return Path(self.site.store.root) / self.plan.folder / name

    def rows(self) -> list[dict[str, Any]]:
        return read(self.file("rows.parquet"))

    def decisions(self) -> list[str]:
        return [row["decision"] for row in read(self.file("plan.parquet"))]

    def requests(self) -> list[dict[str, Any]]:
        """Every line of every shard of the plan."""
        paths = [Path(self.site.store.root) / shard.file for shard in self.plan.shards]
        return [orjson.loads(line) for path in paths for line in lines_of(path)]

    def shards(self) -> list[Shard]:
        """The open shards, in the latest round of each."""
        latest = {shard.key.number: shard for shard in self.site.ledger.shards(self.run.run_id)}
        return [shard for shard in latest.values() if shard.batch_id is None]

    def answer(self, lines: Iterable[bytes], status: BatchStatus = BatchStatus.COMPLETED) -> Tally:
        """Collect the first open shard from these result lines."""
        shard = self.shards()[0]
        claimed = self.site.ledger.claim(shard.key, "tester", timedelta(minutes=5), now=NOW)
        assert claimed is not None
        seen = batch(f"batch_{shard.key.round}_{shard.key.number}_{self.run.run_id}", status)
        flying = self.site.ledger.attach(shard.key, "tester", _record(claimed, seen), now=NOW)
        return collect(self.workload, self.site, Lines(lines), flying, seen)


class Lines:
    """A client whose batch gave these lines."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines

    def blocks(self, batch: Batch) -> Iterator[Block]:
        yield Block.of([*self._lines])

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"collecting must not call {name}")


def batch(batch_id: str = "batch_1", status: BatchStatus = BatchStatus.COMPLETED) -> Batch:
    return Batch(id=batch_id, status=status, provider_status=str(status), created_at=NOW, ended_at=NOW)


def _record(shard: Shard, seen: Batch) -> BatchRecord:
    return BatchRecord(
        key=shard.key,
        attempt=shard.attempt,
        provider=shard.provider,
        account=shard.account,
        batch_id=seen.id,
        status=seen.status,
        provider_status=seen.provider_status,
        created_at=NOW,
        seen_at=NOW,
    )


def planned(of: Workload, at: Site, hour: int = 8, **options: Any) -> Planned:
    """Plan a run of this hour and bring it to running."""
    run, _ = at.ledger.open_run(new_run(of, at, hourly(hour), **options), now=NOW)
    plan = make_plan(of, at, run, hourly(hour), Reading(**options))
    shards = [_new_shard(of, run, shard) for shard in plan.shards]
    facts = {"folder": plan.folder, "rows": plan.rows, "requests": plan.asked}
    run = at.ledger.start_running(run.run_id, shards, facts, now=NOW)
    return Planned(workload=of, site=at, run=run, plan=plan)


def _new_shard(of: Workload, run: Run, shard: ShardFile) -> NewShard:
    return NewShard(
        key=ShardKey(run_id=run.run_id, round=1, number=shard.number),
        tag=shard.tag,
        file=shard.file,
        request_count=shard.request_count,
        size_bytes=shard.size_bytes,
        estimated_tokens=estimated_tokens(shard.size_bytes),
        provider=of.provider_name,
        account="openai_default",
        model=of.model_name,
        endpoint=of.endpoint,
    )


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows


def said(custom_id: str, text: str, *, tokens: tuple[int, int] = (10, 5), **body: Any) -> bytes:
    """A result line of OpenAI's responses endpoint."""
    answer = {
        "object": "response",
        "status": "completed",
        "model": "gpt-5-mini-2025-08-07",
        "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        ],
        "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]},
        **body,
    }
    response = {"status_code": 200, "request_id": "r", "body": answer}
    return orjson.dumps({"id": "b", "custom_id": custom_id, "response": response, "error": None})


def truncated(custom_id: str) -> bytes:
    return said(
        custom_id, '{"kind": "ca', status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )


def refused(custom_id: str) -> bytes:
    return said(
        custom_id,
        "",
        output=[
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "I cannot help with that."}],
            }
        ],
    )


def errored(custom_id: str, *, status: int = 500, code: str = "server_error") -> bytes:
    body = {"error": {"code": code, "message": "It broke.", "type": code}}
    response = {"status_code": status, "request_id": "r", "body": body}
    return orjson.dumps({"id": "b", "custom_id": custom_id, "response": response, "error": None})


def embedded(custom_id: str, vector: bytes) -> bytes:
    import base64

    data = [{"object": "embedding", "index": 0, "embedding": base64.b64encode(vector).decode()}]
    body = {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    response = {"status_code": 200, "request_id": "r", "body": body}
    return orjson.dumps({"id": "b", "custom_id": custom_id, "response": response, "error": None})
