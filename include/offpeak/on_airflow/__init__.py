"""Workloads on Airflow. The only part of the library, with plugins/, that imports it.

Importing this package does not import Airflow; calling `workload_dag` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offpeak.dag_files import only_workloads

if TYPE_CHECKING:
    from offpeak.pipeline import Pipelined
    from offpeak.workload import Workload

__all__ = ["published", "workload_dag"]


def workload_dag(workload: Workload | Pipelined, *, schedule: Any = None, **dag_options: Any) -> Any:
    """The DAG of a workload: plan → shard (mapped, deferrable) → check → publish, and report in any case.

    Of a pipeline (a digest, embeddings, an evaluation suite) it is a task group plan → shard → settle for each
    stage, and one last step.

    Called inside your own `with DAG(...)`, it makes a task group there instead (and takes no schedule).
    `schedule` is what Airflow takes; a cron text or preset becomes a timetable of real data intervals, so
    that `:start` and `:end` of a query span the hour or the day. `dag_options` go to the DAG; the defaults
    are catchup=False, max_active_runs=1 (runs never ask the same rows beside each other), three retries.
    """
    if only_workloads.get():  # the CLI reads the file for its workloads only
        return None
    from offpeak.on_airflow.dag import dag_of, dag_of_pipeline
    from offpeak.workload import Workload

    if isinstance(workload, Workload):
        return dag_of(workload, schedule, dag_options)
    return dag_of_pipeline(workload.pipeline, schedule, dag_options)


def published(name: str) -> Any:
    """The asset that the workload or pipeline called `name` updates when it has published, to schedule a DAG by:
    `workload_dag(digest, schedule=[published("ticket_triage")])`."""
    if only_workloads.get():
        return None
    from offpeak.on_airflow import lineage

    return lineage.published(name)
