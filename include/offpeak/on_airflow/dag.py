"""A workload as a DAG, or as a task group of somebody else's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup, TriggerRule
from airflow.sdk.definitions._internal.contextmanager import DagContext

from offpeak.errors import SpecError
from offpeak.on_airflow.lineage import published, read_by
from offpeak.on_airflow.operators import CheckTask, PlanTask, PublishTask, ReadTask, ReportTask
from offpeak.on_airflow.registry import register, register_pipeline
from offpeak.on_airflow.shard_task import ShardTask

if TYPE_CHECKING:
    from offpeak.pipeline import Pipeline
    from offpeak.workload import Workload

START = datetime(2026, 1, 1)  # noqa: DTZ001  (Airflow reads a naive start in its own default zone)
RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}
"""Of every task; an error that a retry cannot mend fails the task at once."""


def dag_of(workload: Workload, schedule: Any, options: dict[str, Any]) -> DAG | TaskGroup:
    """The DAG, or the task group when a DAG is being defined around the call."""
    if DagContext.get_current() is not None:
        if schedule is not None or options:
            raise SpecError(_OWN_DAG.format(name=workload.name))
        with TaskGroup(workload.name) as group:
            _tasks(workload)
        return group
    settings = _settings(workload.name, workload, options)
    with DAG(schedule=_timetable(schedule), **settings) as dag:
        _tasks(workload, schedule)
    return dag


def dag_of_pipeline(pipeline: Pipeline, schedule: Any, options: dict[str, Any]) -> DAG | TaskGroup:
    """The same for a pipeline: a task group for each stage, and the last step."""
    if DagContext.get_current() is not None:
        if schedule is not None or options:
            raise SpecError(_OWN_DAG.format(name=pipeline.name))
        with TaskGroup(pipeline.name) as group:
            _layers(pipeline)
        return group
    settings = _settings(pipeline.name, pipeline.last, options)
    settings["doc_md"] = options.get("doc_md", "\n\n".join(_doc(stage) for stage in pipeline.stages()))
    with DAG(schedule=_timetable(schedule), **settings) as dag:
        _layers(pipeline, schedule)
    return dag


def _layers(pipeline: Pipeline, schedule: Any = None) -> None:
    from offpeak.on_airflow.pipeline_tasks import FinishTask

    register_pipeline(pipeline)
    finish = FinishTask(
        task_id="finish",
        pipeline=pipeline.name,
        trigger_rule=TriggerRule.ALL_DONE,
        outlets=[published(pipeline.name)],
    )
    before: list[Any] = []
    for layer in pipeline.layers:
        made = [_stage(pipeline, stage, schedule) for stage in layer]
        for first, shards, settle in made:
            before >> first if before else None
            # a failed shard fails `settle` at once; the last step waits for the others, which go on
            [shards, settle] >> finish
        before = [settle for _, _, settle in made]


def _stage(pipeline: Pipeline, stage: Workload, schedule: Any) -> tuple[Any, Any, Any]:
    """What one stage begins with, its shards, and its settling."""
    from offpeak.on_airflow.pipeline_tasks import SettleTask

    name = stage.name
    with TaskGroup(name.removeprefix(f"{pipeline.name}__")):
        first, plan = _plan(stage, schedule, pipeline.name)
        shards = _shards(name, plan)
        settle = SettleTask(
            task_id="settle",
            workload=name,
            plan=plan.task_id,
            trigger_rule=TriggerRule.NONE_FAILED,
            # the pipeline's own name is said by its last step
            outlets=[] if name == pipeline.name else [published(name)],
        )
        plan >> shards >> settle
        if stage.approve_above_usd is not None:
            plan >> _approval(name, plan.task_id) >> shards
    return first, shards, settle


_OWN_DAG = "workload_dag({name}) inside your own DAG makes a task group; schedule and DAG options belong to your DAG."


def _settings(dag_id: str, workload: Workload, options: dict[str, Any]) -> dict[str, Any]:
    """The DAG's arguments: ours, then the user's."""
    settings: dict[str, Any] = {
        "dag_id": dag_id,
        "start_date": START,
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["offpeak", workload.provider_name],
        "doc_md": _doc(workload),
        **_deadline(workload),
        **options,
    }
    settings["default_args"] = RETRIES | settings.get("default_args", {})
    return settings


def _deadline(workload: Workload) -> dict[str, Any]:
    """The DAG's argument of that name, for a workload with a due time."""
    if workload.due is None:
        return {}
    from offpeak.on_airflow.deadlines import deadlines

    return {"deadline": deadlines(workload)}


def _plan(workload: Workload, schedule: Any, pipeline: str = "") -> tuple[Any, PlanTask]:
    """The plan task, and what begins: the tasks that read for it, or itself."""
    whose = {"workload": workload.name, "pipeline": pipeline}
    plan = PlanTask(task_id="plan", **whose, inlets=read_by(workload, schedule))
    if workload.readers == 1:
        return plan, plan
    shown = f"{{{{ task.number + 1 }}}} of {workload.readers}"
    read = ReadTask.partial(task_id="read", **whose, map_index_template=shown)
    readers = read.expand(number=list(range(workload.readers)))
    readers >> plan
    return readers, plan


def _shards(workload: str, plan: PlanTask) -> Any:
    """One mapped task for each shard."""
    return ShardTask.partial(
        task_id="shard", workload=workload, plan=plan.task_id, map_index_template="shard {{ task.number }}"
    ).expand(number=plan.output)


def _tasks(workload: Workload, schedule: Any = None) -> None:
    register(workload)
    name = workload.name
    _, plan = _plan(workload, schedule)
    shards = _shards(name, plan)
    # a run in which nothing is left to ask has no shards; it is still checked and published
    check = CheckTask(task_id="check", workload=name, plan=plan.task_id, trigger_rule=TriggerRule.NONE_FAILED)
    publish = PublishTask(
        task_id="publish",
        workload=name,
        plan=plan.task_id,
        outlets=[published(name)],
    )
    report = ReportTask(task_id="report", workload=name, plan=plan.task_id)
    plan >> shards >> check >> publish >> report.as_teardown()
    if workload.approve_above_usd is not None:
        plan >> _approval(name, plan.task_id) >> shards
    # a failed shard fails `publish` at once; the report waits for the others, which go on
    shards >> report


def _approval(workload: str, plan: str) -> Any:
    """A task that others do without: each costs a run seconds."""
    from offpeak.on_airflow.approve import ApproveTask

    return ApproveTask(task_id="approve", workload=workload, plan=plan)


def _timetable(schedule: Any) -> Any:
    """A cron text gets data intervals; anything else is Airflow's own business."""
    presets = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
    if isinstance(schedule, str) and (schedule in presets or len(schedule.split()) in (5, 6)):
        return CronDataIntervalTimetable(schedule, timezone="UTC")
    return schedule


def _doc(workload: Workload) -> str:
    """What a person sees on the DAG's page. No prompt: Airflow stores this."""
    return "\n".join(
        [
            f"**{workload.name}** asks `{workload.model}` about every row of `{workload.rows.describe()}` and "
            f"publishes to `{workload.into.describe()}`.",
            "",
            f"- due: {workload.due or 'not set'}",
            f"- budget: {'not set' if workload.budget_usd is None else f'${workload.budget_usd}'} a run",
            *_money(workload),
            f"- rounds: {workload.rounds}; rows that may fail: {workload.max_failed:.1%}",
        ]
    )


def _money(workload: Workload) -> list[str]:
    """What else is said of money, where the workload says it."""
    said = []
    if workload.monthly_budget_usd is not None:
        said.append(f"- budget of a calendar month: ${workload.monthly_budget_usd}")
    if workload.approve_above_usd is not None:
        said.append(f"- waits for a person's yes above ${workload.approve_above_usd} a run")
    return said
