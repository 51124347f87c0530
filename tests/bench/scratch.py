"""The inputs of a part, made by seeded generators into a scratch folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.bench import runs
from tests.bench.answers import write_answers
from tests.bench.contenders import ONCE
from tests.bench.measuring import Inputs
from tests.bench.tickets import write_rows

WARM_ROWS = 200
COLD = ("whole", "polling", "airflow")
"""Parts that are whole processes: there is nothing to warm up."""
BATCHES = 1_000
VECTOR_SHARE = 10
MOST_VECTORS = 100_000
"""Embedding files are 15 times as large as answers: so many fewer rows, and so many at most."""


def rows_of_part(part: str, size: int) -> int:
    """How many rows (batches, for polling) a part works on when the bench is asked for `size`."""
    if part in ONCE:
        return BATCHES if part == "polling" else 1
    if part in ("floats", "base64"):
        return max(1, min(size // VECTOR_SHARE, MOST_VECTORS))
    return size


def prepare(part: str, rows: int, scratch: Path) -> Inputs:
    """Write the inputs of `part` into `scratch`."""
    counts = {"data": rows} | ({} if part in COLD else {"warm": min(rows, WARM_ROWS)})
    for name, count in counts.items():
        (scratch / name).mkdir()
        _prepare(part, count, scratch / name)
    warm = scratch / "warm" if "warm" in counts else None
    return Inputs(data=scratch / "data", warm=warm, scratch=scratch)


def _prepare(part: str, rows: int, data: Path) -> None:
    if part == "polling":
        (data / "count").write_text(str(rows))
    if part in ONCE:
        return
    write_rows(data / "rows.parquet", rows)
    if part == "build":
        _written(data)
    elif part in ("chat", "anthropic", "floats", "base64"):
        write_answers(part, data)


def _written(data: Path) -> None:
    """Shards as Offpeak writes them: so many bytes are written plainly."""
    at = runs.site(data / "once")
    run = runs.plan(runs.bench_workload(data, "chat"), at)
    (data / "written").mkdir()
    for path in runs.shard_paths(run, at):
        os.link(path, data / "written" / path.name)
    at.ledger.close()
    shutil.rmtree(data / "once")
