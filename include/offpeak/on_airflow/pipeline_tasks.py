"""The tasks that only pipelines have: a stage settled in one task, and the last step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from offpeak.on_airflow.operators import RunTask, airflow_errors, alerting, close_run
from offpeak.on_airflow.registry import registered_pipeline
from offpeak.on_airflow.site import airflow_site, interval_of

if TYPE_CHECKING:
    from offpeak.site import Site


class SettleTask(RunTask):
    """Checks, publishes and reports a stage whose shards are collected: one task, because each costs seconds."""

    ui_color = "#dce9f5"

    def execute(self, context: Any) -> str:
        from offpeak.report import write_report
        from offpeak.stage import settle

        site, run_id = airflow_site(), self.run_id(context)
        assert run_id is not None, "the plan task has opened a run"
        workload = self.asked(site, run_id)
        try:
            with airflow_errors(), alerting(site, workload, run_id):
                settle(workload, site, run_id)
        finally:
            page, _ = write_report(site, run_id)
            self.log.info("Report: %s", page)
        run = site.ledger.run(run_id)
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = {"run_id": run_id, **run.facts["table"]}
        return str(run.facts["table"]["address"])


class FinishTask(BaseOperator):
    """The pipeline's last step over its published stages. When a stage was not published, its run is ended as
    failed, with its report and alerts, and the dag run is red."""

    ui_color = "#eee8f4"

    def __init__(self, *, pipeline: str, **options: Any) -> None:
        super().__init__(**options)
        self.pipeline = pipeline

    def execute(self, context: Any) -> dict[str, Any]:
        from offpeak.stage import finish

        site, pipeline, interval = airflow_site(), registered_pipeline(self.pipeline), interval_of(context)
        self._close_what_broke_off(site, str(context["dag_run"].run_id))
        with airflow_errors():
            finished = finish(pipeline, site, interval)
        for told in finished.said:
            self.log.info("%s", told)
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = {"exit_code": finished.exit_code, **finished.facts}
        return {"said": list(finished.said), "exit_code": finished.exit_code}

    def _close_what_broke_off(self, site: Site, dag_run_id: str) -> None:
        """Every stage's task has ended: what is not published now will not be without a person."""
        from offpeak.states import RunState

        broken = []
        for stage in registered_pipeline(self.pipeline).stages():
            runs = site.ledger.runs(stage.name, limit=20)
            run = next((run for run in runs if run.started_by == dag_run_id), None)
            if run is not None and run.state is not RunState.PUBLISHED:
                report = close_run(site, stage.name, run.run_id)
                run = site.ledger.run(run.run_id)
                broken.append(f"{run.run_id} is {run.state}: {run.error} Report: {report}")
        if broken:
            raise AirflowFailException(
                f"{self.pipeline} did not come to its last step.\n" + "\n".join(broken)
            )
