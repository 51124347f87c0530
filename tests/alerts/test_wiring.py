"""Where a workload on Airflow raises its alerts: its deadlines, its plan, its report, and what its facts foresee."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from pydantic import BaseModel

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.alerts import raise_alerts, webhook
from offpeak.alerts.causes import BROKE_OFF
from offpeak.alerts.look import Outlook
from offpeak.alerts.raising import Seen
from offpeak.ledger import Ledger
from offpeak.on_airflow import workload_dag
from offpeak.on_airflow.operators import PlanTask, ReadTask, ReportTask
from offpeak.on_airflow.registry import register
from offpeak.on_airflow.trigger import FIRST_LOOK, ShardTrigger
from offpeak.site import Site
from offpeak.states import RunState
from tests.alerts.making import DUE, INTERVAL, MINUTE, NOW, Desk, watch
from tests.alerts.servers import Hook
from tests.run.pipelined import TwoLayers

DUE_IN = timedelta(minutes=45)


class Mood(BaseModel):
    mood: Literal["calm", "angry"]


def workload(name: str, **changes: Any) -> Workload:
    settings: dict[str, Any] = {
        "name": name,
        "rows": parquet("{store}/none/*.parquet", key="id"),
        "prompt": Prompt(user="{{ row.text }}"),
        "answer": Mood,
        "model": "openai:gpt-5-mini",
        "into": parquet_table(f"{{store}}/tables/{name}"),
    }
    return Workload(**{**settings, **changes})


class Ti:
    """What a task keeps for those after it."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.kept[key] = value

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        return self.kept.get(key)


def context(**conf: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    run = SimpleNamespace(
        run_id="scheduled__1", conf=conf, data_interval_start=now, data_interval_end=now, run_after=now
    )
    return {"dag_run": run, "ti": Ti()}


@pytest.fixture
def desk(ledger: Ledger, tmp_path: Path) -> Desk:
    return Desk(ledger=ledger, folder=tmp_path)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OFFPEAK_STORE", str(tmp_path / "store"))
    for name in ("OFFPEAK_LEDGER", "OPENAI_API_KEY", "AIRFLOW_CONN_OPENAI_DEFAULT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "store"


def test_a_dag_has_the_deadlines_of_its_workload_and_its_own_options_come_first() -> None:
    dag = workload_dag(workload("timely", due=DUE_IN))
    assert [one.name for one in dag.deadline] == ["offpeak warning", "offpeak miss"]
    assert not workload_dag(workload("whenever")).deadline
    assert not workload_dag(workload("untold", due=DUE_IN), deadline=[]).deadline


def test_only_a_dag_whose_workload_sets_a_limit_has_the_task_that_waits_for_a_person() -> None:
    usual = ["check", "plan", "publish", "report", "shard"]
    assert sorted(workload_dag(workload("free")).task_ids) == usual
    dag = workload_dag(workload("limited", approve_above_usd=Decimal(10)))
    assert sorted(dag.task_ids) == ["approve", *usual]
    assert dag.get_task("approve").upstream_task_ids == {"plan"}
    assert dag.get_task("shard").upstream_task_ids == {"plan", "approve"}


def test_only_a_dag_whose_workload_has_several_readers_has_the_tasks_that_read() -> None:
    dag = workload_dag(workload("shared", readers=3))
    assert dag.get_task("plan").upstream_task_ids == {"read"}
    assert not workload_dag(workload("alone")).get_task("plan").upstream_task_ids


@pytest.mark.parametrize("readers", [1, 2])
def test_a_stage_reads_after_the_layer_before(readers: int) -> None:
    made = TwoLayers().pipeline
    first, (last,) = made.layers
    several = replace(made, layers=(first, (replace(last, readers=readers),)))
    dag = workload_dag(SimpleNamespace(pipeline=several))
    begin = "kinds.plan" if readers == 1 else "kinds.read"
    assert dag.get_task(begin).upstream_task_ids == {"left.settle", "right.settle"}
    assert readers == 1 or dag.get_task("kinds.plan").upstream_task_ids == {"kinds.read"}


def test_a_share_that_cannot_be_read_is_told_once_with_its_reason(
    store: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    register(workload("lost", readers=2, alerts=[webhook(hook.url)]))
    said = context()
    for number in range(2):
        with pytest.raises(AirflowFailException, match="parquet"):
            ReadTask(task_id="read", workload="lost", number=number).execute(said)
    ReportTask(task_id="report", workload="lost", plan="plan").execute(said)
    assert hook.kinds() == [("opened", "failed")]
    assert BROKE_OFF not in hook.taken[0]["text"]


def test_a_plan_that_fails_for_good_leaves_no_share_for_the_next_try(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    (store / "none").mkdir(parents=True)
    pq.write_table(pa.table({"id": ["1"], "text": [None]}), store / "none" / "a.parquet")
    dag = workload_dag(workload("nulls", readers=2, max_failed=0))
    said, shares = context(), Site.open(store=str(store)).store
    for number in range(2):
        ReadTask(task_id="read", workload="nulls", number=number).execute(said)
    assert len(shares.names("runs/nulls/*/*.parquet")) == 2
    with pytest.raises(AirflowFailException, match="1 of 1 rows cannot be asked"):
        dag.get_task("plan").execute(said)
    assert shares.names("runs/nulls/*/*.parquet") == []


def test_a_plan_that_fails_before_there_is_a_run_is_told_once_with_its_reason(
    store: Path, hook: Hook
) -> None:
    register(workload("keyless", alerts=[webhook(hook.url)]))
    said = context()
    with pytest.raises(AirflowFailException):
        PlanTask(task_id="plan", workload="keyless").execute(said)
    ReportTask(task_id="report", workload="keyless", plan="plan").execute(said)
    assert hook.kinds() == [("opened", "failed")]
    assert "The run failed. " in hook.taken[0]["text"]
    assert "OPENAI_API_KEY" in hook.taken[0]["text"]
    assert BROKE_OFF not in hook.taken[0]["text"]
    (kept,) = Site.open(store=str(store)).ledger.alerts.latest()
    assert "OPENAI_API_KEY" in kept.facts["error"]


def test_a_plan_that_fails_with_its_run_is_told_and_reported(
    store: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    register(workload("rowless", alerts=[webhook(hook.url)]))
    said, dag = context(), workload_dag(workload("rowless", alerts=[webhook(hook.url)]))
    with pytest.raises(AirflowFailException, match="parquet"):
        dag.get_task("plan").execute(said)
    page = dag.get_task("report").execute(said)
    assert hook.kinds() == [("opened", "failed")]
    assert page is not None
    assert "Failed" in Path(page).read_text()


def test_the_report_task_alone_says_that_nothing_is_known_of_the_reason(store: Path, hook: Hook) -> None:
    register(workload("silent", alerts=[webhook(hook.url)]))
    ReportTask(task_id="report", workload="silent", plan="plan").execute(context())
    assert hook.kinds() == [("opened", "failed")]
    assert BROKE_OFF in hook.taken[0]["text"]


def test_what_failed_before_there_was_a_run_is_over_when_the_interval_is_published(
    desk: Desk, hook: Hook
) -> None:
    to = watch(webhook(hook.url))
    raise_alerts(desk.site, to, None, seen=Seen(interval=INTERVAL, broke_off="no key"))
    run = desk.run()
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "failed")]
    desk.end(run, RunState.PUBLISHED)
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "failed"), ("resolved", "failed")]


def test_the_forecast_in_a_runs_facts_is_what_its_alerts_tell(desk: Desk, hook: Hook) -> None:
    to = watch(webhook(hook.url))
    said = {
        "p50": (DUE - MINUTE).isoformat(),
        "p90": (DUE + 20 * MINUTE).isoformat(),
        "basis": "from 30 past batches",
        "escalate_usd": "1.25",
        "affordable": False,
        "why": "the last safe moment is 08:30",
    }
    run = desk.run(facts={"outlook": said})
    raise_alerts(desk.site, to, run.run_id)
    (told,) = hook.taken
    for words in (
        "from 30 past batches",
        "costs $1.25",
        "the budget forbids it",
        "last safe moment is 08:30",
    ):
        assert words in told["text"]
    sooner = {**said, "p90": (DUE - MINUTE).isoformat()}
    desk.site.ledger.note_run(run.run_id, {"outlook": sooner}, now=NOW)
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "at_risk"), ("resolved", "at_risk")]
    assert f"in time again: nine times in ten by {DUE - MINUTE:%H:%M} UTC" in hook.taken[1]["text"]


def test_a_forecast_that_has_passed_is_none_and_closes_nothing(desk: Desk, hook: Hook) -> None:
    to = watch(webhook(hook.url))
    run = desk.run(facts={"outlook": {"p50": NOW.isoformat(), "p90": (NOW + MINUTE).isoformat()}})
    desk.turn(5 * MINUTE)
    foreseen = Outlook.of_run(run, now=desk.at)
    assert foreseen is not None
    assert (foreseen.p50, foreseen.p90) == (None, None)
    raise_alerts(desk.site, to, run.run_id, seen=Seen(warned=True))
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "at_risk")]
    assert "cannot be foreseen" in hook.taken[0]["text"]


def test_a_run_that_waits_for_a_yes_at_the_warning_says_so(desk: Desk, hook: Hook) -> None:
    to = watch(webhook(hook.url))
    run = desk.run(facts={"approval": {"usd": "12", "above_usd": "10", "where": "airflow"}})
    raise_alerts(desk.site, to, run.run_id, seen=Seen(warned=True))
    assert sorted(hook.kinds()) == [("opened", "at_risk"), ("opened", "budget")]
    at_risk = next(one for one in hook.taken if one["cause"] == "at_risk")
    assert "It waits for a person's yes, sends nothing before, and is due at" in at_risk["text"]
    assert [one["name"] for one in at_risk["options"]] == ["Approve or reject", "Cancel"]


@pytest.mark.parametrize("batch_id", [None, "batch_1"])
def test_a_trigger_wakes_its_task_when_a_decision_is_due_though_nothing_has_ended(
    batch_id: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offpeak.on_airflow.trigger.FIRST_LOOK", timedelta(milliseconds=20))
    now = datetime.now(UTC)
    wake = (now + timedelta(milliseconds=60)).isoformat()
    made = ShardTrigger(
        provider="openai",
        connection=None,
        batch_id=batch_id,
        until=(now + timedelta(hours=1)).isoformat(),
        since=now.isoformat(),
        wake=wake,
    )
    path, kept = made.serialize()
    assert path.endswith("ShardTrigger")
    assert kept["wake"] == wake
    assert timedelta(seconds=10) < FIRST_LOOK

    async def first() -> dict[str, Any]:
        async for event in ShardTrigger(**kept).run():
            return dict(event.payload)
        raise AssertionError("it never fires")

    event = asyncio.run(asyncio.wait_for(first(), 10))
    assert event["woken"] == wake
    assert datetime.now(UTC) >= datetime.fromisoformat(wake)
