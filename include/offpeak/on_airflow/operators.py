"""The five tasks of a workload. Each calls the library's function for its stage; ids go through XCom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from offpeak.errors import OffpeakError
from offpeak.on_airflow.registry import registered
from offpeak.on_airflow.site import airflow_site, interval_of
from offpeak.on_airflow.trigger import ShardTrigger

if TYPE_CHECKING:
    from offpeak.advance import Wait
    from offpeak.ledger import NewRun
    from offpeak.replay import Replay
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload

RUN_ID = "run_id"


@contextmanager
def airflow_errors() -> Iterator[None]:
    """An error that a retry cannot mend fails the task at once."""
    try:
        yield
    except OffpeakError as error:
        if error.transient:
            raise
        raise AirflowFailException(str(error)) from error


class PlanTask(BaseOperator):
    """Reads the rows and cuts the shards; gives the shards' numbers to the mapped task."""

    ui_color = "#e8f0ea"

    def __init__(self, *, workload: str, **options: Any) -> None:
        super().__init__(**options)
        self.workload = workload

    def execute(self, context: Any) -> list[int]:
        from offpeak.run import start

        site = airflow_site()
        with airflow_errors():
            workload, new, interval = _new(registered(self.workload), site, context)
            try:
                run = start(workload, site, new, interval)
            except OffpeakError:
                _report_failed_plan(site, workload.name, interval.key)
                raise
        context["ti"].xcom_push(key=RUN_ID, value=run.run_id)
        site.ledger.note_run(run.run_id, {"dag_file": self.dag.fileloc}, now=site.now())
        facts = run.facts
        self.log.info(
            "Run %s: %s rows, %s answered before, %s requests in %s shards",
            *(run.run_id, facts["rows"], facts["carried"], facts["requests"], facts["shards"]),
        )
        return sorted({shard.key.number for shard in site.ledger.shards(run.run_id)})


def _new(workload: Workload, site: Site, context: Any) -> tuple[Workload, NewRun, Interval]:
    """The run that the dag run's conf asks for: one of its interval, or with `replay` one of dead letters."""
    from offpeak.run import new_replay, new_run

    conf, started_by = context["dag_run"].conf or {}, context["dag_run"].run_id
    if "replay" in conf:
        return new_replay(workload, site, replay_of_conf(conf), started_by=started_by)
    interval = interval_of(context)
    limit, again = conf.get("limit"), bool(conf.get("again"))
    new = new_run(workload, site, interval, limit=limit, again=again, started_by=started_by)
    return workload, new, interval


def replay_of_conf(conf: Mapping[str, Any]) -> Replay:
    """The replay that a conf such as {"replay": RUN_ID, "outcomes": ["refused"], "model": ...} asks for.

    It takes no prompt: Airflow stores the conf, and prompts are not Airflow's to store.
    """
    from offpeak.dead_letters import Choice
    from offpeak.replay import Replay

    def several(name: str) -> tuple[str, ...]:
        given = conf.get(name) or ()
        return (given,) if isinstance(given, str) else tuple(str(one) for one in given)

    return Replay(
        of=str(conf["replay"]),
        choice=Choice(outcomes=several("outcomes"), codes=several("codes"), key=str(conf.get("key") or "")),
        changes={name: conf[name] for name in ("model", "max_output_tokens") if conf.get(name) is not None},
    )


def _report_failed_plan(site: Site, workload: str, interval_key: str) -> None:
    from offpeak.report import write_report

    for run in site.ledger.runs(workload, limit=1):
        if run.interval_key == interval_key:
            write_report(site, run.run_id)


class RunTask(BaseOperator):
    """A task of a planned run."""

    def __init__(self, *, workload: str, plan: str, **options: Any) -> None:
        super().__init__(**options)
        self.workload = workload
        self.plan = plan

    def run_id(self, context: Any) -> str | None:
        """The run that the plan task opened; None when it opened none."""
        found = context["ti"].xcom_pull(task_ids=self.plan, key=RUN_ID)
        return str(found) if found else None

    def asked(self, site: Site, run_id: str) -> Workload:
        """The workload as this run asks it: a replay may ask another model than the DAG file names."""
        from offpeak.asked import as_asked

        return as_asked(registered(self.workload), site.ledger.run(run_id))


class ShardTask(RunTask):
    """Carries one shard through its rounds. Waits in the triggerer, never in a worker."""

    ui_color = "#fff3d6"

    def __init__(self, *, number: int, **options: Any) -> None:
        super().__init__(**options)
        self.number = number

    def execute(self, context: Any) -> dict[str, Any]:
        return self._go_on(context)

    def resume(self, context: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Called when the trigger fired: the batch has ended, or the wait is over."""
        self.log.info("Resumed: %s", event)
        return self._go_on(context)

    def _go_on(self, context: Any) -> dict[str, Any]:
        from offpeak.advance import Wait, advance
        from offpeak.run import connect, fail, take_up

        site, run_id = airflow_site(), self.run_id(context)
        assert run_id is not None, "a shard belongs to a planned run"
        workload = self.asked(site, run_id)
        take_up(site, run_id)
        with airflow_errors():
            client = connect(workload, site)
            try:
                step = advance(workload, site, client, run_id, self.number)
            except OffpeakError as error:
                if not error.transient:
                    fail(site, run_id, str(error))
                raise
            finally:
                client.close()
        if isinstance(step, Wait):
            self._defer(step, workload.provider_name, workload.connection)
        return {"run_id": run_id, "shard": self.number, "rounds": getattr(step, "rounds", 0)}

    def _defer(self, wait: Wait, provider: str, connection: str | None) -> None:
        self.log.info("Shard %s waits until %s: %s", self.number, wait.until, wait.why)
        self.defer(
            trigger=ShardTrigger(
                provider=provider,
                connection=connection,
                batch_id=wait.batch_id,
                until=wait.until.isoformat(),
                since=(wait.since or datetime.now(UTC)).isoformat(),
            ),
            method_name="resume",
        )


class CheckTask(RunTask):
    """Judges the run's answers. Fails, and nothing is published, when the verdict is no."""

    ui_color = "#dce9f5"

    def execute(self, context: Any) -> str:
        from offpeak.run import check

        site, run_id = airflow_site(), self.run_id(context)
        assert run_id is not None
        with airflow_errors():
            verdict = check(self.asked(site, run_id), site, run_id)
        return "already checked" if verdict is None else verdict.decision


class PublishTask(RunTask):
    """Publishes the judged answers in one atomic step, and says so on the workload's asset."""

    ui_color = "#d6ecd9"

    def execute(self, context: Any) -> str:
        from offpeak.progress import summary
        from offpeak.run import publish

        site, run_id = airflow_site(), self.run_id(context)
        assert run_id is not None
        with airflow_errors():
            publish(self.asked(site, run_id), site, run_id)
        facts = summary(site, run_id)
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = {
                "run_id": run_id,
                "table": facts["table"],
                "rows": facts["table_rows"],
                "cost_usd": facts["cost_usd"]["actual"],
            }
        return str(facts["table"])


class ReportTask(RunTask):
    """Writes the run's report, however the run ended; a run that broke off is ended as failed."""

    ui_color = "#eee8f4"

    def execute(self, context: Any) -> str | None:
        from offpeak.report import write_report
        from offpeak.run import fail

        site, run_id = airflow_site(), self.run_id(context)
        if run_id is None:
            self.log.warning("There is no run to report on: the plan task did not open one.")
            return None
        if not site.ledger.run(run_id).state.ended:
            fail(
                site,
                run_id,
                "A task of the dag run failed; its log says why. What is in flight at the provider goes on "
                "and is billed: clear the failed task to take it up, or cancel it with "
                f"`offpeak cancel {run_id}`.",
            )
        page, _ = write_report(site, run_id)
        self.log.info("Report: %s", page)
        return page
