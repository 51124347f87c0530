"""Parts of a real Airflow are taken away while a run of twelve shards is under way, and what is left of it.

Postgres holds Airflow's metadata and the ledger. Batches end when a test turns the clock. One storm is
part of every test run; the rest is `make resilience`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.emulated import towards
from offpeak.demo.place import environ
from offpeak.emulator import Emulator
from offpeak.ledger import Shard
from offpeak.site import Site
from offpeak.states import RunState, ShardState
from tests.e2e.conftest import BATCH_LIFE_SECONDS, Stage
from tests.e2e.twelve import ROWS, SHARD_ROWS, SHARDS, Twelve
from tests.postgres import PostgresServer

pytestmark = pytest.mark.xdist_group("airflow")

AWAY_SECONDS = 20.0
HALF_A_BATCH_SECONDS = 5.0
"""Virtual: 2 s of validation and half of the 6 s in which the rows finish one after another."""
DAGS = ("storm", "killed_workers", "lost_database", "failed_shard", "failed_run", "at_once")
_SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    # how soon another triggerer takes over from one that was killed
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    # how soon a task is given up whose supervisor is gone
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
}


@pytest.fixture(scope="module")
def stage(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("twelve")
    store, dags = home / "store", Path(__file__).parent / "dags_of_twelve"
    _write_rows(store / "rows")
    name = f"twelve_{secrets.token_hex(4)}"
    for database in (f"{name}_airflow", f"{name}_ledger"):
        postgres_server.execute(f"CREATE DATABASE {database}")
        # the tests' server forgets its last commits when it dies; one that holds a ledger must not
        postgres_server.execute(f"ALTER DATABASE {database} SET synchronous_commit TO on")
    ledger = postgres_server.url(f"{name}_ledger")
    metadata = postgres_server.url(f"{name}_airflow").replace("+psycopg:", "+psycopg2:")
    settings = _SETTINGS | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata}
    with Emulator(frozen=True) as emulator:
        env = towards(emulator.url, environ()) | {"OFFPEAK_STORE": str(store), "OFFPEAK_LEDGER": ledger}
        with LocalAirflow(home / "airflow", dags, env=env, settings=settings) as airflow:
            for dag_id in DAGS:
                airflow.wait_for_dag(dag_id)
            site = Site.open(store=str(store), ledger=ledger)
            yield Stage(airflow=airflow, control=emulator.control, site=site, home=home)


def _write_rows(folder: Path) -> None:
    folder.mkdir(parents=True)
    keys = [f"t{number:03d}" for number in range(ROWS)]
    texts = [f"My card {number} did not arrive" for number in range(ROWS)]
    pq.write_table(pa.table({"id": keys, "text": texts}), folder / "rows.parquet")


@pytest.mark.slow
def test_a_run_outlives_its_scheduler_its_triggerer_and_a_provider_that_is_away(stage: Stage) -> None:
    case = Twelve.begin(stage, "storm")
    case.await_in_flight(2)
    stage.control.add_fault("unreachable", times=-1)
    away_since = time.monotonic()
    case.wait("all twelve in the triggerer", case.all_wait)
    assert 2 <= case.count(ShardState.IN_FLIGHT) < SHARDS, "some had their batch, the others waited to submit"
    for component in ("triggerer", "scheduler"):
        stage.airflow.kill(component)
        stage.airflow.start(component)
    looked = _unanswered(stage, "GET", "/v1/batches/{id}")
    case.wait(
        "a look of the new triggerer that nobody answers",
        lambda: (
            _unanswered(stage, "GET", "/v1/batches/{id}") > looked
            and time.monotonic() - away_since > AWAY_SECONDS
        ),
    )
    stage.control.clear_faults()
    case.await_in_flight()
    stage.control.advance(BATCH_LIFE_SECONDS)
    assert case.await_end() == "success", stage.blame("storm", case.dag_run_id)
    case.check_books()


def _unanswered(stage: Stage, method: str, path: str) -> int:
    """Calls whose connection was reset."""
    return sum(seen.by_status.get("none", 0) for seen in stage.control.requests(method, path))


@pytest.mark.slow
def test_workers_killed_in_the_middle_of_their_upload_and_of_their_paid_call_pay_nothing_twice(
    stage: Stage,
) -> None:
    # the answer of one upload and of one paid call takes a minute to arrive
    for path in ("/v1/files", "/v1/batches"):
        params = {"pieces": 3, "pause_seconds": 20.0}
        stage.control.add_fault("slow_body", method="POST", path=path, params=params)
    uploads = stage.control.count("POST", "/v1/files")
    case = Twelve.begin(stage, "killed_workers")
    case.await_in_flight(SHARDS - 2)
    uploading, paying = sorted(_submitting(case), key=lambda shard: shard.upload_id is not None)
    assert (uploading.upload_id, bool(paying.upload_id)) == (None, True)
    assert len(case.batches()) == SHARDS - 1, "the paid call took effect; only its answer is on the way"
    for shard in (uploading, paying):
        _task_of(shard).kill()
    case.await_in_flight()
    assert stage.control.count("POST", "/v1/files") - uploads == SHARDS + 1
    stage.control.advance(BATCH_LIFE_SECONDS)
    assert case.await_end() == "success", stage.blame("killed_workers", case.dag_run_id)
    case.check_books()
    tries = {task["map_index"] + 1: task["try_number"] for task in case.tasks()}
    again = {number for number, count in tries.items() if count == 2}
    assert again == {uploading.key.number, paying.key.number}


def _submitting(case: Twelve) -> list[Shard]:
    return [shard for shard in case.shards() if shard.state is ShardState.SUBMITTING]


def _task_of(shard: Shard) -> psutil.Process:
    """The process of the task that holds the shard's lease; a child of Airflow's worker."""
    task = psutil.Process(int(shard.holder.split(":")[1]))
    assert any("airflow" in " ".join(parent.cmdline()) for parent in task.parents())
    return task


@pytest.mark.slow
def test_a_run_goes_on_after_postgres_was_away(stage: Stage, postgres_server: PostgresServer) -> None:
    case = Twelve.begin(stage, "lost_database")
    case.await_in_flight(3)
    with stage.airflow.reviving() as revived:
        postgres_server.stop()
        away_since = time.monotonic()
        case.wait("a time without a database", lambda: time.monotonic() - away_since > AWAY_SECONDS)
        postgres_server.start()
        case.await_in_flight()
        stage.control.advance(BATCH_LIFE_SECONDS)
        state = case.await_end()
    assert state == "success", stage.blame("lost_database", case.dag_run_id)
    case.check_books()
    assert {"scheduler", "triggerer"} <= set(revived), (
        "they end without a database, for a service manager to restart"
    )


@pytest.mark.slow
def test_two_dag_runs_of_one_interval_share_one_run_and_its_batches(stage: Stage) -> None:
    interval = {"start": "2026-11-22T08:00:00+00:00", "end": "2026-11-22T09:00:00+00:00"}
    one, other = (Twelve.begin(stage, "at_once", **interval) for _ in range(2))
    one.await_in_flight()
    for case in (one, other):
        case.wait("all twelve in the triggerer", case.all_wait)
    stage.control.advance(BATCH_LIFE_SECONDS)
    for case in (one, other):
        assert case.await_end() == "success", stage.blame("at_once", case.dag_run_id)
        case.check_books()


@pytest.mark.slow
def test_a_shard_that_a_person_failed_is_cancelled_and_taken_up_again_when_it_is_cleared(
    stage: Stage,
) -> None:
    case = Twelve.begin(stage, "failed_shard")
    case.await_in_flight()
    case.wait("all twelve in the triggerer", case.all_watched)
    stage.control.advance(HALF_A_BATCH_SECONDS)
    (failed,) = [shard for shard in case.shards() if shard.key.number == 5]
    case.mark_failed(failed.key.number - 1)
    case.wait("the batch's cancellation", lambda: _stage_of(case, failed) == "cancelling")
    stage.control.advance(BATCH_LIFE_SECONDS)
    assert case.await_end() == "failed"
    case.wait("the other eleven", lambda: case.count(ShardState.COLLECTED) == SHARDS - 1)
    assert case.run.state is RunState.FAILED
    assert sorted(case.states()) == ["failed"] + ["success"] * (SHARDS - 1)
    case.clear(("shard", failed.key.number - 1))
    case.wait("the second round", lambda: _in_second_round(case) == [failed.key.number])
    stage.control.advance(BATCH_LIFE_SECONDS)
    assert case.await_end() == "success", stage.blame("failed_shard", case.dag_run_id)
    case.check_books(batches=SHARDS + 1)
    finished = {batch.id: batch.billed.requests for batch in case.batches()}
    assert finished.pop(str(failed.batch_id)) == SHARD_ROWS // 2
    assert sorted(finished.values()) == [SHARD_ROWS // 2] + [SHARD_ROWS] * (SHARDS - 1)


def _stage_of(case: Twelve, shard: Shard) -> str:
    (stage,) = [batch.stage for batch in case.batches() if batch.id == shard.batch_id]
    return stage


def _in_second_round(case: Twelve) -> list[int]:
    """The shards that are in flight a second time."""
    flying = [shard for shard in case.shards() if shard.state is ShardState.IN_FLIGHT]
    return [shard.key.number for shard in flying if shard.key.round == 2]


@pytest.mark.slow
def test_marking_the_dag_run_failed_cancels_all_that_is_in_flight(stage: Stage) -> None:
    case = Twelve.begin(stage, "failed_run")
    case.await_in_flight()
    case.wait("all twelve in the triggerer", case.all_watched)
    stage.control.advance(HALF_A_BATCH_SECONDS)
    case.mark_run_failed()
    case.wait("the cancellations", lambda: {batch.stage for batch in case.batches()} == {"cancelling"})
    assert set(case.states()) == {"failed"}
    stage.control.advance(BATCH_LIFE_SECONDS)
    case.clear("shard")
    case.wait("the second round", lambda: len(_in_second_round(case)) == SHARDS)
    stage.control.advance(BATCH_LIFE_SECONDS)
    assert case.await_end() == "success", stage.blame("failed_run", case.dag_run_id)
    case.check_books(batches=2 * SHARDS)
