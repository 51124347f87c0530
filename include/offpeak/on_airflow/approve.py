"""Approval on Airflow: the run waits in the UI's required actions, in no worker and in no triggerer."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator

from offpeak import approval
from offpeak.on_airflow.channels import raise_on_airflow
from offpeak.on_airflow.operators import airflow_errors, as_run_asks, run_id_of
from offpeak.on_airflow.site import airflow_site

APPROVE, REJECT = "Approve", "Reject"


class ApproveTask(HITLOperator):
    """Asks a person when the run's estimate is above approve_above_usd, and goes on at once when it is not.

    A no ends the run as cancelled and fails the task: nothing that comes after may read it as published.
    The wait has no time limit of its own: the due time's alerts say that the run stands still.
    """

    template_fields = ()
    """The question is made in the worker; nothing of it is a template."""
    ui_color = "#f5e6f0"

    def __init__(self, *, workload: str, plan: str, **options: Any) -> None:
        super().__init__(subject="Not asked yet", options=[APPROVE, REJECT], **options)
        self.workload = workload
        self.plan = plan

    def execute(self, context: Any) -> Any:
        site, run_id = airflow_site(), run_id_of(context, self.plan)
        assert run_id is not None, "the plan task has opened a run"
        workload, run = as_run_asks(self.workload, site, run_id), site.ledger.run(run_id)
        if not approval.is_needed(workload, run):
            return "not needed"
        with airflow_errors():
            question = approval.question_of(workload, site, run, where="airflow")
        self.subject, self.body = question.title, "\n\n".join(question.lines)
        raise_on_airflow(workload, run_id, site=site)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> str:
        """Called when somebody answered."""
        answer = super().execute_complete(context, event)
        site, run_id = airflow_site(), run_id_of(context, self.plan)
        assert run_id is not None
        by = _name(answer["responded_by_user"])
        try:
            with airflow_errors():
                approval.answer(site, run_id, yes=answer["chosen_options"] == [APPROVE], by=by)
        finally:
            raise_on_airflow(as_run_asks(self.workload, site, run_id), run_id, site=site)
        return f"approved by {by}"


def _name(user: Any) -> str:
    """Who answered, as Airflow knows them."""
    said = user.get("name") or user.get("id") if isinstance(user, dict) else user
    return str(said or "somebody in Airflow")
