"""Which DAG holds which workload, and which dag run started which run: Airflow's side of the pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from offpeak.ledger import Run

SHARD_TASK, PLAN_TASK = "ShardTask", "PlanTask"
_OURS = "offpeak."


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRunKey:
    """A dag run; `run_id` is Airflow's, and empty where only the DAG is known."""

    dag_id: str
    run_id: str = ""


class Dags(Protocol):
    """What the pages ask Airflow."""

    def workloads(self, dag_id: str) -> frozenset[str] | None:
        """The workloads that the DAG runs, by name; None when there is no such DAG."""

    def planned(self, dag_run_ids: Collection[str]) -> Sequence[DagRunKey]:
        """The dag runs with these ids, of any DAG, that have a plan task of ours."""


@dataclass(frozen=True, slots=True)
class AirflowDags:
    """Read from Airflow's own database, which its api-server may use."""

    def workloads(self, dag_id: str) -> frozenset[str] | None:
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.utils.session import create_session

        with create_session() as session:
            found = SerializedDagModel.get(dag_id, session=session)
            return None if found is None else frozenset(workloads_in(found.data or {}))

    def planned(self, dag_run_ids: Collection[str]) -> Sequence[DagRunKey]:
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import exists, select

        ours = exists().where(
            TaskInstance.dag_id == DagRun.dag_id,
            TaskInstance.run_id == DagRun.run_id,
            TaskInstance.operator == PLAN_TASK,
        )
        query = select(DagRun.dag_id, DagRun.run_id).where(DagRun.run_id.in_(dag_run_ids), ours)
        with create_session() as session:
            return [DagRunKey(dag_id=dag_id, run_id=run_id) for dag_id, run_id in session.execute(query)]


def workloads_in(serialized: Mapping[str, Any]) -> Iterator[str]:
    """The workloads that a serialized DAG names: the mapped shard task keeps its workload's name."""
    for task in serialized.get("dag", {}).get("tasks", ()):
        fields = task.get("__var", {})
        if fields.get("task_type") == SHARD_TASK and str(fields.get("_task_module")).startswith(_OURS):
            name = fields.get("partial_kwargs", {}).get("workload")
            if isinstance(name, str):
                yield name


def holds(dags: Dags, dag_id: str, workload: str) -> bool:
    """Whether who may read the DAG may read the workload's runs. Where there is no such DAG, names must be equal."""
    names = dags.workloads(dag_id)
    return workload == dag_id if names is None else workload in names


def owners(dags: Dags, runs: Iterable[Run]) -> dict[str, DagRunKey]:
    """By Offpeak run, the DAG that it belongs to, with the dag run that started it if one did.

    A run whose workload is in no DAG of Airflow belongs to the DAG of its name; one whose name is taken
    by a DAG without that workload is left out.
    """
    listed = list(runs)
    by_name = {name: dags.workloads(name) for name in {run.workload for run in listed}}
    homes = {name: name for name, held in by_name.items() if held is not None and name in held}
    elsewhere = _elsewhere(dags, {run.started_by for run in listed if run.workload not in homes} - {""})
    # a run that no dag run started belongs where its workload's others do, else to the DAG of its name
    others = {name: dag_id for (name, _), dag_id in elsewhere.items()}
    absent = {name: name for name, held in by_name.items() if held is None}
    homes = {**absent, **others, **homes}
    found = {}
    for run in listed:
        dag_id = elsewhere.get((run.workload, run.started_by)) or homes.get(run.workload)
        if dag_id is not None:
            found[run.run_id] = DagRunKey(dag_id=dag_id, run_id=run.started_by)
    return found


def _elsewhere(dags: Dags, dag_run_ids: Collection[str]) -> dict[tuple[str, str], str]:
    """By workload and dag run, the DAG, for workloads in DAGs of other names."""
    if not dag_run_ids:
        return {}
    planned = dags.planned(dag_run_ids)
    held = {dag_id: dags.workloads(dag_id) or frozenset() for dag_id in {one.dag_id for one in planned}}
    return {(name, one.run_id): one.dag_id for one in planned for name in held[one.dag_id]}
