"""One line per run, for the page of the latest runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import quote

from offpeak.progress import progress
from offpeak.report.wording import share, span
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.on_airflow.pages.dag_runs import DagRunKey
    from offpeak.site import Site

_TONES = {
    RunState.PUBLISHED: "good",
    RunState.REFUSED: "bad",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A run at one look. None stands for what is not known."""

    run_id: str
    workload: str
    interval_start: datetime
    state: str
    tone: str
    started_at: datetime
    rows: int | None
    answered: str
    spent_usd: Decimal | None
    realtime_usd: Decimal | None
    saved: str
    margin: str
    late: bool
    report: str
    """Address of its report, below the pages' own."""
    dag_run: str
    """Address of Airflow's page of the dag run, below Airflow's own; empty where no dag run started it."""


def line(site: Site, run: Run, owner: DagRunKey) -> Line:
    """Read from the ledger."""
    seen = progress(site, run.run_id)
    margin, late = _margin(run, site.now())
    rows = run.facts.get("rows")
    return Line(
        run_id=run.run_id,
        workload=run.workload,
        interval_start=run.interval_start,
        state=run.state.value,
        tone=_TONES.get(run.state, "busy"),
        started_at=run.created_at,
        rows=rows if isinstance(rows, int) else None,
        answered=_answered(run, seen.outcomes.get("answered", 0), seen.requests),
        spent_usd=seen.spent_usd,
        realtime_usd=seen.realtime_usd,
        saved=_saved(seen.spent_usd, seen.realtime_usd),
        margin=margin,
        late=late,
        report=report_address(run, owner.dag_id),
        dag_run=dag_run_address(owner),
    )


def report_address(run: Run, dag_id: str) -> str:
    """Of exactly this edition."""
    workload, _, key = run.run_id.partition("/")
    return f"reports/{_quoted(dag_id)}/{_quoted(workload)}/{_quoted(key)}/report.html"


def dag_run_address(owner: DagRunKey) -> str:
    return f"dags/{_quoted(owner.dag_id)}/runs/{_quoted(owner.run_id)}" if owner.run_id else ""


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _answered(run: Run, answered: int, requests: int) -> str:
    if "outcomes" in run.facts:
        return f"{answered:,}"
    # before the run is judged only requests can be counted
    return f"{answered:,} of {requests:,} requests" if "requests" in run.facts else "–"


def _saved(spent: Decimal | None, realtime: Decimal | None) -> str:
    return share(float(1 - spent / realtime)) if spent is not None and realtime else ""


def _margin(run: Run, now: datetime) -> tuple[str, bool]:
    """In words the time left to due, or how late; and whether it is late."""
    if run.due_at is None:
        return "no due time", False
    if run.state is RunState.PUBLISHED:
        left = run.due_at - (run.ended_at or run.updated_at)
        late = left.total_seconds() < 0
        return f"{span(left)} late" if late else f"{span(left)} before due", late
    left = run.due_at - now
    if left.total_seconds() >= 0:
        return f"{span(left)} left", False
    return ("not published by due", True) if run.state.ended else (f"{span(left)} late", True)
