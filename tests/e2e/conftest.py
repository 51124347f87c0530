"""One real Airflow and one emulator for all tests of this folder. Batches end when a test turns the clock."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.emulated import towards
from offpeak.demo.place import environ
from offpeak.demo.tickets import ROWS as TICKETS
from offpeak.demo.tickets import write_tickets
from offpeak.emulator import Control, Emulator
from offpeak.ledger import Run
from offpeak.site import Site
from offpeak.states import ShardState
from tests.e2e.warm import SETTINGS, warm

ROWS = 120
DAGS = ("ticket_triage", "survivor", "refused", "own", "costly", "approved_unseen")
KEY = f"sk-e2e-{secrets.token_hex(16)}"
IN_FLIGHT_SECONDS = 120.0
END_SECONDS = 180.0
BATCH_LIFE_SECONDS = 60.0
"""Virtual; longer than any batch of the emulator takes."""
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the tests of this folder play."""

    airflow: LocalAirflow
    control: Control
    site: Site
    home: Path
    """Holds everything that Airflow, the store and the ledger wrote."""

    def trigger(self, dag_id: str, **conf: object) -> str:
        return self.airflow.trigger(dag_id, conf)

    def run(self, workload: str, dag_run_id: str) -> Run:
        return next(run for run in self.site.ledger.runs(workload) if run.started_by == dag_run_id)

    def states(self, dag_id: str, dag_run_id: str) -> dict[str, set[str]]:
        """By task, the states of its instances."""
        found: dict[str, set[str]] = {}
        for task in self.airflow.task_instances(dag_id, dag_run_id):
            found.setdefault(task["task_id"], set()).add(task["state"])
        return found

    def await_deferred(self, dag_id: str, dag_run_id: str, shard_task: str = "shard") -> int:
        """Until all shards of the dag run wait for their batch in the triggerer; how many."""

        def deferred() -> int:
            tasks = self.airflow.task_instances(dag_id, dag_run_id)
            shards = [task for task in tasks if task["task_id"] == shard_task and task["map_index"] >= 0]
            assert all(task["state"] != "failed" for task in tasks), self.blame(dag_id, dag_run_id)
            return len(shards) if all(task["state"] == "deferred" for task in shards) else 0

        what = f"deferring the shards of {dag_id}"
        return self.airflow.wait(what, deferred, timeout_seconds=IN_FLIGHT_SECONDS)

    def await_question(self, dag_id: str, dag_run_id: str) -> str:
        """Until the dag run waits for a person, and the scheduler knows: Airflow asks again when somebody answers
        sooner. What the person is asked."""
        known = f"TaskInstance Finished: dag_id={dag_id}, task_id=approve, run_id={dag_run_id}"
        scheduler = self.airflow.home / "out" / "scheduler.log"

        def asked() -> str | None:
            tasks = self.airflow.task_instances(dag_id, dag_run_id)
            assert all(task["state"] != "failed" for task in tasks), self.blame(dag_id, dag_run_id)
            waits = any(task["state"] == "awaiting_input" for task in tasks)
            if not waits or known not in scheduler.read_text(errors="replace"):
                return None
            told = self.airflow.api.call("GET", _question(dag_id, dag_run_id))
            return f"{told['subject']}\n{told['body']}"

        what = f"the question of {dag_id}"
        return self.airflow.wait(what, asked, timeout_seconds=IN_FLIGHT_SECONDS)

    def answer(self, dag_id: str, dag_run_id: str, chosen: str) -> None:
        """What a person answers on the page of required actions."""
        said = {"chosen_options": [chosen], "params_input": {}}
        self.airflow.api.call("PATCH", _question(dag_id, dag_run_id), said)

    def await_end(self, dag_id: str, dag_run_id: str) -> str:
        return self.airflow.wait_for_run(dag_id, dag_run_id, timeout_seconds=END_SECONDS)

    def blame(self, dag_id: str, dag_run_id: str) -> str:
        """The ends of the logs of what failed, for an assertion's message."""
        tasks = self.airflow.task_instances(dag_id, dag_run_id)
        failed = {task["task_id"] for task in tasks if task["state"] in ("failed", "up_for_retry")}
        return "\n".join(self.airflow.task_log(dag_id, dag_run_id, name) for name in sorted(failed))

    def in_flight(self, workload: str, dag_run_id: str) -> int:
        shards = self.site.ledger.shards(self.run(workload, dag_run_id).run_id)
        return sum(shard.state is ShardState.IN_FLIGHT for shard in shards)

    def creates_of(self, run: Run) -> int:
        """How many batches the emulator accepted for this run's shards."""
        tags = {shard.tag for shard in self.site.ledger.shards(run.run_id)}
        return sum(create.custom_ids[0].split("-")[0] in tags for create in self.control.creates())


def _question(dag_id: str, dag_run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(dag_run_id)}/taskInstances/approve/-1/hitlDetails"


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("stage")
    dags, store = home / "dags", home / "store"
    shutil.copytree(ROOT / "tests" / "e2e" / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dags" / "ticket_triage.py", dags)
    write_tickets(store, ROWS)
    sample = store / TICKETS
    pq.write_table(
        pq.read_table(sample), sample, row_group_size=ROWS // 3
    )  # so that there are shares to read
    with Emulator(frozen=True) as emulator:
        env = towards(emulator.url, environ(), key=KEY) | {"OFFPEAK_STORE": str(store)}
        with LocalAirflow(warm(home / "airflow"), dags, env=env, settings=SETTINGS | _SETTINGS) as airflow:
            site = Site.open(store=str(store), ledger=f"sqlite:///{store}/ledger.sqlite")
            for dag_id in DAGS:
                airflow.wait_for_dag(dag_id)
            yield Stage(airflow=airflow, control=emulator.control, site=site, home=home)


_SETTINGS = {
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    # how soon another triggerer takes over from one that was killed
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}
