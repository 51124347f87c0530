"""Ten thousand cases without thought: scored and compared in seconds, in memory that does not grow with the answers."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from offpeak.evals.compare import compared, sliced
from offpeak.evals.scoring import Cases, aligned, score
from tests.evals.making import KINDS, candidate, suite

COUNT = 10_000


def answers(path: Path, right: float, seed: int) -> Path:
    """The published answers of one candidate, of which a share is right."""
    chance = np.random.default_rng(seed)
    kinds = [KINDS[number % 3] for number in range(COUNT)]
    said = [kind if luck < right else "other" for kind, luck in zip(kinds, chance.random(COUNT), strict=True)]
    rows = [
        {"case_id": n, "text": f"text {n} " * 20, "kind": kind, "region": n % 7}
        for n, kind in enumerate(kinds)
    ]
    table = pa.table(
        {
            "eval_key": [f"{number}#1" for number in range(COUNT)],
            "eval_case": [orjson.dumps(row).decode() for row in rows],
            "eval_sample": [""] * COUNT,
            "kind": said,
            "_outcome": ["answered"] * COUNT,
            "_model": ["gpt-5-mini"] * COUNT,
        }
    )
    pq.write_table(table, path)
    return path


def test_ten_thousand_cases_of_three_candidates_are_scored_and_compared_in_seconds(tmp_path: Path) -> None:
    made = suite(candidates=[candidate(name) for name in ("a", "b", "c")], slices=["region"])
    shares = {"a": 0.95, "b": 0.93, "c": 0.95}
    files = {name: answers(tmp_path / name, right, at) for at, (name, right) in enumerate(shares.items())}
    started = time.process_time()
    cases = Cases(slices={"region": []})
    found = {name: aligned(score(made, name, path, cases), cases) for name, path in files.items()}
    results = {name: compared("kind", one, found["a"], alpha=0.05) for name, one in found.items()}
    parts = sliced("kind", found["b"], found["a"], cases, alpha=0.05)
    assert time.process_time() - started < 15  # 1 s on a machine of its own
    assert results["b"].difference.high < 0 < results["c"].difference.high
    assert results["b"].score.cases == COUNT
    assert sum(part.compared.score.cases for part in parts) == COUNT
