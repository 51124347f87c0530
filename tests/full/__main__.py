"""`make workloads`: the four workloads at the full size of the data sets, on a real Airflow and the emulator.

Prints a Markdown table with a line for each stage of each night: rows, requests, what was not asked again, the wall
time of the dag run and the largest memory of any of its processes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.emulated import towards
from offpeak.demo.place import environ
from offpeak.emulator import Emulator
from offpeak.ledger import Run
from offpeak.site import Site

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".." / "shared" / "data"
WEEK = ("2026-03-10T00:00:00Z", "2026-03-16T00:00:00Z")
RUN_SECONDS = 1_200.0
DAGS = ("full_triage", "full_embeddings", "full_commits", "full_meetings", "full_evals")
HEAD = (
    "| night | stage | rows | requests | not asked again | answered | batches | wall s | peak MB |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """What is up, and where."""

    airflow: LocalAirflow
    site: Site
    store: Path
    data: Path

    def put(self, name: str, table: pa.Table) -> None:
        folder = self.store / "full"
        folder.mkdir(parents=True, exist_ok=True)
        with Site.open(store=str(self.store)).store.writing(f"full/{name}.parquet") as path:
            pq.write_table(table, path, compression="zstd")

    def night(self, dag_id: str, night: str) -> None:
        """Trigger the DAG, wait, and print its lines."""
        with _watched() as peak:
            started = time.monotonic()
            dag_run = self.airflow.trigger(dag_id)
            self._end(dag_id, dag_run)
            seconds = time.monotonic() - started
        for run in reversed(self.site.ledger.runs(started_by=dag_run)):
            say(_line(night, run, seconds, peak()))

    def week(self, dag_id: str, night: str) -> None:
        """Airflow's own backfill of a week, one line for all of its nights."""
        first, last = WEEK
        with _watched() as peak:
            started = time.monotonic()
            self.airflow.api.unpause(dag_id)
            body = {"dag_id": dag_id, "from_date": first, "to_date": last, "max_active_runs": 1}
            behaviour = {"reprocess_behavior": "completed"}
            made = self.airflow.api.call("POST", "/api/v2/backfills", {**body, **behaviour})
            filled = self._filled(dag_id, made["id"])
            runs = self.airflow.wait("the backfill", filled, timeout_seconds=2 * RUN_SECONDS)
            seconds = time.monotonic() - started
        for one in sorted(runs, key=lambda found: found["run_after"]):
            for run in reversed(self.site.ledger.runs(started_by=one["dag_run_id"], limit=3)):
                if run.workload == dag_id:
                    say(_line(f"{night} {run.interval_key[:10]}", run, seconds / len(runs), peak()))

    def _filled(self, dag_id: str, backfill: int) -> Callable[[], list[dict[str, Any]] | None]:
        """Its runs, once Airflow calls the backfill complete, which takes it half a minute more."""

        def filled() -> list[dict[str, Any]] | None:
            if not self.airflow.api.call("GET", f"/api/v2/backfills/{backfill}")["completed_at"]:
                return None
            path = f"/api/v2/dags/{dag_id}/dagRuns?run_type=backfill&limit=100"
            runs: list[dict[str, Any]] = self.airflow.api.call("GET", path)["dag_runs"]
            failed = [run["dag_run_id"] for run in runs if run["state"] != "success"]
            assert not failed, failed
            return runs

        return filled

    def _end(self, dag_id: str, dag_run: str) -> None:
        if self.airflow.wait_for_run(dag_id, dag_run, timeout_seconds=RUN_SECONDS) != "success":
            tasks = self.airflow.task_instances(dag_id, dag_run)
            failed = {task["task_id"] for task in tasks if task["state"] == "failed"}
            sys.exit("\n".join(self.airflow.task_log(dag_id, dag_run, name) for name in sorted(failed)))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _line(night: str, run: Run, seconds: float, peak_bytes: int) -> str:
    facts = run.facts
    rows, asked = int(facts["rows"]), int(facts["requests"])
    spared = f"{(rows - asked) / rows:.1%}" if rows else "–"
    answered = facts.get("outcomes", {}).get("answered", 0)
    cells = [night, run.workload, f"{rows:,}", f"{asked:,}", spared, f"{answered:,}", str(facts["shards"])]
    return f"| {' | '.join([*cells, f'{seconds:.0f}', f'{peak_bytes / 1e6:.0f}'])} |"


@contextmanager
def _watched() -> Iterator[Callable[[], int]]:
    """The largest resident size of any process below this one, looked at twice a second."""
    most, done, ours = [0], threading.Event(), psutil.Process()

    def look() -> None:
        while not done.wait(0.5):
            for child in ours.children(recursive=True):
                try:
                    if "api_server" not in " ".join(child.cmdline()):
                        most[0] = max(most[0], child.memory_info().rss)
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield lambda: most[0]
    finally:
        done.set()
        watcher.join()


def _triage(full: Full) -> None:
    tickets = pq.read_table(full.data / "tickets" / "banking77_train.parquet", columns=["ticket_id", "text"])
    full.put("tickets", tickets)
    full.night("full_triage", "first")
    texts = tickets["text"].to_pylist()
    changed = [f"{text} Please hurry." if number % 33 == 0 else text for number, text in enumerate(texts)]
    full.put("tickets", tickets.set_column(1, "text", pa.array(changed)))
    full.night("full_triage", "second, 3 % changed")


def _embeddings(full: Full) -> None:
    for version in (1, 2, 3):
        pages = full.data / "docs" / f"dlt_docs_v{version}.parquet"
        full.put("docs", pq.read_table(pages, columns=["doc_path", "title", "text"]))
        full.night("full_embeddings", f"release {version}")


def _commits(full: Full) -> None:
    lines = (full.data / "digests" / "commits_dlt.jsonl").read_bytes().split(b"\n")
    made = [json.loads(line) for line in lines if line.strip()]
    said = [f"{one['subject']}\n{one['body']}\n{', '.join(one['files'])}" for one in made]
    columns = {name: [one[name] for one in made] for name in ("commit", "committed_at")}
    full.put("commits", pa.table({**columns, "said": said}))
    full.week("full_commits", "night")
    full.week("full_commits", "again")


def _meetings(full: Full) -> None:
    rows = pq.read_table(full.data / "digests" / "meetings_product.parquet")
    full.put(
        "meetings", rows.select(["meeting_id", "transcript"]).append_column("meeting", rows["meeting_id"])
    )
    full.night("full_meetings", "first")
    full.night("full_meetings", "second")


def _evals(full: Full) -> None:
    bbh = pq.read_table(full.data / "evals" / "bbh.parquet")
    maths = pq.read_table(full.data / "evals" / "gsm8k_train.parquet")
    names = ["item_id", "task", "question", "target"]
    first = pa.table([bbh["item_id"], bbh["task"], bbh["input"], bbh["target"]], names=names)
    task = pa.repeat(pa.scalar("gsm8k", first.schema.field("task").type), maths.num_rows)
    second = pa.table([maths["item_id"], task, maths["question"], maths["final_answer"]], names=names)
    full.put("cases", pa.concat_tables([first, second.cast(first.schema)]))
    full.night("full_evals", "first")
    full.night("full_evals", "second")


PARTS = {
    "triage": _triage,
    "embeddings": _embeddings,
    "commits": _commits,
    "meetings": _meetings,
    "evals": _evals,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.full", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--data", type=Path, default=DATA, help="the data sets")
    parser.add_argument("--keep", type=Path, help="leave the store in this folder, to look at the pages")
    given = parser.parse_args(arguments)
    if strange := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(strange))}")
    if not given.data.is_dir():
        sys.exit(f"There are no data sets in {given.data}; name their folder with --data.")
    with tempfile.TemporaryDirectory(prefix="offpeak-full-") as place, Emulator(speed=20) as emulator:
        home = Path(place)
        store = (given.keep or home / "store").resolve()
        shutil.copytree(ROOT / "tests" / "full" / "dags", home / "dags")
        env = towards(emulator.url, environ()) | {"OFFPEAK_STORE": str(store)}
        with LocalAirflow(home / "airflow", home / "dags", env=env) as airflow:
            for dag_id in DAGS:
                airflow.wait_for_dag(dag_id)
            site = Site.open(store=str(store), ledger=f"sqlite:///{store}/ledger.sqlite")
            full = Full(airflow=airflow, site=site, store=store, data=given.data)
            say(HEAD)
            for part in given.parts or PARTS:
                PARTS[part](full)


if __name__ == "__main__":
    main()
