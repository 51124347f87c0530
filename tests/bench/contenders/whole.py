"""Two nights through the command line against the emulator: every row new, then three in a hundred changed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.provider import ROOT, Provider, provider
from tests.bench.work import Outcome, Place

CHANGED_SHARE = 0.03
BLOCK_ROWS = 50_000
EXTRA: dict[str, float] = {}


def prepare(place: Place) -> None:
    import pyarrow.parquet  # noqa: F401


def run(place: Place) -> None:
    store = place.out / "store"
    (store / "in").mkdir(parents=True)
    rows = store / "in" / "rows.parquet"
    rows.symlink_to(place.data / "rows.parquet")
    with provider() as at:
        _night(at, store, "first", end="2026-11-21T06:00:00Z")
        rows.unlink()
        EXTRA["changed_rows"] = _change(place.data / "rows.parquet", rows)
        _night(at, store, "second", end="2026-11-22T06:00:00Z")


def _night(at: Provider, store: Path, name: str, *, end: str) -> None:
    command = [
        *(str(Path(sys.executable).with_name("offpeak")), "run", f"{ROOT / 'tests/bench/night.py'}:tickets"),
        *("--store", str(store), "--end", end, "--json"),
    ]
    provider_cpu, began = at.cpu_seconds(), time.monotonic()
    with (store / f"{name}.out").open("w+") as said, (store / f"{name}.err").open("w+") as told:
        process = subprocess.Popen(command, stdout=said, stderr=told, env=at.env(), cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        told.seek(0)
        assert process.returncode == 0, f"offpeak run ended with {process.returncode}:\n{told.read()[-2000:]}"
        facts: dict[str, Any] = json.loads(said.read().splitlines()[-1])
    assert facts["state"] == "published"
    EXTRA[f"{name}_wall_seconds"] = time.monotonic() - began
    EXTRA[f"{name}_cpu_seconds"] = used.ru_utime + used.ru_stime
    EXTRA[f"{name}_peak_mb"] = used.ru_maxrss * 1024 / 1e6
    EXTRA[f"{name}_requests"] = facts["requests"]
    EXTRA[f"{name}_emulator_cpu_seconds"] = at.cpu_seconds() - provider_cpu


def _change(source: Path, target: Path) -> int:
    """Write the rows anew, with a sentence more in some of them; how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, changed = random.Random(3), 0
    rows = pq.ParquetFile(source)
    with pq.ParquetWriter(target, rows.schema_arrow) as writer:
        for batch in rows.iter_batches(BLOCK_ROWS):
            texts = batch.column("text").to_pylist()
            for at in range(len(texts)):
                if rng.random() < CHANGED_SHARE:
                    changed += 1
                    texts[at] += f" PS: this is my message number {changed}."
            column = pa.array(texts, pa.string())
            writer.write_batch(batch.set_column(batch.schema.get_field_index("text"), "text", column))
    return changed


def outcome(place: Place) -> Outcome | None:
    return None
