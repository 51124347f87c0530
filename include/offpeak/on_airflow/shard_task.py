"""The task of one shard: it carries it through its rounds, and waits in the triggerer."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from offpeak.errors import OffpeakError
from offpeak.on_airflow.operators import RunTask, airflow_errors, alerting
from offpeak.on_airflow.site import airflow_site
from offpeak.on_airflow.trigger import ShardTrigger

if TYPE_CHECKING:
    from offpeak.advance import Done, Wait
    from offpeak.providers.provider import Client
    from offpeak.site import Site
    from offpeak.workload import Workload

TOLD_EVERY_SECONDS = 60.0
"""While a task asks in realtime, its alerts are looked at so often."""


class ShardTask(RunTask):
    """Carries one shard through its rounds. Waits in the triggerer, never in a worker."""

    ui_color = "#fff3d6"

    def __init__(self, *, number: int, **options: Any) -> None:
        super().__init__(**options)
        self.number = number

    def execute(self, context: Any) -> dict[str, Any]:
        return self._go_on(context)

    def resume(self, context: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Called when the trigger fired: the batch has ended, the wait is over, or something is to be decided."""
        self.log.info("Resumed: %s", event)
        return self._go_on(context)

    def _go_on(self, context: Any) -> dict[str, Any]:
        from offpeak.advance import Wait
        from offpeak.run import connect, take_up

        site, run_id = airflow_site(), self.run_id(context)
        assert run_id is not None, "a shard belongs to a planned run"
        workload = self.asked(site, run_id)
        take_up(site, run_id)
        with airflow_errors():
            client = connect(workload, site)
            try:
                with alerting(site, workload, run_id):
                    step = self._step(workload, site, client, run_id)
            finally:
                client.close()
        if isinstance(step, Wait):
            self._defer(step, workload.provider_name, workload.connection)
        return {"run_id": run_id, "shard": self.number, "rounds": getattr(step, "rounds", 0)}

    def _step(self, workload: Workload, site: Site, client: Client, run_id: str) -> Wait | Done:
        """An error that no retry can mend ends the run; its other shards go on to their end."""
        from offpeak.advance import advance
        from offpeak.run import fail

        try:
            tell = _MeanwhileTold(workload, site, run_id)
            return advance(workload, site, client, run_id, self.number, may_ask=tell)
        except OffpeakError as error:
            if not error.transient:
                fail(site, run_id, str(error))
            raise

    def _defer(self, wait: Wait, provider: str, connection: str | None) -> None:
        self.log.info("Shard %s waits until %s: %s", self.number, wait.until, wait.why)
        wake: datetime | None = getattr(wait, "wake", None)
        self.defer(
            trigger=ShardTrigger(
                provider=provider,
                connection=connection,
                batch_id=wait.batch_id,
                until=wait.until.isoformat(),
                since=(wait.since or datetime.now(UTC)).isoformat(),
                wake=None if wake is None else wake.isoformat(),
            ),
            method_name="resume",
        )


class _MeanwhileTold:
    """Says that the task may go on asking in realtime, and brings the alerts up to date while it does: that may
    take an hour, and on-call should hear of an escalation before it is over."""

    def __init__(self, workload: Workload, site: Site, run_id: str) -> None:
        self._about = (workload, site, run_id)
        self._told_at: float | None = None

    def __call__(self) -> bool:
        from offpeak.on_airflow.channels import raise_on_airflow

        now = time.monotonic()
        if self._told_at is None or now - self._told_at > TOLD_EVERY_SECONDS:
            self._told_at = now
            workload, site, run_id = self._about
            raise_on_airflow(workload, run_id, site=site)
        return True
