"""The pages as an application below Airflow's: who may see what, and what a broken ledger looks like.

Loaded in the api-server only, by the first request: it imports FastAPI and Airflow's own API.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends, FastAPI, Request, Response

from offpeak.errors import OffpeakError, SpecError
from offpeak.ledger import Run
from offpeak.on_airflow.pages.dag_runs import AirflowDags, DagRunKey, Dags, holds, owners
from offpeak.on_airflow.pages.html import REPORT_STYLE, headers, runs_page, sentence_page
from offpeak.on_airflow.pages.lines import Line, line
from offpeak.on_airflow.pages.look import Opened, opened_site, report_facts, report_page, started_in
from offpeak.site import Site

LOOKED_AT, SHOWN = 200, 50
"""So many of the latest runs are looked through for those that the reader may see; so many are shown."""
REFRESH_SECONDS = 30
"""While something on the page still moves."""

log = logging.getLogger(__name__)

MayRead = Callable[[str], bool]

may_read_dag = requires_access_dag("GET")
"""401 for nobody, 403 for a user who may not read the DAG in the path; without one, any DAG."""


def readable(user: Any = Depends(get_user)) -> MayRead:  # noqa: B008  (FastAPI's way)
    """Whether the user may read a DAG, as Airflow's own pages ask it."""

    @cache
    def may_read(dag_id: str) -> bool:
        details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
        return bool(get_auth_manager().is_authorized_dag(method="GET", details=details, user=user))

    return may_read


def pages_app(dags: Dags | None = None, opened: Opened = opened_site) -> FastAPI:
    """The application. Without documentation pages, which would need no login."""
    known = dags or AirflowDags()
    app = FastAPI(title="Offpeak", docs_url=None, redoc_url=None, openapi_url=None)
    guarded = [Depends(may_read_dag)]

    def latest(request: Request, may_read: MayRead = Depends(readable)) -> Response:  # noqa: B008
        return _latest(request, known, opened, may_read)

    def of_dag_run(request: Request, dag_id: str, dag_run_id: str, name: str) -> Response:
        return _of_dag_run(request, known, opened, asked=(DagRunKey(dag_id=dag_id, run_id=dag_run_id), name))

    def of_run(dag_id: str, workload: str, key: str, name: str) -> Response:
        return _of_run(known, opened, dag_id=dag_id, run_id=f"{workload}/{key}", name=name)

    routes: dict[str, Callable[..., Response]] = {
        "/runs": latest,
        "/runs/{dag_id}/{dag_run_id:path}/report.{name}": of_dag_run,
        "/reports/{dag_id}/{workload}/{key}/report.{name}": of_run,
    }
    for path, page in routes.items():
        app.add_api_route(path, page, dependencies=guarded, response_class=Response)
    app.add_exception_handler(OffpeakError, _told)
    app.add_exception_handler(Exception, _broken)
    return app


def _latest(request: Request, dags: Dags, opened: Opened, may_read: MayRead) -> Response:
    with opened() as site:
        runs = site.ledger.runs(limit=LOOKED_AT)
        owned = owners(dags, runs)
        seen = [run for run in runs if run.run_id in owned and may_read(owned[run.run_id].dag_id)]
        lines = [line(site, run, owned[run.run_id]) for run in seen[:SHOWN]]
        return _list(request, site, lines, moving=any(not run.state.ended for run in seen[:SHOWN]))


def _list(request: Request, site: Site, lines: list[Line], *, moving: bool, of_dag_run: str = "") -> Response:
    pages = str(request.scope.get("root_path", ""))
    airflow = pages.rpartition("/")[0]  # where Airflow is mounted, should it be below a prefix
    text, head = runs_page(lines, airflow=airflow, pages=pages, now=site.now(), of_dag_run=of_dag_run)
    return _html(text, head, moving=moving)


def _of_dag_run(request: Request, dags: Dags, opened: Opened, *, asked: tuple[DagRunKey, str]) -> Response:
    (dag_run, name), names = asked, dags.workloads(asked[0].dag_id)
    if not names:
        what = f"The DAG {dag_run.dag_id} runs no Offpeak workload, so its dag runs have no Offpeak report."
        return _sentence("No Offpeak report", what, status=404)
    with opened() as site:
        runs = started_in(site, dag_run.run_id, sorted(names))
        latest = {run.workload: run for run in reversed(runs)}  # the newest edition of each
        if not latest:
            return _none_yet(site, sorted(names))
        if len(latest) == 1:
            return _report(site, next(iter(latest.values())), name)
        lines = [line(site, run, dag_run) for run in latest.values()]
        moving = any(not run.state.ended for run in latest.values())
        return _list(request, site, lines, moving=moving, of_dag_run=dag_run.run_id)


def _none_yet(site: Site, names: list[str]) -> Response:
    what = (
        f"This dag run has no run of {', '.join(names)} in the ledger {site.ledger.describe()}. Its plan task makes "
        "one. If that task has run, it either took up an earlier unfinished run of its interval, which the page "
        "Offpeak lists, or this api-server reads another ledger than the tasks: OFFPEAK_STORE, and "
        "OFFPEAK_LEDGER or the connection offpeak_ledger, must be the same for both."
    )
    return _sentence("No Offpeak run yet", what, status=200, moving=True)


def _of_run(dags: Dags, opened: Opened, *, dag_id: str, run_id: str, name: str) -> Response:
    if not holds(dags, dag_id, run_id.partition("/")[0]):
        what = f"The DAG {dag_id} has no run {run_id}. The page Offpeak lists the runs that you may read."
        return _sentence("No such run", what, status=404)
    with opened() as site:
        return _report(site, site.ledger.run(run_id), name)


def _report(site: Site, run: Run, name: str) -> Response:
    head = headers(style=REPORT_STYLE)
    if name == "json":
        return Response(report_facts(site, run), headers=head, media_type="application/json")
    if name != "html":
        return _sentence("No such page", "A report is report.html or report.json.", status=404)
    return _html(report_page(site, run), head, moving=not run.state.ended)


def _html(text: str | bytes, head: Mapping[str, str], *, moving: bool, status: int = 200) -> Response:
    refresh = {"Refresh": str(REFRESH_SECONDS)} if moving else {}
    return Response(text, status, headers={**head, **refresh}, media_type="text/html")


def _sentence(title: str, what: str, *, status: int, moving: bool = False) -> Response:
    text, head = sentence_page(title, what)
    return _html(text, head, moving=moving, status=status)


def _told(_: Request, error: Exception) -> Response:
    """Our own errors are written for people and name no password."""
    status = 404 if isinstance(error, SpecError) else 503
    return _sentence("Offpeak cannot show this", str(error), status=status)


def _broken(request: Request, error: Exception) -> Response:
    """Anything else is for the api-server's log, where the server writes it: its text may hold anything."""
    what = (
        f"Reading the ledger or the store failed with {type(error).__name__}; the log of Airflow's api-server has "
        "the details. Runs do not depend on this page: nothing was changed or stopped. "
        "`offpeak status`, where the tasks run, shows the same from the command line."
    )
    return _sentence("Offpeak cannot show this", what, status=503)
