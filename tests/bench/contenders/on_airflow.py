"""Real Airflow on this machine: twenty shards whose batches end at one moment, until their table is published."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.emulated import towards
from offpeak.demo.place import environ
from offpeak.emulator import Control
from offpeak.ledger import Run
from offpeak.site import Site, utc_now
from offpeak.states import RunState, ShardState
from tests.bench.night_dag import SHARD_ROWS
from tests.bench.provider import ROOT, provider
from tests.bench.tickets import write_rows
from tests.bench.work import Outcome, Place

SHARDS, ROUNDS = 20, 5
BATCH_LIFE_SECONDS = 60.0
"""Virtual; longer than any batch of the emulator takes."""
PATIENCE_SECONDS = 300.0
EXTRA: dict[str, float] = {}
_DAG = "bench"


def prepare(place: Place) -> None:
    """Nothing: Airflow is started by the work itself, and its start is not measured."""


def run(place: Place) -> None:
    store, dags = place.out / "store", place.out / "dags"
    dags.mkdir()
    (dags / "night.py").write_text((ROOT / "tests/bench/night_dag.py").read_text(encoding="utf-8"))
    with provider("--frozen") as at:
        site = Site.open(store=str(store), ledger=f"sqlite:///{store}/ledger.sqlite")
        env = towards(at.url, environ()) | {"OFFPEAK_STORE": str(store), "PYTHONPATH": str(ROOT)}
        with LocalAirflow(place.out / "airflow", dags, env=env) as airflow:
            airflow.wait_for_dag(_DAG)
            found = [_night(airflow, site, Control(at.url), number) for number in range(ROUNDS)]
    for name, times in zip(("noticed", "published"), zip(*found, strict=True), strict=True):
        for how, chosen in (("median", statistics.median), ("least", min), ("most", max)):
            EXTRA[f"{name}_{how}_seconds"] = chosen(times)


def _night(airflow: LocalAirflow, site: Site, control: Control, number: int) -> tuple[float, float]:
    """(seconds to the first shard collected, seconds to the table published) after all batches ended."""
    write_rows(Path(site.store.root) / "in" / "rows.parquet", SHARDS * SHARD_ROWS, seed=number)
    logical = utc_now() - timedelta(hours=number + 1)
    dag_run = airflow.trigger(_DAG, {}, logical_date=logical)

    def ours() -> Run | None:
        return next((run for run in site.ledger.runs(_DAG) if run.started_by == dag_run), None)

    def waiting() -> bool:
        shards = [one for one in airflow.task_instances(_DAG, dag_run) if one["task_id"] == "shard"]
        return len(shards) >= SHARDS and all(one["state"] == "deferred" for one in shards)

    def collected() -> bool:
        run = ours()
        shards = site.ledger.shards(run.run_id) if run else []
        return any(shard.state is ShardState.COLLECTED for shard in shards)

    def published() -> bool:
        run = ours()
        assert run is None or not run.state.ended or run.state is RunState.PUBLISHED, run and run.error
        return run is not None and run.state is RunState.PUBLISHED

    _wait(airflow, "deferring the shards", waiting)
    control.advance(BATCH_LIFE_SECONDS)
    began = time.monotonic()
    return (
        _wait(airflow, "collecting the first shard", collected) - began,
        _wait(airflow, "publishing the table", published) - began,
    )


def _wait(airflow: LocalAirflow, what: str, condition: Callable[[], bool]) -> float:
    """The moment at which `condition` was first true."""
    airflow.wait(what, condition, timeout_seconds=PATIENCE_SECONDS)
    return time.monotonic()


def outcome(place: Place) -> Outcome | None:
    return None
