"""Time and peak memory of judging a large staged file: `python tests/bench/bench_checks.py 1000000 3000000`.

Each size runs in a process of its own, so that one peak does not hide another.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = 100_000


def write(path: Path, rows: int) -> None:
    """Key, three answer columns, one kept text and an outcome: six columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(7)
    words = ["low", "normal", "high"]
    schema = pa.schema(
        {
            "ticket_id": pa.string(),
            "text": pa.string(),
            "urgency": pa.string(),
            "score": pa.float64(),
            "stars": pa.int64(),
            "_outcome": pa.string(),
        }
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            columns = [
                [f"T-{start + at:09d}" for at in range(count)],
                [f"my card was lost on day {rng.random()}" for _ in range(count)],
                rng.choices(words, k=count),
                [rng.random() for _ in range(count)],
                [rng.choice([1, 2, 3, 4, 5, None]) for _ in range(count)],
                rng.choices(["answered", "refused"], weights=[99, 1], k=count),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def measure(path: Path, rows: int) -> None:
    from offpeak import gxe
    from offpeak.checks import ColumnFacts, Expected, judge, suite
    from offpeak.checks.engine import Engine

    Engine()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = (
        ColumnFacts(name="urgency", values=("low", "normal", "high")),
        ColumnFacts(name="score", minimum=0, maximum=1),
        ColumnFacts(name="stars", nullable=True, minimum=1, maximum=5),
    )
    checks = [
        gxe.ExpectColumnValueLengthsToBeBetween(column="text", min_value=1),
        gxe.ExpectColumnMeanToBeBetween(column="score", min_value=0.4, max_value=0.6),
        gxe.ExpectColumnMedianToBeBetween(column="stars", min_value=2, max_value=4),
    ]
    verdict = judge(
        path,
        suite(checks, facts, Expected(rows=rows, max_failed=0.05, key="ticket_id")),
        key="ticket_id",
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(  # noqa: T201
        f"{rows:>10,} rows: {verdict.decision}, {len(verdict.checks)} checks, {verdict.seconds:.1f} s, "
        f"peak {peak / 1024:.0f} MB ({(peak - before) / 1024:.0f} MB above the import)"
    )


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--one"]:
        measure(Path(arguments[1]), int(arguments[2]))
        return
    for rows in [int(word) for word in arguments] or [1_000_000, 3_000_000]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "staged.parquet"
            subprocess.run([sys.executable, __file__, "--write", str(path), str(rows)], check=True)
            subprocess.run([sys.executable, __file__, "--one", str(path), str(rows)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1:])
