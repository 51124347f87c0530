"""A task's process stays small: no pandas, and an allocator that gives back what it frees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAN = """
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from offpeak.memory import keep_little
keep_little()
import pyarrow as pa
from offpeak import Prompt, Workload, csv, parquet_table
from offpeak.ledger import Ledger
from offpeak.run import new_run, start
from offpeak.site import Interval, Site
from offpeak.store import Store
folder = Path(sys.argv[1])
(folder / "in.csv").write_text("id,text\\n" + "".join(f"{n},said {n % 5}\\n" for n in range(20)) + "7,again\\n8,\\n")
store = Store(str(folder / "store"))
site = Site(store=store, ledger=Ledger(store.default_ledger_url()), env={"OPENAI_API_KEY": "none"})
work = Workload(name="lean", rows=csv(str(folder / "in.csv"), key="id"), answer=str, model="openai:gpt-5-mini",
    prompt=Prompt(system="Say it.", user="{{ row.text }}"), into=parquet_table("{store}/t"), max_failed=0.5)
now = datetime(2026, 11, 22, tzinfo=UTC)
interval = Interval(start=now - timedelta(hours=1), end=now)
run = start(work, site, new_run(work, site, interval), interval)
print(run.facts["rows"], "pandas" in sys.modules, "duckdb" in sys.modules, pa.default_memory_pool().backend_name)
"""


COLLECT = """
import sys
from pathlib import Path
from offpeak.assemble import assemble
from offpeak import csv
from tests.core.making import planned, refused, said, site, workload
from tests.core.test_collect import ids
folder = Path(sys.argv[1])
(folder / "in.csv").write_text("id,text\\n1,a\\n2,b\\n2,again\\n3,a\\n4,c\\n")
rows = csv(str(folder / "in.csv"), key="id")
at = site(folder)
plan = planned(workload(rows=rows, rounds=1, answer=str, max_failed=0.5), at)
first, *others = ids(plan).values()
plan.answer([refused(first), *(said(one, "yes") for one in others)])
made = assemble(plan.workload, at, at.ledger.run(plan.run.run_id))
print(made.rows, made.dead_letters, "pandas" in sys.modules, "duckdb" in sys.modules)
"""


def _told(script: str, folder: Path, **env: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    told = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True,
        text=True,
        env=kept | env,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="which allocators Arrow has differs elsewhere")
def test_a_plan_with_bad_and_repeated_rows_needs_no_pandas_and_no_engine_and_keeps_little(
    tmp_path: Path,
) -> None:
    rows, pandas, duckdb, pool = _told(PLAN, tmp_path)
    assert (rows, pandas, duckdb) == ("22", "False", "False")
    assert pool in ("jemalloc", "system")


def test_collecting_and_assembling_with_a_dead_letter_needs_no_pandas_and_no_engine(tmp_path: Path) -> None:
    assert _told(COLLECT, tmp_path) == ["4", "3", "False", "False"]


def test_whoever_sets_arrows_allocator_decides(tmp_path: Path) -> None:
    assert _told(PLAN, tmp_path, ARROW_DEFAULT_MEMORY_POOL="mimalloc")[3] == "mimalloc"
