"""Offpeak's side of the bench: a site in a folder, a planned run, and its batches as if they had ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.tickets import workload

if TYPE_CHECKING:
    from offpeak import Workload
    from offpeak.blocks import Block
    from offpeak.ledger import Run, Shard
    from offpeak.providers.provider import Batch
    from offpeak.site import Site

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
STORE = "store"


def site(folder: Path) -> Site:
    """The site whose store and SQLite ledger are in `folder`."""
    from offpeak.ledger import Ledger
    from offpeak.site import Site
    from offpeak.store import Store

    store = Store(str(folder / STORE))
    env = {"OPENAI_API_KEY": "bench", "ANTHROPIC_API_KEY": "bench"}
    return Site(store=store, ledger=Ledger(store.default_ledger_url()), env=env, now=lambda: NOW)


def plan(of: Workload, at: Site) -> Run:
    """Read the rows and cut the shards, as the first task of a run does."""
    from offpeak.run import new_run, start
    from offpeak.site import Interval

    interval = Interval(start=NOW - timedelta(hours=1), end=NOW)
    return start(of, at, new_run(of, at, interval), interval)


def shard_paths(run: Run, at: Site) -> list[Path]:
    """The shard files of a planned run, in their order."""
    return [Path(at.store.root) / shard.file for shard in at.ledger.shards(run.run_id)]


def send(run: Run, at: Site) -> None:
    """Note every shard as in flight, its batch named for its number."""
    from offpeak.ledger import BatchRecord
    from offpeak.states import BatchStatus

    for shard in at.ledger.shards(run.run_id):
        claimed = at.ledger.claim(shard.key, "bench", timedelta(hours=1), now=NOW)
        assert claimed is not None
        record = BatchRecord(
            key=shard.key,
            attempt=claimed.attempt,
            provider=shard.provider,
            account=shard.account,
            batch_id=batch_name(shard.key.number),
            status=BatchStatus.RUNNING,
            provider_status="in_progress",
            created_at=NOW,
            seen_at=NOW,
        )
        at.ledger.attach(shard.key, "bench", record, now=NOW)


def batch_name(number: int) -> str:
    return f"batch_{number:05d}"


def copy(base: Path, into: Path) -> None:
    """A run as it was prepared, for one repetition: files by hard link, the ledger as a file of its own."""
    for source in sorted(path for path in (base / STORE).rglob("*") if path.is_file()):
        target = into / STORE / source.relative_to(base / STORE)
        target.parent.mkdir(parents=True, exist_ok=True)
        if "ledger" in source.name:
            shutil.copy(source, target)
        else:
            os.link(source, target)


def rows_of(data: Path) -> str:
    """The address of the part's rows."""
    return str(data / "rows.parquet")


class ResultFiles:
    """A client whose batches' results are files on this disk, and which has nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def blocks(self, batch: Batch) -> Iterator[Block]:
        from offpeak.blocks import blocks_of

        with result_file(self._folder, batch.id).open("rb", buffering=0) as file:
            yield from blocks_of(file)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"collecting must not call {name}")


def result_file(folder: Path, batch_id: str) -> Path:
    return folder / f"{batch_id}.jsonl"


def ended(shard: Shard) -> Batch:
    """The shard's batch as the provider shows it at its end."""
    from offpeak.providers.provider import Batch
    from offpeak.states import BatchStatus

    return Batch(
        id=batch_name(shard.key.number),
        status=BatchStatus.COMPLETED,
        provider_status="completed",
        created_at=NOW,
        ended_at=NOW,
        total=shard.request_count,
        completed=shard.request_count,
        result_files=(batch_name(shard.key.number),),
    )


def bench_workload(data: Path, kind: str) -> Workload:
    return workload(kind, rows_of(data))
