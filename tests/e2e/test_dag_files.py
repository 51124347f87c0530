"""DAG files as Airflow's dag-processor meets them: often."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "dags").glob("*.py"))
HEAVY = ("great_expectations", "pandas", "pyarrow", "openai", "anthropic", "duckdb", "sqlalchemy")

PARSE = """
import json, pathlib, runpy, sys, time
import airflow.sdk
before = set(sys.modules)
import offpeak.dag_files, offpeak.on_airflow.dag
offpeak.dag_files.workloads(pathlib.Path(sys.argv[1]))
started = time.process_time()
found = runpy.run_path(sys.argv[1])
seconds = time.process_time() - started
new = {name.partition(".")[0] for name in set(sys.modules) - before}
dags = [value.dag_id for value in found.values() if isinstance(value, airflow.sdk.DAG)]
print(json.dumps({"seconds": seconds, "new": sorted(new), "dags": dags}))
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dag_file_is_parsed_quickly_and_loads_nothing_heavy(file: Path, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "OFFPEAK_"))}
    env |= {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "include")}
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(file)],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["dags"], f"{file.name} defines no DAG at its top level"
    assert sorted(set(told["new"]) & set(HEAVY)) == []
    assert told["seconds"] < 0.5, "processor seconds of a parse once its imports are warm"
    assert not (tmp_path / "offpeak-store").exists(), "a DAG file does no I/O when it is parsed"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dag_file_has_a_specification_of_at_most_forty_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 40
