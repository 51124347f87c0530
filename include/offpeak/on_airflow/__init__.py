"""Workloads on Airflow. The only part of the library, with plugins/, that imports it.

Importing this package does not import Airflow; calling `workload_dag` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offpeak.dag_files import only_workloads

if TYPE_CHECKING:
    from offpeak.workload import Workload

__all__ = ["workload_dag"]


def workload_dag(workload: Workload, *, schedule: Any = None, **dag_options: Any) -> Any:
    """The DAG of a workload: plan → shard (mapped, deferrable) → check → publish, and report in any case.

    Called inside your own `with DAG(...)`, it makes a task group there instead (and takes no schedule).
    `schedule` is what Airflow takes; a cron text or preset becomes a timetable of real data intervals, so
    that `:start` and `:end` of a query span the hour or the day. `dag_options` go to the DAG; the defaults
    are catchup=False, max_active_runs=1 (runs never ask the same rows beside each other), three retries.
    """
    if only_workloads.get():  # the CLI reads the file for its workloads only
        return None
    from offpeak.on_airflow.dag import dag_of

    return dag_of(workload, schedule, dag_options)
