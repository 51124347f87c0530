"""Alerts on Airflow: its deadlines are made from due, and its own notifiers carry the messages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from offpeak.alerts import mail, pagerduty, raise_alerts, slack, webhook
from offpeak.alerts.channels import Channel
from offpeak.due import due_at
from offpeak.errors import DeliveryError
from offpeak.ledger import Ledger
from offpeak.on_airflow.channels import deliver, raise_on_airflow
from offpeak.on_airflow.deadlines import DueReference, deadline_passed, deadlines, tell
from offpeak.states import RunState
from tests.alerts.making import INTERVAL, MINUTE, NOW, Desk, watch
from tests.alerts.servers import Hook, Smtp
from tests.alerts.test_channels import message

DUE_IN = timedelta(minutes=45)
LONG_AGO = NOW - timedelta(days=2)


def dag_run(**changes: Any) -> Any:
    made = {
        "dag_id": "d",
        "run_id": "scheduled__1",
        "run_type": "scheduled",
        "conf": {},
        "data_interval_start": INTERVAL.start,
        "data_interval_end": INTERVAL.end,
        "run_after": INTERVAL.end,
    }
    return SimpleNamespace(**{**made, **changes})


def as_json(run: Any, **changes: Any) -> dict[str, Any]:
    """As Airflow gives it to a deadline's callback."""
    values = {**vars(run), "dag_run_id": run.run_id, "logical_date": None, "state": "running", **changes}
    made: dict[str, Any] = json.loads(json.dumps(values, default=lambda at: at.isoformat()))
    return made


def references(due: timedelta | str) -> list[DueReference]:
    """Of the warning and of the miss."""
    made = [one.reference for one in deadlines(watch(due=due))]
    return [one for one in made if isinstance(one, DueReference)]


@pytest.fixture
def desk(ledger: Ledger, tmp_path: Path) -> Desk:
    return Desk(ledger=ledger, folder=tmp_path)


def test_a_workload_has_a_warning_and_a_miss_and_one_without_due_has_none() -> None:
    warning, miss = deadlines(watch(slack("ops"), due=DUE_IN))
    assert (warning.name, miss.name) == ("offpeak warning", "offpeak miss")
    assert warning.callback.path == "offpeak.on_airflow.deadlines.deadline_passed"
    assert [one.callback.kwargs["level"] for one in (warning, miss)] == ["warning", "miss"]
    assert warning != miss
    assert deadlines(watch(due=None)) == []


def test_the_moments_are_due_and_three_quarters_of_the_way_to_it() -> None:
    warning, miss = references(DUE_IN)
    assert miss.at(dag_run(), now=NOW) == NOW + DUE_IN
    assert warning.at(dag_run(), now=NOW) == NOW + 0.75 * DUE_IN


def test_a_time_of_day_is_right_on_the_night_the_clock_changes() -> None:
    _, miss = references("07:00 Europe/Berlin")
    for day, hour in (
        (datetime(2026, 3, 28, 23, tzinfo=UTC), 5),
        (datetime(2026, 10, 24, 22, tzinfo=UTC), 6),
    ):
        run = dag_run(data_interval_start=day, data_interval_end=day)
        at = miss.at(run, now=day)
        assert at == due_at("07:00 Europe/Berlin", day)
        assert at.hour == hour


def test_a_run_without_a_logical_date_has_a_deadline_from_its_conf_or_its_trigger() -> None:
    _, miss = references(DUE_IN)
    bare = {"data_interval_start": None, "data_interval_end": None}
    assert miss.at(dag_run(**bare), now=NOW) == NOW + DUE_IN
    asked = dag_run(**bare, conf={"end": "2026-11-22T09:00:00+00:00"})
    assert miss.at(asked, now=NOW) == NOW + timedelta(hours=1) + DUE_IN


def test_a_moment_of_pendulum_is_as_good_as_one_of_the_standard_library() -> None:
    """Airflow's API makes dag runs with the one, its timetables with the other."""
    pendulum = pytest.importorskip("pendulum")
    for due, at in ((DUE_IN, NOW + DUE_IN), ("07:00 Europe/Berlin", due_at("07:00 Europe/Berlin", NOW))):
        _, miss = references(due)
        run = dag_run(data_interval_start=None, data_interval_end=None, run_after=pendulum.instance(NOW))
        assert miss.at(run, now=NOW) == at


@pytest.mark.parametrize(
    "changes",
    [
        {"run_type": "backfill"},
        {"conf": {"replay": "w/i"}},
        {"conf": {"end": "tomorrow"}},
        {"data_interval_start": LONG_AGO, "data_interval_end": LONG_AGO},
    ],
)
def test_a_run_that_nobody_waits_for_has_no_deadline(changes: dict[str, Any]) -> None:
    _, miss = references(DUE_IN)
    assert miss.at(dag_run(**changes), now=NOW) is None


def test_airflow_keeps_a_deadline_in_its_database_and_reads_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow import plugins_manager
    from airflow.serialization.decoders import decode_deadline_alert
    from airflow.serialization.encoders import encode_deadline_alert
    from airflow.serialization.helpers import find_registered_custom_deadline_reference

    listed = {f"{DueReference.__module__}.{DueReference.__qualname__}": DueReference}
    monkeypatch.setattr(plugins_manager, "get_deadline_references_plugins", lambda: listed)
    for due in (DUE_IN, "07:00 Europe/Berlin"):
        for made in deadlines(watch(webhook("hook"), mail("m", to="a@b.example"), due=due)):
            kept = json.loads(json.dumps(encode_deadline_alert(made)))
            found: Any = find_registered_custom_deadline_reference(kept["reference"]["__class_path"])
            assert found is DueReference
            read = decode_deadline_alert(kept)
            assert read.reference.inner_ref == made.reference
            assert read.callback.kwargs == made.callback.kwargs


def test_a_deadline_finds_the_interval_of_a_run_in_airflows_own_database(tmp_path: Path) -> None:
    """The scheduler evaluates it on the row it has just made; a process of its own, with a database of its own."""
    code = """
from datetime import UTC, datetime, timedelta
from airflow.models import DagRun
from airflow.models.tasklog import LogTemplate
from airflow.utils.types import DagRunType
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from offpeak.on_airflow.deadlines import DueReference

engine = create_engine("sqlite://")
for model in (LogTemplate, DagRun):
    model.__table__.create(engine)
end = datetime.now(UTC).replace(microsecond=0)
with Session(engine) as session:
    hour = (end - timedelta(hours=1), end)
    session.add(DagRun(dag_id="d", run_id="r", run_type=DagRunType.SCHEDULED, run_after=end, conf={},
                       logical_date=hour[0], data_interval=hour))
    session.add(DagRun(dag_id="d", run_id="m", run_type=DagRunType.MANUAL, run_after=end, conf={}, logical_date=None))
    session.flush()
    for run_id in ("r", "m"):
        found = DueReference(due=2700.0)._evaluate_with(session=session, dag_id="d", run_id=run_id)
        assert found == end + timedelta(minutes=45), (run_id, found)
    assert DueReference(due=2700.0)._evaluate_with(session=session, dag_id="d", run_id="other") is None
print("found")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.strip().endswith("found"), done.stderr[-2000:]


def test_the_miss_of_a_run_that_never_started_is_one_alert(desk: Desk, hook: Hook) -> None:
    to = watch(webhook(hook.url), due=DUE_IN)
    desk.turn(46 * MINUTE)
    for _ in range(2):
        tell(to, "miss", as_json(dag_run()), site=desk.site)
    assert hook.kinds() == [("opened", "late")]


def test_a_warning_about_a_run_without_forecast_is_at_risk_and_the_miss_makes_it_late(
    desk: Desk, hook: Hook
) -> None:
    to = watch(webhook(hook.url), due=DUE_IN)
    desk.run()
    desk.turn(34 * MINUTE)
    tell(to, "warning", as_json(dag_run()), site=desk.site)
    desk.turn(12 * MINUTE)
    tell(to, "miss", as_json(dag_run()), site=desk.site)
    assert hook.kinds() == [("opened", "at_risk"), ("resolved", "at_risk"), ("opened", "late")]
    assert "cannot be foreseen" in hook.taken[0]["text"]


def test_a_failed_run_that_still_fires_its_deadline_is_not_late(desk: Desk, hook: Hook) -> None:
    to, run = watch(webhook(hook.url), due=DUE_IN), desk.run()
    desk.end(run, RunState.FAILED, error="gone")
    raise_alerts(desk.site, to, run.run_id)
    desk.turn(46 * MINUTE)
    tell(to, "miss", as_json(dag_run(), state="failed"), site=desk.site)
    assert hook.kinds() == [("opened", "failed"), ("updated", "failed")]
    assert "Its due time has passed." in hook.taken[1]["text"]


def test_a_run_that_succeeded_or_replays_says_nothing(desk: Desk) -> None:
    desk.turn(46 * MINUTE)
    assert tell(watch(), "miss", as_json(dag_run(), state="success"), site=desk.site) is None
    assert tell(watch(), "miss", as_json(dag_run(conf={"replay": "w/i"})), site=desk.site) is None


def test_the_callback_runs_in_an_event_loop_from_what_airflow_kept(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFPEAK_LEDGER", f"sqlite:///{tmp_path}/ledger.sqlite")
    monkeypatch.setenv("OFFPEAK_STORE", str(tmp_path))
    monkeypatch.setenv("OFFPEAK_BASE_URL", "https://airflow.example")
    (_, miss) = deadlines(watch(webhook(hook.url), due=DUE_IN))
    just_now = datetime.now(UTC) - timedelta(hours=1)
    run = dag_run(data_interval_start=just_now, data_interval_end=just_now)
    context = {"dag_run": as_json(run), "deadline": {"id": "x"}}
    asyncio.run(deadline_passed(**json.loads(json.dumps(miss.callback.kwargs)), context=context))
    assert hook.kinds() == [("opened", "late")]


def test_a_mail_goes_through_airflows_own_notifier_and_no_template_in_it_is_rendered(
    desk: Desk, smtp: Smtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MAILS", smtp.connection())
    run, to = desk.run(), watch(mail("mails", to=["a@b.example", "c@d.example"]))
    desk.end(run, RunState.REFUSED, error="The verdict is no: {{ 7 * 7 }} <b>bold</b>")
    raised = raise_on_airflow(to, run.run_id, site=desk.site)
    assert raised.untold == ()
    (sent,) = smtp.mails
    assert sent["Subject"] == f"[Offpeak] Refused: {run.run_id}"
    assert sent["Message-ID"] == "<offpeak-1-1@offpeak.invalid>"
    (page,) = [part.get_content() for part in sent.walk() if part.get_content_type() == "text/html"]
    assert "{{ 7 * 7 }} &lt;b&gt;bold&lt;/b&gt;" in page
    assert sorted(smtp.recipients[0]) == ["a@b.example", "c@d.example"]


@pytest.mark.parametrize(
    ("channel", "package"),
    [(slack("ops"), "slack"), (slack("ops", to="#x"), "slack"), (pagerduty("p"), "pagerduty")],
)
def test_a_provider_that_is_not_installed_is_named_with_its_command(
    channel: Channel, package: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "slack.notifications.slack",
        "slack.notifications.slack_webhook",
        "pagerduty.notifications.pagerduty",
    ):
        monkeypatch.setitem(sys.modules, f"airflow.providers.{name}", None)
    with pytest.raises(DeliveryError, match=f"pip install apache-airflow-providers-{package}"):
        deliver(channel, message(), desk.site)


def test_a_notifiers_error_is_kept_without_the_connections_password(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": 1,
        "password": "hunter2hunter2",
        "extra": {"disable_ssl": True},
    }
    monkeypatch.setenv("AIRFLOW_CONN_MAILS", json.dumps(made))
    with pytest.raises(DeliveryError, match="connection mails did not take it") as caught:
        deliver(mail("mails", to="a@b.example", sender="me@b.example"), message(), desk.site)
    assert "hunter2" not in str(caught.value)
