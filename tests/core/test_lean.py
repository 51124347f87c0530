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
print(run.facts["rows"], "pandas" in sys.modules, pa.default_memory_pool().backend_name)
"""


def _planned(folder: Path, **env: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    told = subprocess.run(
        [sys.executable, "-c", PLAN, str(folder)], capture_output=True, text=True, env=kept | env, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="which allocators Arrow has differs elsewhere")
def test_a_plan_with_bad_and_repeated_rows_needs_no_pandas_and_keeps_little(tmp_path: Path) -> None:
    rows, pandas, pool = _planned(tmp_path)
    assert (rows, pandas) == ("22", "False")
    assert pool in ("jemalloc", "system")


def test_whoever_sets_arrows_allocator_decides(tmp_path: Path) -> None:
    assert _planned(tmp_path, ARROW_DEFAULT_MEMORY_POOL="mimalloc")[2] == "mimalloc"
