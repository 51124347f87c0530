"""The example DAG and its neighbours on a real Airflow: scheduler, workers, triggerer and real HTTP."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from offpeak.demo.tickets import tickets
from offpeak.states import Outcome, RunState
from tests.e2e.conftest import BATCH_LIFE_SECONDS, KEY, ROWS, Stage

pytestmark = pytest.mark.xdist_group("airflow")

TRIAGE, REFUSED, OWN, SURVIVOR = "ticket_triage", "refused", "own", "survivor"
COSTLY, UNSEEN = "costly", "approved_unseen"
SHARD_ROWS = 40
REQUESTS = len({ticket.text for ticket in tickets(ROWS)})
SURVIVOR_SHARDS = -(-REQUESTS // SHARD_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Dag runs that have ended, by DAG, and what was seen on the way."""

    dag_runs: dict[str, str]
    states: dict[str, str]
    deferred: dict[str, int]
    creates_before_kill: int = 0


@pytest.fixture(scope="module")
def first(stage: Stage) -> Told:
    """Three DAGs side by side, from their trigger to their end."""
    groups = {TRIAGE: "shard", REFUSED: "shard", OWN: "grouped.shard"}
    runs = {dag_id: stage.trigger(dag_id) for dag_id in groups}
    deferred = {dag_id: stage.await_deferred(dag_id, runs[dag_id], task) for dag_id, task in groups.items()}
    stage.control.advance(BATCH_LIFE_SECONDS)
    states = {dag_id: stage.await_end(dag_id, run_id) for dag_id, run_id in runs.items()}
    return Told(dag_runs=runs, states=states, deferred=deferred)


@pytest.fixture(scope="module")
def second(stage: Stage, first: Told) -> Told:
    """The example again, beside a run in whose middle the triggerer is killed and started again."""
    runs = {TRIAGE: stage.trigger(TRIAGE), SURVIVOR: stage.trigger(SURVIVOR)}
    deferred = {SURVIVOR: stage.await_deferred(SURVIVOR, runs[SURVIVOR])}
    creates = stage.creates_of(stage.run(SURVIVOR, runs[SURVIVOR]))
    stage.airflow.kill("triggerer")
    stage.airflow.start("triggerer")
    stage.control.advance(BATCH_LIFE_SECONDS)
    states = {dag_id: stage.await_end(dag_id, run_id) for dag_id, run_id in runs.items()}
    return Told(dag_runs=runs, states=states, deferred=deferred, creates_before_kill=creates)


def test_the_example_goes_from_its_rows_to_its_published_table(stage: Stage, first: Told) -> None:
    dag_run = first.dag_runs[TRIAGE]
    assert first.states[TRIAGE] == "success", stage.blame(TRIAGE, dag_run)
    tasks = stage.states(TRIAGE, dag_run)
    assert tasks == {name: {"success"} for name in ("plan", "shard", "check", "publish", "report")}
    run = stage.run(TRIAGE, dag_run)
    assert run.state is RunState.PUBLISHED
    table = pq.read_table(run.facts["table"]["address"])
    assert table["ticket_id"].to_pylist() == [ticket.ticket_id for ticket in tickets(ROWS)]
    assert set(table["_outcome"].to_pylist()) == {Outcome.ANSWERED}
    assert Path(run.facts["report"]["html"]).is_file()


def test_a_shard_waits_in_the_triggerer_and_not_in_a_worker(stage: Stage, first: Told) -> None:
    assert first.deferred == {TRIAGE: 1, REFUSED: 1, OWN: 1}


def test_as_many_batches_are_created_as_there_are_shards(stage: Stage, first: Told) -> None:
    run = stage.run(TRIAGE, first.dag_runs[TRIAGE])
    assert run.facts["requests"] == REQUESTS
    assert stage.creates_of(run) == run.facts["shards"] == 1


def test_a_verdict_of_no_makes_the_dag_run_red_and_the_report_is_still_written(
    stage: Stage, first: Told
) -> None:
    dag_run = first.dag_runs[REFUSED]
    assert first.states[REFUSED] == "failed"
    tasks = stage.states(REFUSED, dag_run)
    assert tasks["check"] == {"failed"}
    assert tasks["publish"] == {"upstream_failed"}
    assert tasks["report"] == {"success"}
    run = stage.run(REFUSED, dag_run)
    assert run.state is RunState.REFUSED
    assert "the verdict is no" in run.error
    assert Path(run.facts["report"]["html"]).is_file()
    assert not (stage.home / "store" / "tables" / REFUSED).exists()


def test_a_workload_works_as_a_task_group_in_a_dag_of_ones_own(stage: Stage, first: Told) -> None:
    dag_run = first.dag_runs[OWN]
    assert first.states[OWN] == "success", stage.blame(OWN, dag_run)
    stages = ("read", "plan", "shard", "check", "publish", "report")
    names = {"before", "after", *(f"grouped.{name}" for name in stages)}
    assert stage.states(OWN, dag_run) == {name: {"success"} for name in names}
    assert stage.run("grouped", dag_run).state is RunState.PUBLISHED


def test_several_tasks_read_the_rows_that_one_plans(stage: Stage, first: Told) -> None:
    dag_run = first.dag_runs[OWN]
    readers = [one for one in stage.airflow.task_instances(OWN, dag_run) if one["task_id"] == "grouped.read"]
    assert sorted(one["rendered_map_index"] for one in readers) == ["1 of 2", "2 of 2"]
    log = stage.airflow.task_log(OWN, dag_run, "grouped.plan")
    assert f"{ROWS} rows, 0 answered before" in log
    assert "the plan reads all rows itself" not in log
    assert stage.site.store.names("runs/grouped/*shares*/*") == []
    table = pq.read_table(stage.run("grouped", dag_run).facts["table"]["address"])
    assert table["ticket_id"].to_pylist() == [ticket.ticket_id for ticket in tickets(ROWS)]


def test_a_second_run_asks_nothing_and_creates_no_batch(stage: Stage, first: Told, second: Told) -> None:
    dag_run = second.dag_runs[TRIAGE]
    assert second.states[TRIAGE] == "success", stage.blame(TRIAGE, dag_run)
    run = stage.run(TRIAGE, dag_run)
    assert (run.facts["requests"], run.facts["shards"]) == (0, 0)
    assert stage.creates_of(stage.run(TRIAGE, first.dag_runs[TRIAGE])) == 1
    assert stage.site.ledger.batches(run.run_id) == []
    assert stage.site.ledger.spent(run_id=run.run_id) == []
    assert pq.read_table(run.facts["table"]["address"]).num_rows == ROWS


def test_killing_the_triggerer_in_the_middle_changes_nothing(stage: Stage, second: Told) -> None:
    dag_run = second.dag_runs[SURVIVOR]
    assert second.states[SURVIVOR] == "success", stage.blame(SURVIVOR, dag_run)
    run = stage.run(SURVIVOR, dag_run)
    assert run.state is RunState.PUBLISHED
    assert second.deferred[SURVIVOR] == second.creates_before_kill == SURVIVOR_SHARDS > 1
    assert stage.creates_of(run) == SURVIVOR_SHARDS
    tasks = stage.airflow.task_instances(SURVIVOR, dag_run)
    assert {task["try_number"] for task in tasks if task["task_id"] == "shard"} == {1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Three dag runs with a limit for approval: one approved, one rejected, and one below its limit."""

    question: str
    batches_while_waiting: int
    dag_runs: dict[str, str]
    states: dict[str, str]


@pytest.fixture(scope="module")
def asked(stage: Stage, first: Told) -> Asked:
    runs = {"no": stage.trigger(COSTLY)}
    stage.await_question(COSTLY, runs["no"])
    stage.answer(COSTLY, runs["no"], "Reject")
    states = {"no": stage.await_end(COSTLY, runs["no"])}
    runs |= {"yes": stage.trigger(COSTLY), "unseen": stage.trigger(UNSEEN)}
    question = stage.await_question(COSTLY, runs["yes"])
    waiting = stage.creates_of(stage.run(COSTLY, runs["yes"]))
    stage.answer(COSTLY, runs["yes"], "Approve")
    for name, dag_id in (("yes", COSTLY), ("unseen", UNSEEN)):
        stage.await_deferred(dag_id, runs[name])
    stage.control.advance(BATCH_LIFE_SECONDS)
    states |= {
        name: stage.await_end(dag_id, runs[name]) for name, dag_id in (("yes", COSTLY), ("unseen", UNSEEN))
    }
    return Asked(question=question, batches_while_waiting=waiting, dag_runs=runs, states=states)


@pytest.mark.slow
def test_a_run_above_its_limit_waits_for_a_person_and_goes_on_after_a_yes(stage: Stage, asked: Asked) -> None:
    dag_run = asked.dag_runs["yes"]
    run = stage.run(COSTLY, dag_run)
    assert asked.question.startswith(f"Send {REQUESTS} requests of {run.run_id} for about $")
    assert "above approve_above_usd=0" in asked.question
    assert "Marmalade" not in asked.question
    assert asked.batches_while_waiting == 0
    assert asked.states["yes"] == "success", stage.blame(COSTLY, dag_run)
    assert run.state is RunState.PUBLISHED
    assert (run.facts["approval"]["answer"], run.facts["approval"]["by"]) == ("yes", "admin")
    assert stage.creates_of(run) == 1


@pytest.mark.slow
def test_a_no_ends_the_run_as_cancelled_with_nothing_sent_and_a_report_that_says_so(
    stage: Stage, asked: Asked
) -> None:
    dag_run = asked.dag_runs["no"]
    assert asked.states["no"] == "failed"
    tasks = stage.states(COSTLY, dag_run)
    assert (tasks["approve"], tasks["publish"]) == ({"failed"}, {"upstream_failed"})
    assert tasks["report"] == {"success"}
    run = stage.run(COSTLY, dag_run)
    assert run.state is RunState.CANCELLED
    assert run.error.startswith(f"Not approved: admin said no to sending {REQUESTS} requests")
    assert stage.creates_of(run) == 0
    assert f"admin said no to sending {REQUESTS} requests" in Path(run.facts["report"]["html"]).read_text()


@pytest.mark.slow
def test_a_run_below_its_limit_waits_for_nobody(stage: Stage, asked: Asked) -> None:
    assert asked.states["unseen"] == "success", stage.blame(UNSEEN, asked.dag_runs["unseen"])
    assert stage.states(UNSEEN, asked.dag_runs["unseen"])["approve"] == {"success"}
    assert "approval" not in stage.run(UNSEEN, asked.dag_runs["unseen"]).facts


def test_airflow_stores_no_prompt_beside_the_dag_files_source_and_no_row(stage: Stage, second: Told) -> None:
    row = next(ticket.text for ticket in tickets(ROWS) if ticket.text.isascii() and len(ticket.text) > 60)
    with closing(sqlite3.connect(stage.home / "airflow" / "airflow.db")) as database:
        cells = list(_cells(database))
    tables = {table for table, _ in cells}
    assert {"serialized_dag", "xcom", "rendered_task_instance_fields", "task_instance"} <= tables
    for phrase, known in (
        ("You sort tickets", {"dag_code"}),
        ("Marmalade skies", {"dag_code"}),
        (row, set()),
    ):
        assert {table for table, cell in cells if phrase in cell} == known, phrase


def _cells(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every cell of Airflow's database, as text."""
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in names:
        for row in database.execute(f'SELECT * FROM "{table}"'):
            yield from ((table, _text(cell)) for cell in row)


def _text(cell: object) -> str:
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)


def test_the_key_is_in_no_file_that_airflow_the_store_or_the_ledger_wrote(stage: Stage, second: Told) -> None:
    files = [path for path in stage.home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    assert any(path.name.startswith("ledger.sqlite") for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
