"""Deadlines: Airflow's own clock on a workload's due time, for runs that never started, too.

The scheduler makes a deadline with each DAG run and calls back when it passes: a warning before due, and the
miss. The callback runs in the triggerer, which reads no DAG files; what it needs goes with it. Success takes
a run's deadlines away; a run that failed keeps them, so the ledger is asked before anybody is told.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import REFERENCE_TYPE_FIELD, BaseDeadlineReference, DeadlineAlert
from asgiref.sync import sync_to_async

from offpeak.alerts.watch import Watch, Watched, due_as_json, due_of_json
from offpeak.due import due_at
from offpeak.errors import SpecError
from offpeak.on_airflow.site import interval_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from offpeak.alerts.raising import Raised
    from offpeak.site import Site

WARNED_AT = 0.75
"""The share of the time between the interval's end and due after which the warning is due."""
WARNING, MISS = "warning", "miss"

log = logging.getLogger(__name__)


@dataclass(eq=False)
class DueReference(BaseDeadlineReference):
    """The due time of a DAG run's interval, or the moment when `share` of the time to it has passed.

    Listed in the plugin's `deadline_references`: the scheduler looks it up there by its path. Not one of
    Airflow's own, because those do not know the interval's end, and give runs without a logical date none.
    """

    due: float | str = 0.0
    """Seconds after the interval's end, or a time such as "07:00 Europe/Berlin"."""
    share: float = 1.0

    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def serialize_reference(self) -> dict[str, Any]:
        return {REFERENCE_TYPE_FIELD: self.reference_name, "due": self.due, "share": self.share}

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> DueReference:
        return cls(due=reference_data["due"], share=reference_data["share"])

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        """None, and so no deadline, for a run that nobody waits for: a replay, a backfill, one of long ago."""
        from airflow.models import DagRun
        from sqlalchemy import select

        query = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        dag_run = session.scalars(query).one_or_none()
        return None if dag_run is None else self.at(dag_run, now=datetime.now(UTC))

    def at(self, dag_run: Any, *, now: datetime) -> datetime | None:
        """The moment for this DAG run; None when it has none."""
        from offpeak.alerts.causes import STALE

        run_type = str(getattr(dag_run.run_type, "value", dag_run.run_type))
        if run_type == "backfill" or "replay" in (dag_run.conf or {}):
            return None
        try:
            end = interval_of({"dag_run": dag_run}).end
            due = due_of_json(self.due)
            assert due is not None
            until = due_at(due, end)
            return None if until + STALE < now else end + self.share * (until - end)
        except (ValueError, TypeError, OverflowError, SpecError) as error:
            # raising here would keep the scheduler from making the run; its plan says what is wrong with it
            log.warning("Run %s of %s has no deadline: %s", dag_run.run_id, dag_run.dag_id, error)
            return None


def deadlines(workload: Watched) -> list[DeadlineAlert]:
    """The warning and the miss, for `DAG(deadline=...)`; none without a due time."""
    if workload.due is None:
        return []
    due = due_as_json(workload.due)
    assert due is not None
    watch = Watch.of(workload).as_dict()
    return [
        DeadlineAlert(
            name=f"offpeak {level}",
            reference=DueReference(due=due, share=share),
            interval=timedelta(0),
            callback=AsyncCallback(deadline_passed, kwargs={"watch": watch, "level": level}),
        )
        for level, share in ((WARNING, WARNED_AT), (MISS, 1.0))
    ]


async def deadline_passed(watch: dict[str, Any], level: str, context: Any = None, **_: Any) -> None:
    """What Airflow calls, in the triggerer. The work is in a thread of its own: it reads a database and sends."""
    dag_run = (context or {}).get("dag_run") or {}
    # not thread-sensitive: a slow mail server must not hold the one thread that all triggers share
    await sync_to_async(tell, thread_sensitive=False)(Watch.read(watch), level, dag_run)


def tell(watch: Watch, level: str, dag_run: Mapping[str, Any], *, site: Site | None = None) -> Raised | None:
    """Raise what the ledger says of the DAG run's interval, with the run's own outlook. None for a run that has
    succeeded or is a replay."""
    from offpeak.alerts.raising import Seen
    from offpeak.on_airflow.channels import raise_on_airflow

    if dag_run.get("state") == "success" or "replay" in (dag_run.get("conf") or {}):
        return None
    seen = Seen(interval=interval_of({"dag_run": _as_object(dag_run)}), warned=level == WARNING)
    return raise_on_airflow(watch, None, seen=seen, site=site)


def _as_object(dag_run: Mapping[str, Any]) -> SimpleNamespace:
    """The JSON of a DAG run as the object that a task has."""
    times = ("data_interval_start", "data_interval_end", "run_after")
    return SimpleNamespace(
        conf=dag_run.get("conf"),
        **{name: _time(dag_run.get(name)) for name in times},
    )


def _time(given: Any) -> datetime | None:
    return datetime.fromisoformat(given) if isinstance(given, str) else given
