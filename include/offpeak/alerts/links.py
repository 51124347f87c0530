"""Links: from an alert to its run, its report and its runbook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from offpeak.ledger.records import Run
from offpeak.states import AlertCause

if TYPE_CHECKING:
    from offpeak.site import Site

BASE_URL = ("OFFPEAK_BASE_URL", "AIRFLOW__API__BASE_URL")
"""The first that is set is the address of Airflow's UI."""
RUNBOOKS_URL = "OFFPEAK_RUNBOOKS_URL"
"""Where the runbook pages are served; their path in the project if it is not set."""


def links_of(site: Site, cause: AlertCause, run: Run | None) -> tuple[tuple[str, str], ...]:
    """Label and address of each. The run's page only where Airflow's address is known and it ran there."""
    found = []
    base = _base(site.env)
    if run is not None and base and run.started_by:
        dag, dag_run = quote(_dag_id(run), safe=""), quote(run.started_by, safe="")
        found += [
            ("Run", f"{base}/dags/{dag}/runs/{dag_run}"),
            ("Report", f"{base}/offpeak/runs/{dag}/{dag_run}/report.html"),
        ]
    elif run is not None:
        report = run.facts.get("report")
        if isinstance(report, Mapping) and report.get("html"):
            found.append(("Report", str(report["html"])))
    return (*found, ("Runbook", runbook(cause, site.env)))


def runbook(cause: AlertCause, env: Mapping[str, str]) -> str:
    folder = env.get(RUNBOOKS_URL, "").rstrip("/") or "docs/runbooks"
    return f"{folder}/{cause}.md"


def _base(env: Mapping[str, str]) -> str:
    return next((env[name].rstrip("/") for name in BASE_URL if env.get(name)), "")


def _dag_id(run: Run) -> str:
    return str(run.facts.get("dag_id") or run.workload)
