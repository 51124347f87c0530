"""Due times on a real Airflow: who is told, when, how often; and what is done before it is too late.

Batches end when a test turns the clock. What waits for a deadline takes minutes: `make on-time`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.emulated import towards
from offpeak.demo.place import environ
from offpeak.demo.tickets import write_tickets
from offpeak.emulator import Emulator
from offpeak.ledger import Ledger
from offpeak.site import Site
from offpeak.states import BatchStatus, RunState
from tests.alerts.servers import Hook, Smtp
from tests.e2e.conftest import BATCH_LIFE_SECONDS, Stage
from tests.e2e.dags_on_time.on_time import ROUTES
from tests.ledger.making import ANNA, LEASE, NOW, batch_of, new_run, new_shard

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.slow]

ROWS = 12
TOLD_SECONDS = 150.0
ESCALATED_SECONDS = 300.0
QUICK, SLOW = timedelta(minutes=1), timedelta(hours=3)
"""How long past batches took: most were quick, so that a run starts with a batch; not all, so that it is at risk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The stage, and those who are told."""

    stage: Stage
    hook: Hook
    smtp: Smtp

    def trigger(self, dag_id: str, *, ends_in: timedelta) -> str:
        """A dag run of an empty interval that ends so much later than now."""
        end = (datetime.now(UTC) + ends_in).isoformat()
        return self.stage.trigger(dag_id, start=end, end=end)

    def kinds(self, run_id: str) -> list[tuple[str, str]]:
        """What the webhook was told about one run."""
        return [(one["kind"], one["cause"]) for one in self.hook.taken if one["run_id"] == run_id]

    def await_told(self, run_id: str, kind: str, cause: str) -> None:
        self.stage.airflow.wait(
            f"telling that {run_id} is {cause} ({kind})",
            lambda: (kind, cause) in self.kinds(run_id),
            timeout_seconds=TOLD_SECONDS,
        )

    def mails_about(self, run_id: str) -> list[str]:
        return [subject for subject in self.smtp.subjects() if run_id in subject]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    home = tmp_path_factory.mktemp("on_time")
    store, dags = home / "store", Path(__file__).parent / "dags_on_time"
    write_tickets(store, ROWS)
    ledger = f"sqlite:///{store}/ledger.sqlite"
    _remember_batches(ledger)
    with Emulator(frozen=True) as emulator, Hook() as hook, Smtp() as smtp:
        to_hook = {"conn_type": "http", "host": "127.0.0.1", "port": hook.port}
        env = towards(emulator.url, environ()) | {
            "OFFPEAK_STORE": str(store),
            "AIRFLOW_CONN_OPS_HOOK": json.dumps(to_hook),
            "AIRFLOW_CONN_OPS_MAIL": smtp.connection(),
        }
        settings = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False"}
        with LocalAirflow(home / "airflow", dags, env=env, settings=settings) as airflow:
            for dag_id in ("stuck", "overdue"):
                airflow.wait_for_dag(dag_id)
            site = Site.open(store=str(store), ledger=ledger)
            stage = Stage(airflow=airflow, control=emulator.control, site=site, home=home)
            yield Told(stage=stage, hook=hook, smtp=smtp)


def _remember_batches(url: str) -> None:
    """A history from which a forecast can be made: two batches in three quick, the others slow."""
    ledger = Ledger(url)
    run, _ = ledger.open_run(new_run(workload="past"), now=NOW)
    # of another account: what is in flight would leave this one no room
    shards = [replace(new_shard(run.run_id, number), account="past") for number in range(1, 31)]
    ledger.start_running(run.run_id, shards, {}, now=NOW)
    for number, new in enumerate(shards, 1):
        shard = ledger.claim(new.key, ANNA, LEASE, now=NOW)
        assert shard is not None
        begun = batch_of(shard, f"batch_past_{number}", account="past", total=ROWS)
        ledger.attach(new.key, ANNA, begun, now=NOW)
        ended = NOW + (SLOW if number % 3 == 0 else QUICK)
        ledger.seen(replace(begun, status=BatchStatus.COMPLETED, seen_at=ended, ended_at=ended), now=ended)
    ledger.close()


def test_a_stuck_batch_warns_and_the_table_is_there_before_due_and_both_are_told_once(told: Told) -> None:
    stage = told.stage
    # due is 16 minutes from now: the warning, and the last safe moment for realtime, come within two of them
    dag_run = told.trigger("stuck", ends_in=timedelta(minutes=16) - timedelta(hours=1))
    stage.await_deferred("stuck", dag_run)
    run = stage.run("stuck", dag_run)
    told.await_told(run.run_id, "opened", "at_risk")
    if ROUTES:
        stage.airflow.wait(
            "cancelling the stuck batch",
            lambda: any(batch.stage == "cancelling" for batch in stage.control.state().batches),
            timeout_seconds=ESCALATED_SECONDS,
        )
    stage.control.advance(BATCH_LIFE_SECONDS)
    assert stage.await_end("stuck", dag_run) == "success", stage.blame("stuck", dag_run)
    told.await_told(run.run_id, "resolved", "at_risk")
    run = stage.run("stuck", dag_run)
    assert run.state is RunState.PUBLISHED
    assert run.ended_at is not None
    assert run.due_at is not None
    assert run.ended_at < run.due_at
    assert run.facts["outcomes"] == {"answered": ROWS}
    assert told.kinds(run.run_id) == [("opened", "at_risk"), ("resolved", "at_risk")]
    assert told.mails_about(run.run_id) == [
        f"[Offpeak] At risk: {run.run_id}",
        f"[Offpeak] Resolved: {run.run_id} (at risk)",
    ]


def test_a_scheduler_that_is_away_when_due_passes_still_leads_to_one_alert(told: Told) -> None:
    stage = told.stage
    dag_run = told.trigger("overdue", ends_in=timedelta(seconds=20))
    stage.await_deferred("overdue", dag_run)
    run = stage.run("overdue", dag_run)
    assert run.due_at is not None
    stage.airflow.kill("scheduler")
    due = run.due_at
    stage.airflow.wait("due", lambda: datetime.now(UTC) > due, timeout_seconds=120.0)
    assert ("opened", "late") not in told.kinds(run.run_id)
    stage.airflow.start("scheduler")
    told.await_told(run.run_id, "opened", "late")
    stage.control.advance(BATCH_LIFE_SECONDS)
    assert stage.await_end("overdue", dag_run) == "success", stage.blame("overdue", dag_run)
    told.await_told(run.run_id, "resolved", "late")
    kinds = told.kinds(run.run_id)
    assert [kinds.count((kind, "late")) for kind in ("opened", "updated", "resolved")] == [1, 0, 1]
    mails = told.mails_about(run.run_id)
    assert mails.count(f"[Offpeak] Late: {run.run_id}") == 1
    assert mails[-1] == f"[Offpeak] Resolved: {run.run_id} (late)"
