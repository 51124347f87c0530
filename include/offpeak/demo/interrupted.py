"""Runs that an earlier demo left unfinished: their emulator is gone, and their batches with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offpeak.demo.api import AirflowApi

if TYPE_CHECKING:
    from offpeak.site import Site

WHY = (
    "The demo was ended before this run was, and its emulator forgot the batches. Answers that were collected "
    "are kept and not asked again."
)


def end_interrupted(api: AirflowApi, site: Site) -> None:
    """End them in Airflow and in the ledger, so that the next run neither waits for them nor joins them."""
    from offpeak.run import OPEN, fail

    for dag_id, dag_run_id in api.unfinished():
        api.end_dag_run(dag_id, dag_run_id)
    for run in site.ledger.runs(states=OPEN, limit=1_000):
        fail(site, run.run_id, WHY)
