"""The tasks of a workload. Each calls the library's function for its stage; ids go through XCom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from offpeak.errors import OffpeakError
from offpeak.on_airflow.registry import registered, registered_pipeline
from offpeak.on_airflow.site import airflow_site, interval_of
from offpeak.site import Interval

if TYPE_CHECKING:
    from offpeak.ledger import NewRun, Run
    from offpeak.replay import Replay
    from offpeak.site import Site
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


@contextmanager
def alerting(site: Site, workload: Workload, run_id: str) -> Iterator[None]:
    """The run's alerts are brought up to date after the block, also when it raised an error of ours."""
    from offpeak.on_airflow.channels import raise_on_airflow

    try:
        yield
    except OffpeakError:
        raise_on_airflow(workload, run_id, site=site)
        raise
    raise_on_airflow(workload, run_id, site=site)


class PlanTask(BaseOperator):
    """Reads the rows and cuts the shards; gives the shards' numbers to the mapped task.

    `pipeline` is the one that the workload is a stage of, if it is one."""

    ui_color = "#e8f0ea"

    def __init__(self, *, workload: str, pipeline: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.workload = workload
        self.pipeline = pipeline

    def execute(self, context: Any) -> list[int]:
        from offpeak.run import start
        from offpeak.spool_shares import drop_shares

        site = airflow_site()
        with airflow_errors():
            workload, new, interval = _asked_for(self.pipeline, self.workload, site, context)
            try:
                run = start(workload, site, new, interval)
            except OffpeakError as error:
                self._say_failed(site, workload, new, error)
                if not error.transient:
                    drop_shares(workload, site, new)
                raise
            drop_shares(workload, site, new)
        context["ti"].xcom_push(key=RUN_ID, value=run.run_id)
        site.ledger.note_run(run.run_id, self._origin(), now=site.now())
        facts = run.facts
        self.log.info(
            "Run %s: %s rows, %s answered before, %s requests in %s shards",
            *(run.run_id, facts["rows"], facts["carried"], facts["requests"], facts["shards"]),
        )
        return sorted({shard.key.number for shard in site.ledger.shards(run.run_id)})

    def _origin(self) -> dict[str, str]:
        """What commands and links that know only the run find its DAG by."""
        return {"dag_file": self.dag.fileloc, "dag_id": self.dag_id}

    def _say_failed(self, site: Site, workload: Workload, new: NewRun, error: OffpeakError) -> None:
        """The report and the alert of a plan that failed; the alert alone when it failed before there was a run."""
        from offpeak.on_airflow.channels import raise_on_airflow
        from offpeak.report import write_report

        run = run_of_interval(site, workload.name, new.interval_key)
        if run is not None:
            site.ledger.note_run(run.run_id, self._origin(), now=site.now())
            write_report(site, run.run_id)
            raise_on_airflow(workload, run.run_id, site=site)
        else:
            _say_broke_off(site, workload, new, error)


def _say_broke_off(site: Site, workload: Workload, new: NewRun, error: OffpeakError) -> None:
    """The alert of what failed before there was a run; a replay has somebody who waits for it."""
    from offpeak.alerts.raising import Seen
    from offpeak.on_airflow.channels import raise_on_airflow

    if not error.transient and "replay" not in new.spec:
        interval = Interval(start=new.interval_start, end=new.interval_end)
        raise_on_airflow(workload, None, seen=Seen(interval=interval, broke_off=str(error)), site=site)


class ReadTask(BaseOperator):
    """Reads and renders one share of the rows, which the plan task takes over; mapped, `readers` of them."""

    ui_color = "#e8f0ea"

    def __init__(self, *, workload: str, number: int, pipeline: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.workload = workload
        self.number = number
        self.pipeline = pipeline

    def execute(self, context: Any) -> str:
        from offpeak.site import account_of
        from offpeak.spool_shares import spool_share

        site = airflow_site()
        with airflow_errors():
            workload, new, interval = _asked_for(self.pipeline, self.workload, site, context)
            try:
                account_of(workload, site)
                rows = spool_share(workload, site, new, interval, self.number)
            except OffpeakError as error:
                _say_broke_off(site, workload, new, error)
                raise
        return "nothing to read" if rows is None else f"{rows:,} rows"


def _asked_for(pipeline: str, name: str, site: Site, context: Any) -> tuple[Workload, NewRun, Interval]:
    """The run that the dag run asks for, of a workload or of a pipeline's stage."""
    if pipeline:
        return _new_stage(pipeline, name, site, context)
    return _new(registered(name), site, context)


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


def _new_stage(pipeline_name: str, name: str, site: Site, context: Any) -> tuple[Workload, NewRun, Interval]:
    """The run of a stage that the dag run's conf asks for."""
    from offpeak.errors import SpecError
    from offpeak.run import new_run
    from offpeak.stage import prepared, reading

    conf, started_by = context["dag_run"].conf or {}, context["dag_run"].run_id
    pipeline, interval = registered_pipeline(pipeline_name), interval_of(context)
    if "replay" in conf:
        raise SpecError(
            f"A replay is of one workload, and {pipeline_name} is a pipeline of several. Nothing was sent. Use "
            f"`offpeak dead-letters replay {conf['replay']}`, then run the pipeline again."
        )
    workload = prepared(pipeline, registered(name), site, interval)
    read = reading(pipeline, name, limit=conf.get("limit"), again=bool(conf.get("again")))
    return (
        workload,
        new_run(workload, site, interval, limit=read.limit, again=read.again, started_by=started_by),
        interval,
    )


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


def run_of_interval(site: Site, workload: str, interval_key: str) -> Run | None:
    """The workload's last run, if it is one of this interval."""
    last = next(iter(site.ledger.runs(workload, limit=1)), None)
    return last if last is not None and last.interval_key == interval_key else None


def run_id_of(context: Any, plan: str) -> str | None:
    """The run that the plan task opened; None when it opened none."""
    found = context["ti"].xcom_pull(task_ids=plan, key=RUN_ID)
    return str(found) if found else None


def as_run_asks(workload: str, site: Site, run_id: str) -> Workload:
    """The workload as this run asks it: a replay may ask another model than the DAG file names."""
    from offpeak.asked import as_asked

    return as_asked(registered(workload), site.ledger.run(run_id))


class RunTask(BaseOperator):
    """A task of a planned run."""

    def __init__(self, *, workload: str, plan: str, **options: Any) -> None:
        super().__init__(**options)
        self.workload = workload
        self.plan = plan

    def run_id(self, context: Any) -> str | None:
        return run_id_of(context, self.plan)

    def asked(self, site: Site, run_id: str) -> Workload:
        return as_run_asks(self.workload, site, run_id)


def close_run(site: Site, workload: str, run_id: str) -> str:
    """End a run that no task carries on, as failed if it is still open, with its report and its alerts; the report's
    address."""
    from offpeak.on_airflow.channels import raise_on_airflow
    from offpeak.report import write_report
    from offpeak.run import fail

    fail(
        site,
        run_id,
        "A task of the dag run failed; its log says why. What is in flight at the provider goes on and is billed: "
        f"clear the failed task to take it up, or cancel it with `offpeak cancel {run_id}`.",
    )
    page, _ = write_report(site, run_id)
    raise_on_airflow(registered(workload), run_id, site=site)
    return page


class CheckTask(RunTask):
    """Judges the run's answers. Fails, and nothing is published, when the verdict is no."""

    ui_color = "#dce9f5"

    def execute(self, context: Any) -> str:
        from offpeak.run import check

        site, run_id = airflow_site(), self.run_id(context)
        assert run_id is not None
        workload = self.asked(site, run_id)
        with airflow_errors(), alerting(site, workload, run_id):
            verdict = check(workload, site, run_id)
        return "already checked" if verdict is None else verdict.decision


class PublishTask(RunTask):
    """Publishes the judged answers in one atomic step, and says so on the workload's asset."""

    ui_color = "#d6ecd9"

    def execute(self, context: Any) -> str:
        from offpeak.progress import summary
        from offpeak.run import publish

        site, run_id = airflow_site(), self.run_id(context)
        assert run_id is not None
        workload = self.asked(site, run_id)
        with airflow_errors(), alerting(site, workload, run_id):
            publish(workload, site, run_id)
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
    """Writes the run's report and brings its alerts up to date, however the run ended; a run that broke off is
    ended as failed."""

    ui_color = "#eee8f4"

    def execute(self, context: Any) -> str | None:
        site, run_id = airflow_site(), self.run_id(context)
        self._drop_shares(context, site)
        if run_id is None:
            return self._without_run(context, site)
        return self._close(site, run_id)

    def _drop_shares(self, context: Any, site: Site) -> None:
        """What readers have left of which one failed, so that nothing was planned."""
        from offpeak.spool_shares import drop_shares

        is_replay = "replay" in (context["dag_run"].conf or {})
        if registered(self.workload).readers > 1 and not is_replay:
            workload, new, _ = _asked_for("", self.workload, site, context)
            drop_shares(workload, site, new)

    def _close(self, site: Site, run_id: str) -> str:
        page = close_run(site, self.workload, run_id)
        self.log.info("Report: %s", page)
        return page

    def _without_run(self, context: Any, site: Site) -> str | None:
        """The plan task failed: its run is in the ledger, or there is none at all."""
        from offpeak.alerts.causes import BROKE_OFF
        from offpeak.alerts.raising import Seen
        from offpeak.on_airflow.channels import raise_on_airflow

        if "replay" in (context["dag_run"].conf or {}):
            return None
        interval = interval_of(context)
        run = run_of_interval(site, self.workload, interval.key)
        if run is not None and run.started_by == context["dag_run"].run_id:
            return self._close(site, run.run_id)
        self.log.warning("There is no run to report on: the plan task did not open one.")
        seen = Seen(interval=interval, broke_off=BROKE_OFF)
        raise_on_airflow(registered(self.workload), None, seen=seen, site=site)
        return None
