"""One dag run of twelve shards, seen from all sides: Airflow, the ledger, the provider and the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import pyarrow.parquet as pq

from offpeak.emulator.control import SeenBatch
from offpeak.errors import OffpeakError
from offpeak.ledger import Run, Shard
from offpeak.states import RunState, ShardState
from tests.e2e.conftest import Stage

SHARDS = 12
SHARD_ROWS = 10
ROWS = SHARDS * SHARD_ROWS
PATIENCE_SECONDS = 150.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Twelve:
    """A dag run of one of the workloads in `dags_of_twelve`."""

    stage: Stage
    dag_id: str
    dag_run_id: str

    @classmethod
    def begin(cls, stage: Stage, dag_id: str, **conf: object) -> Twelve:
        return cls(stage=stage, dag_id=dag_id, dag_run_id=stage.trigger(dag_id, **conf))

    # -- the ledger
    @property
    def run(self) -> Run:
        """The workload's one run in the ledger, whichever dag run opened it."""
        (run,) = self.stage.site.ledger.runs(self.dag_id)
        return run

    def shards(self) -> list[Shard]:
        """Each shard in its latest round; none before the run is planned."""
        if not self.stage.site.ledger.runs(self.dag_id):
            return []
        return list({shard.key.number: shard for shard in self._all_shards()}.values())

    def _all_shards(self) -> list[Shard]:
        return self.stage.site.ledger.shards(self.run.run_id)

    def count(self, state: ShardState) -> int:
        return sum(shard.state is state for shard in self.shards())

    def history(self) -> str:
        """What the ledger says happened, for an assertion's message."""
        events = self.stage.site.ledger.events(self.run.run_id)
        return "\n".join(f"{event.at:%H:%M:%S} {event.what}: {event.detail}" for event in events)

    # -- the provider
    def batches(self) -> list[SeenBatch]:
        """Every batch that the provider has of this run, whoever made it."""
        tags = {shard.tag for shard in self._all_shards()}
        control = self.stage.control
        ours = {seen.batch_id for seen in control.creates() if seen.custom_ids[0].partition("-")[0] in tags}
        return [batch for batch in control.state().batches if batch.id in ours]

    # -- Airflow
    def tasks(self, task_id: str = "shard") -> list[dict[str, Any]]:
        found = self.stage.airflow.task_instances(self.dag_id, self.dag_run_id)
        return [task for task in found if task["task_id"] == task_id]

    def states(self, task_id: str = "shard") -> list[str]:
        return [task["state"] for task in self.tasks(task_id)]

    def all_wait(self) -> bool:
        """Whether all twelve are in the triggerer."""
        return self.states() == ["deferred"] * SHARDS

    def all_watched(self) -> bool:
        """Whether the triggerer has taken up all twelve: only then does it hear that a person failed one."""
        logs = self.stage.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.dag_run_id}"
        return self.all_wait() and len(list(logs.rglob("*.trigger.*.log"))) == SHARDS

    def mark_failed(self, map_index: int) -> None:
        """What a person does on a task's page."""
        path = f"{self._path()}/taskInstances/shard/{map_index}"
        self.stage.airflow.api.call("PATCH", path, {"new_state": "failed"})

    def mark_run_failed(self) -> None:
        self.stage.airflow.api.end_dag_run(self.dag_id, self.dag_run_id)

    def clear(self, *tasks: object) -> None:
        """Clear tasks and all that comes after them."""
        body = {
            "dry_run": False,
            "dag_run_id": self.dag_run_id,
            "task_ids": list(tasks),
            "include_downstream": True,
            "only_failed": False,
        }
        self.stage.airflow.api.call("POST", f"/api/v2/dags/{self.dag_id}/clearTaskInstances", body)

    def _path(self) -> str:
        return f"/api/v2/dags/{self.dag_id}/dagRuns/{quote(self.dag_run_id)}"

    # -- waiting
    def wait(
        self, what: str, condition: Callable[[], T | None], *, timeout_seconds: float = PATIENCE_SECONDS
    ) -> T:
        """The first true value of `condition`; a database or an Airflow that is away means "not yet"."""

        def patient() -> T | None:
            with suppress(OffpeakError):
                return condition()
            return None

        try:
            return self.stage.airflow.wait(f"{self.dag_id}: {what}", patient, timeout_seconds=timeout_seconds)
        except OffpeakError as error:
            blame = self.stage.blame(self.dag_id, self.dag_run_id)
            raise AssertionError(f"{error}\n{blame}\n{self.history()}\n{self.states()}") from error

    def await_in_flight(self, least: int = SHARDS) -> float:
        """Until so many shards have their batch; the seconds it took."""
        began = time.monotonic()
        self.wait(f"{least} shards in flight", lambda: self.count(ShardState.IN_FLIGHT) >= least)
        return time.monotonic() - began

    def await_end(self) -> str:
        """The state in which the dag run ended."""

        def ended() -> str | None:
            state = str(self.stage.airflow.dag_run(self.dag_id, self.dag_run_id)["state"])
            return state if state in ("success", "failed") else None

        return self.wait("its end", ended, timeout_seconds=240.0)

    # -- the books
    def check_books(self, *, batches: int = SHARDS) -> None:
        """Published, each row once, each request paid once, each batch's spend written once."""
        run, shards, seen = self.run, self._all_shards(), self.batches()
        assert run.state is RunState.PUBLISHED, f"{run.error}\n{self.history()}"
        assert len(seen) == batches == len(shards)
        assert {shard.state for shard in shards} == {ShardState.COLLECTED}
        assert sum(batch.billed.requests for batch in seen) == run.facts["requests"] == ROWS
        assert run.facts["outcomes"] == {"answered": ROWS}
        spends = self.stage.site.ledger.spent(run_id=run.run_id)
        assert len(spends) == batches
        paid = sum(spend.usage.get("output_tokens", 0) for spend in spends)
        assert paid == sum(batch.billed.output_tokens for batch in seen) > 0
        keys = pq.ParquetFile(run.facts["table"]["address"]).read(columns=["id"])["id"].to_pylist()
        assert sorted(keys) == [f"t{number:03d}" for number in range(ROWS)]
