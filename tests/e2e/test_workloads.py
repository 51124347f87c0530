"""Embeddings, digest and evaluation suite on a real Airflow: first night and second night; assets and backfill."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak.demo import eval_cases
from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.emulated import towards
from offpeak.demo.place import environ
from offpeak.demo.samples import SAMPLES
from offpeak.demo.tickets import tickets
from offpeak.emulator import Control, Emulator
from offpeak.ledger import Run
from offpeak.site import Site
from offpeak.states import RunState
from tests.e2e.conftest import ROOT
from tests.e2e.warm import SETTINGS, warm

pytestmark = pytest.mark.xdist_group("airflow")

EMBEDDINGS, DIGEST, EVALS = "docs_embeddings", "daily_digest", "eval_suite"
CONDENSING = ("daily_digest__condense_1", "daily_digest__condense_2")
CANDIDATES = ("eval_suite__mini", "eval_suite__nano", "eval_suite__mini_longer")
DAGS = (EMBEDDINGS, DIGEST, EVALS)
CASES, STABLE = 60, 50
NIGHTS = ("2026-11-10", "2026-11-11")
NIGHT_ROWS, NEW_ROWS = 12, 4
END_SECONDS = 400.0
SCHEDULE = re.compile(r"schedule=\"@\w+\"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    airflow: LocalAirflow
    control: Control
    site: Site
    store: Path

    def night(self, number: int) -> dict[str, dict[str, Run]]:
        """Run the three DAGs of one night side by side; by DAG the runs of its stages."""
        begun = {name: self.airflow.trigger(name, SAMPLES[name].nights[number]) for name in DAGS}
        for name, dag_run in begun.items():
            state = self.airflow.wait_for_run(name, dag_run, timeout_seconds=END_SECONDS)
            assert state == "success", self.blame(name, dag_run)
        return {name: self.runs(dag_run) for name, dag_run in begun.items()}

    def runs(self, dag_run: str) -> dict[str, Run]:
        return {run.workload: run for run in self.site.ledger.runs(started_by=dag_run)}

    def blame(self, dag_id: str, dag_run: str) -> str:
        tasks = self.airflow.task_instances(dag_id, dag_run)
        failed = {task["task_id"] for task in tasks if task["state"] in ("failed", "up_for_retry")}
        return "\n".join(self.airflow.task_log(dag_id, dag_run, name) for name in sorted(failed))

    def billed(self) -> int:
        return sum(one.requests for one in self.control.state().billed.values())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("workloads")
    dags, store = home / "dags", home / "store"
    dags.mkdir()
    for name in (
        DAGS
    ):  # with the scheduler at work, which starts who waits for an asset, they would run by themselves
        said = (ROOT / "dags" / SAMPLES[name].dag_file).read_text()
        assert SCHEDULE.search(said), name
        (dags / SAMPLES[name].dag_file).write_text(SCHEDULE.sub("schedule=None", said))
    shutil.copy(ROOT / "tests" / "e2e" / "dags_of_workloads" / "neighbours.py", dags)
    SAMPLES[EMBEDDINGS].write(store)
    SAMPLES[DIGEST].write(store)
    eval_cases.write(store, CASES)
    _write_nights(store)
    with Emulator(speed=30) as emulator:
        env = towards(emulator.url, environ()) | {"OFFPEAK_STORE": str(store)}
        with LocalAirflow(warm(home / "airflow"), dags, env=env, settings=SETTINGS) as airflow:
            for dag_id in (*DAGS, "nights", "follower"):
                airflow.wait_for_dag(dag_id)
                airflow.api.unpause(dag_id)
            site = Site.open(store=str(store), ledger=f"sqlite:///{store}/ledger.sqlite")
            yield Stage(airflow=airflow, control=emulator.control, site=site, store=store)


def _write_nights(store: Path) -> None:
    """Each night most of the tickets of the night before, and a few new ones."""
    made = list(tickets(200))
    texts = list(dict.fromkeys(ticket.text for ticket in made))
    (store / "nights").mkdir(parents=True)
    for number, day in enumerate(NIGHTS):
        first = number * NEW_ROWS
        rows = {
            "ticket_id": [f"n{first + place}" for place in range(NIGHT_ROWS)],
            "text": texts[first : first + NIGHT_ROWS],
        }
        pq.write_table(pa.table(rows), store / "nights" / f"{day}T000000Z.parquet")


@pytest.fixture(scope="module")
def first(stage: Stage) -> dict[str, dict[str, Run]]:
    return stage.night(0)


@pytest.fixture(scope="module")
def second(stage: Stage, first: dict[str, dict[str, Run]]) -> dict[str, dict[str, Run]]:
    for name in DAGS:
        SAMPLES[name].change(stage.store)
    return stage.night(1)


def requests(runs: Mapping[str, Run]) -> dict[str, int]:
    return {name: int(run.facts["requests"]) for name, run in runs.items()}


def rows_of(run: Run) -> list[dict[str, Any]]:
    return pq.ParquetFile(run.facts["table"]["address"]).read().to_pylist()


def test_every_stage_of_the_first_night_is_published_and_billed_once(
    stage: Stage, first: dict[str, dict[str, Run]]
) -> None:
    assert set(first[EMBEDDINGS]) == {EMBEDDINGS}
    assert set(first[DIGEST]) == {*CONDENSING, DIGEST}
    assert set(first[EVALS]) == set(CANDIDATES)
    states = {run.workload: run.state for runs in first.values() for run in runs.values()}
    assert states == dict.fromkeys(states, RunState.PUBLISHED)


def test_levels_are_used_where_a_group_is_larger_than_a_window(first: dict[str, dict[str, Run]]) -> None:
    asked = requests(first[DIGEST])
    assert asked[CONDENSING[0]] > asked[CONDENSING[1]] > 0
    assert asked[DIGEST] == 6, "one digest for each team"


def test_the_second_night_asks_only_what_is_new(
    first: dict[str, dict[str, Run]], second: dict[str, dict[str, Run]]
) -> None:
    before, after = first[EMBEDDINGS][EMBEDDINGS].facts, second[EMBEDDINGS][EMBEDDINGS].facts
    assert 0 < after["requests"] <= 4 < before["requests"], "an edit and a new page; the moved page is kept"
    assert after["carried"] + after["folded"] + after["requests"] == after["rows"]
    assert requests(second[EVALS]) == dict.fromkeys(CANDIDATES, 2 * STABLE), "the sample, asked twice"
    assert {run.facts["rows"] for run in first[EVALS].values()} == {CASES + 2 * STABLE}


def test_the_pages_are_written_and_named_by_the_last_step(
    stage: Stage, second: dict[str, dict[str, Run]]
) -> None:
    for folder in ("digests/daily_digest", "evals/eval_suite"):
        page = (stage.store / folder / "latest.html").read_text(encoding="utf-8")
        assert "Content-Security-Policy" in page
    finished = {name: list(runs.values()) for name, runs in second.items()}
    said = [run.facts.get("finished_said") for runs in finished.values() for run in runs]
    assert sum(bool(one) for one in said) == 3, "each pipeline keeps what it said with its last stage"


def test_vectors_are_searchable_after_both_nights(stage: Stage, second: dict[str, dict[str, Run]]) -> None:
    rows = rows_of(second[EMBEDDINGS][EMBEDDINGS])
    documents = {row["doc_path"] for row in rows}
    assert "docs/guides/rows.md" in documents
    assert "docs/rows.md" not in documents
    assert {len(row["vector"]) for row in rows} == {512}


def test_an_event_of_the_evaluation_starts_who_waits_for_it_and_carries_the_decisions(
    stage: Stage, first: dict[str, dict[str, Run]]
) -> None:
    def ended() -> str | None:
        runs = stage.airflow.api.call("GET", "/api/v2/dags/follower/dagRuns?state=success")["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else None

    run_id = stage.airflow.wait("the follower", ended, timeout_seconds=END_SECONDS)
    path = f"/api/v2/dags/follower/dagRuns/{quote(run_id)}/taskInstances/read/xcomEntries/return_value"
    extra = stage.airflow.api.call("GET", f"{path}?deserialize=true")["value"]
    decisions = {name: one["decision"] for name, one in extra["candidates"].items()}
    assert set(decisions) == {"mini", "nano", "mini_longer"}
    assert decisions["mini"] == "baseline"


def test_airflow_shows_where_tables_come_from(stage: Stage, first: dict[str, dict[str, Run]]) -> None:
    assets = stage.airflow.api.call("GET", "/api/v2/assets?limit=200")["assets"]
    by_name = {asset["name"]: asset for asset in assets}
    made = by_name["offpeak_eval_suite"]
    assert [task["dag_id"] for task in made["producing_tasks"]] == [EVALS]
    assert [dag["dag_id"] for dag in made["scheduled_dags"]] == ["follower"]
    read = by_name["parquet {store}/nights/{interval}.parquet"]
    assert [(task["dag_id"], task["task_id"]) for task in read["consuming_tasks"]] == [("nights", "plan")]


@pytest.mark.slow
def test_a_backfill_pays_only_for_what_was_never_asked(
    stage: Stage, second: dict[str, dict[str, Run]]
) -> None:
    by_hand = stage.airflow.trigger(
        "nights", {"start": f"{NIGHTS[1]}T00:00:00Z", "end": "2026-11-12T00:00:00Z"}
    )
    assert stage.airflow.wait_for_run("nights", by_hand, timeout_seconds=END_SECONDS) == "success"
    billed = stage.billed()
    body = {
        "dag_id": "nights",
        "from_date": f"{NIGHTS[0]}T00:00:00Z",
        "to_date": f"{NIGHTS[-1]}T00:00:00Z",
        "max_active_runs": 1,
        "reprocess_behavior": "none",
    }
    stage.airflow.api.call("POST", "/api/v2/backfills", body)

    def ended() -> list[dict[str, Any]] | None:
        path = "/api/v2/dags/nights/dagRuns?run_type=backfill"
        found = [run for run in stage.airflow.api.call("GET", path)["dag_runs"] if run["state"] != "queued"]
        return found if len(found) == len(NIGHTS) and {run["state"] for run in found} == {"success"} else None

    runs = stage.airflow.wait("the backfill", ended, timeout_seconds=END_SECONDS)
    asked = {
        run.interval_key[:10]: run.facts["requests"]
        for one in runs
        for run in stage.site.ledger.runs(started_by=one["dag_run_id"])
    }
    assert asked == {NIGHTS[0]: NEW_ROWS, NIGHTS[1]: 0}
    assert stage.billed() == billed + NEW_ROWS
