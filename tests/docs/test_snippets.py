"""Python in the docs runs, and the README's DAG is the one in dags/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from offpeak.dag_files import load, workloads
from offpeak.spec import spec_of
from tests.docs.reading import ROOT, Block, blocks

SNIPPETS = blocks("python")
PLAIN = [snippet for snippet in SNIPPETS if "airflow.sdk" not in snippet.text]
DAG_FILE = ROOT / "dags" / "ticket_triage.py"
OTHER_ACCOUNTS = (
    *("AIRFLOW_CONN_OPENAI_DEFAULT", "OFFPEAK_STORE", "OFFPEAK_LEDGER"),
    *("OFFPEAK_LOOK_SECONDS", "OFFPEAK_SETTLE_SECONDS"),
)


@pytest.mark.parametrize("snippet", PLAIN, ids=[snippet.name for snippet in PLAIN])
def test_a_snippet_runs_as_a_file(snippet: Block, tmp_path: Path) -> None:
    file = tmp_path / "snippet.py"
    file.write_text(snippet.text, encoding="utf-8")
    workloads(file)


def test_the_dag_of_ones_own_holds_the_workloads_tasks_as_a_group(tmp_path: Path) -> None:
    (snippet,) = [snippet for snippet in SNIPPETS if snippet not in PLAIN]
    told = "\nprint(sorted(nightly.task_ids))\n"
    done = subprocess.run(
        [sys.executable, "-c", snippet.text + told],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stages = ("check", "plan", "publish", "report", "shard")
    assert done.stdout.splitlines()[-1] == str([*(f"digest.{stage}" for stage in stages), "fetch"])


def test_the_readmes_dag_is_the_one_that_the_demo_runs(tmp_path: Path) -> None:
    (snippet,) = [snippet for snippet in SNIPPETS if snippet.page.name == "README.md"]
    assert snippet.text == DAG_FILE.read_text(encoding="utf-8")
    (tmp_path / "readme.py").write_text(snippet.text, encoding="utf-8")
    shown, run = load(str(tmp_path / "readme.py")), load(str(DAG_FILE))
    assert spec_of(shown, limit=None, again=False) == spec_of(run, limit=None, again=False)


def test_the_test_for_ones_own_ci_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = [snippet for snippet in SNIPPETS if "def test_" in snippet.text]
    project = tmp_path / "project"
    shutil.copytree(ROOT / "dags", project / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "tests").mkdir()
    rows = [{"ticket_id": f"T{n}", "text": f"My card number {n} was stolen"} for n in range(30)]
    (project / "tests" / "tickets.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    for name in OTHER_ACCOUNTS:
        monkeypatch.delenv(name, raising=False)
    names: dict[str, object] = {}
    exec(compile(snippet.text, "docs/emulator.md", "exec"), names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    assert callable(test)
    test(tmp_path / "store")
    assert list((tmp_path / "store" / "tables").rglob("answers.parquet"))
