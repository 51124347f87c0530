"""The pages over a real ledger and store, with runs that dag runs started."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from offpeak import run as stages
from offpeak.ledger import Run
from offpeak.on_airflow.pages.app import may_read_dag, pages_app, readable
from offpeak.on_airflow.pages.dag_runs import DagRunKey
from offpeak.on_airflow.pages.look import Opened
from offpeak.report import write_report
from offpeak.site import Interval, Site
from offpeak.workload import Workload
from tests.report.desk import Answer, Desk
from tests.report.making import Place, plain_answer, workload

TRIAGE = workload()


@dataclass
class KnownDags:
    """An Airflow with these DAGs and dag runs."""

    held: Mapping[str, frozenset[str]] = field(
        default_factory=lambda: {TRIAGE.name: frozenset({TRIAGE.name}), "plain": frozenset()}
    )
    dag_runs: Sequence[DagRunKey] = ()

    def workloads(self, dag_id: str) -> frozenset[str] | None:
        return self.held.get(dag_id)

    def planned(self, dag_run_ids: Collection[str]) -> Sequence[DagRunKey]:
        return [one for one in self.dag_runs if one.run_id in dag_run_ids]


def plan(
    place: Place, made: Workload = TRIAGE, *, started_by: str = "", interval_end: datetime | None = None
) -> Run:
    """A planned run of the hour that ends now, started by that dag run."""
    end = interval_end or place.clock()
    interval = Interval(start=end - timedelta(hours=1), end=end)
    new = dataclasses.replace(stages.new_run(made, place.site, interval), started_by=started_by)
    return stages.start(made, place.site, new, interval)


def finish(
    place: Place,
    run: Run,
    made: Workload = TRIAGE,
    *,
    answer: Answer = plain_answer,
    report: bool = True,
) -> Run:
    """The same run, published, with its report written as the report task does."""
    place.fly(made, run.run_id, Desk(place.clock, answer))
    stages.check(made, place.site, run.run_id)
    stages.publish(made, place.site, run.run_id)
    if report:
        write_report(place.site, run.run_id)
    return place.site.ledger.run(run.run_id)


def browser(
    source: Place | Opened,
    *,
    dags: KnownDags | None = None,
    may_read: Callable[[str], bool] = lambda _: True,
    prefix: str = "",
) -> TestClient:
    """A user who is logged in and may read the DAGs that `may_read` says, as Airflow mounts the pages."""
    app = pages_app(dags or KnownDags(), _opens(source.site) if isinstance(source, Place) else source)
    app.dependency_overrides[may_read_dag] = lambda: None
    app.dependency_overrides[readable] = lambda: may_read
    outer: Any = Starlette(routes=[Mount(f"{prefix}/offpeak", app)])
    return TestClient(outer, raise_server_exceptions=False)


def _opens(site: Site) -> Opened:
    @contextmanager
    def opened() -> Iterator[Site]:
        yield site

    return opened
