"""Alerts reach real servers: once per cause, again when it matters, and when it is over."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from offpeak.alerts import Outlook, Seen, dismiss, mail, ping, raise_alerts, webhook
from offpeak.alerts.raising import BACKOFF, BACKOFF_MOST, LEASE
from offpeak.errors import SpecError
from offpeak.ledger import Ledger
from offpeak.states import AlertCause, RunState, ShardState
from tests.alerts.making import DUE, INTERVAL, MINUTE, NOW, Desk, judged, watch
from tests.alerts.servers import Hook, Smtp
from tests.core.making import workload
from tests.ledger.making import ANNA
from tests.ledger.making import LEASE as SHARD_LEASE

BAD = "<script>alert(1)</script> {{ 7 * 7 }} <!channel> sk-abcdefghijklmnop"


@pytest.fixture
def desk(ledger: Ledger, tmp_path: Path) -> Desk:
    return Desk(ledger=ledger, folder=tmp_path)


def late_outlook(minutes: int = 20) -> Seen:
    p90 = DUE + minutes * MINUTE
    return Seen(
        outlook=Outlook(p50=DUE, p90=p90, basis="12 runs", escalate_usd=Decimal("1.25"), escalated_by=DUE)
    )


def test_a_run_at_risk_is_told_once_and_resolved_when_it_is_published(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(shards=2), watch(webhook(hook.url))
    for _ in range(3):
        raised = raise_alerts(desk.site, to, run.run_id, seen=late_outlook())
        desk.turn(MINUTE)
    assert [alert.cause for alert in raised.open] == [AlertCause.AT_RISK]
    assert hook.kinds() == [("opened", "at_risk")]
    (body,) = hook.taken
    assert "Rows at risk: 20 of 20" in body["text"]
    assert "p90 22 Nov 2026, 09:05 UTC (12 runs)" in body["text"]
    commands = [option["command"] for option in body["options"]]
    assert commands == [
        f"offpeak escalate {run.run_id}",
        f"offpeak extend {run.run_id} 30m",
        f"offpeak publish --partial {run.run_id}",
        f"offpeak cancel {run.run_id}",
    ]
    assert "costs $1.25, published about 22 Nov 2026, 08:45 UTC" in body["options"][0]["what"]
    assert body["links"]["Runbook"] == "docs/runbooks/at_risk.md"
    desk.end(run, RunState.PUBLISHED)
    raise_alerts(desk.site, to, run.run_id)
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "at_risk"), ("resolved", "at_risk")]
    assert "is published at 08:03 UTC, in time" in hook.taken[1]["text"]
    assert [headers["Idempotency-Key"] for headers in hook.headers] == ["offpeak-1-1", "offpeak-1-2"]


def test_only_what_matters_is_told_again(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(), watch(webhook(hook.url))
    for minutes in (16, 25, 59, 18, 61, 20, 90):
        raise_alerts(desk.site, to, run.run_id, seen=late_outlook(minutes))
    assert hook.kinds() == [("opened", "at_risk"), ("updated", "at_risk")]
    assert "09:46 UTC" in hook.taken[1]["text"]


def test_a_forecast_that_is_not_known_leaves_the_alert_and_one_in_time_closes_it(
    desk: Desk, hook: Hook
) -> None:
    run, to = desk.run(), watch(webhook(hook.url))
    raise_alerts(desk.site, to, run.run_id, seen=late_outlook())
    assert raise_alerts(desk.site, to, run.run_id).resolved == ()
    assert raise_alerts(desk.site, to, run.run_id, seen=Seen(warned=True)).resolved == ()
    raise_alerts(desk.site, to, run.run_id, seen=Seen(outlook=Outlook(p50=NOW, p90=DUE)))
    assert hook.kinds() == [("opened", "at_risk"), ("resolved", "at_risk")]
    assert "expected in time again" in hook.taken[1]["text"]


def test_a_run_that_never_started_is_late_and_resolved_when_it_is_published_after_all(
    desk: Desk, hook: Hook
) -> None:
    to, seen = watch(webhook(hook.url)), Seen(interval=INTERVAL)
    assert raise_alerts(desk.site, to, None, seen=seen).open == ()
    desk.turn(46 * MINUTE)
    raise_alerts(desk.site, to, None, seen=seen)
    raise_alerts(desk.site, to, None, seen=seen)
    assert hook.titles() == ["Late: ticket_triage/2026-11-22T070000Z"]
    assert "has not started" in hook.taken[0]["text"]
    run = desk.run()
    raise_alerts(desk.site, to, run.run_id)
    desk.end(run, RunState.PUBLISHED)
    raise_alerts(desk.site, to, run.run_id)
    assert [kind for kind, _ in hook.kinds()] == ["opened", "updated", "resolved"]
    assert "1 min after its due time" in hook.taken[2]["text"]


def test_a_run_that_becomes_late_is_no_longer_at_risk(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(), watch(webhook(hook.url))
    raise_alerts(desk.site, to, run.run_id, seen=late_outlook())
    desk.turn(50 * MINUTE)
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "at_risk"), ("resolved", "at_risk"), ("opened", "late")]
    assert "late now, and another alert says so" in hook.taken[1]["text"]


def test_a_failed_interval_stays_open_while_it_is_tried_again(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(), watch(webhook(hook.url))
    desk.end(run, RunState.FAILED, error="Run x: the key was refused (401).")
    raise_alerts(desk.site, to, run.run_id)
    again = desk.run()
    assert again.edition == 2
    raise_alerts(desk.site, to, again.run_id)
    assert hook.kinds() == [("opened", "failed")]
    desk.end(again, RunState.PUBLISHED)
    raise_alerts(desk.site, to, run.run_id)  # asked about the old edition, the newest counts
    assert hook.kinds() == [("opened", "failed"), ("resolved", "failed")]


def test_an_older_run_that_nobody_asks_about_any_more_is_closed_by_the_next_one(
    desk: Desk, hook: Hook
) -> None:
    old, to = desk.run(), watch(webhook(hook.url))
    raise_alerts(desk.site, to, old.run_id, seen=late_outlook())
    desk.end(old, RunState.CANCELLED)
    new = desk.run(interval_key="2026-11-22T080000Z", due_at=DUE + 60 * MINUTE)
    raise_alerts(desk.site, to, new.run_id)
    assert hook.kinds() == [("opened", "at_risk"), ("resolved", "at_risk")]
    assert "was cancelled" in hook.taken[1]["text"]


def test_a_channel_that_fails_is_left_alone_then_tried_again_and_fails_no_run(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(), watch(webhook(hook.url))
    desk.end(run, RunState.FAILED, error="gone")
    hook.status, hook.answer = 503, b"no room"
    raised = raise_alerts(desk.site, to, run.run_id)
    assert raised.problem == ""
    assert len(raised.untold) == 1
    assert "answered 503: no room" in raised.untold[0]
    assert "S3CRET" not in raised.untold[0]
    raise_alerts(desk.site, to, run.run_id)
    assert hook.refused == 1  # not before the backoff has passed
    desk.turn(BACKOFF)
    raise_alerts(desk.site, to, run.run_id)
    (delivery,) = desk.ledger.alerts.deliveries(1)
    assert (hook.refused, delivery.attempts, delivery.told_version) == (2, 2, 0)
    assert delivery.not_before == desk.at + 2 * BACKOFF
    assert "503" in delivery.error
    hook.status = 200
    desk.turn(BACKOFF_MOST)
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "failed")]
    assert desk.ledger.alerts.deliveries(1)[0].error == ""


def test_one_failing_channel_keeps_no_message_from_another(desk: Desk, hook: Hook, smtp: Smtp) -> None:
    desk.env = {"AIRFLOW_CONN_MAILS": smtp.connection()}
    to = watch(webhook("http://127.0.0.1:1/nobody"), webhook(hook.url), mail("mails", to=["a@b.example"]))
    run = desk.run()
    desk.end(run, RunState.FAILED, error="gone")
    raised = raise_alerts(desk.site, to, run.run_id)
    assert len(raised.told) == 2
    assert "did not answer: ConnectError" in raised.untold[0]
    assert smtp.subjects() == [f"[Offpeak] Failed: {run.run_id}"]


def test_a_channel_that_never_heard_of_an_alert_is_not_told_that_it_is_over(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(), watch(webhook(hook.url))
    hook.status = 500
    raise_alerts(desk.site, to, run.run_id, seen=late_outlook())
    hook.status = 200
    desk.end(run, RunState.PUBLISHED)
    desk.turn(BACKOFF_MOST)
    raise_alerts(desk.site, to, run.run_id)
    assert hook.taken == []


def test_a_resolved_message_that_a_channel_missed_is_told_by_the_next_run(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(), watch(webhook(hook.url))
    raise_alerts(desk.site, to, run.run_id, seen=late_outlook())
    hook.status = 500
    desk.end(run, RunState.PUBLISHED)
    raise_alerts(desk.site, to, run.run_id)
    hook.status = 200
    desk.turn(BACKOFF_MOST)
    new = desk.run(interval_key="2026-11-22T080000Z", due_at=DUE + 120 * MINUTE)
    raise_alerts(desk.site, to, new.run_id)
    assert hook.kinds() == [("opened", "at_risk"), ("resolved", "at_risk")]


def test_a_mail_shows_foreign_text_as_text_and_no_key(desk: Desk, smtp: Smtp) -> None:
    desk.env = {"AIRFLOW_CONN_MAILS": smtp.connection(), "OFFPEAK_BASE_URL": "https://airflow.example/"}
    to = watch(mail("mails", to=["one@example.com", "two@example.com"]))
    run = desk.run()
    desk.end(run, RunState.REFUSED, error=f"The verdict is no.\n - {BAD}")
    raise_alerts(desk.site, to, run.run_id)
    (sent,) = smtp.mails
    assert smtp.recipients == [["one@example.com", "two@example.com"]]
    assert sent["From"] == "offpeak@example.com"
    assert sent["Message-ID"] == "<offpeak-1-1@offpeak.invalid>"
    markup = sent.get_body(("html",))
    plain = sent.get_body(("plain",))
    assert markup is not None
    assert plain is not None
    page, text = markup.get_content(), plain.get_content()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7 * 7 }}" in page
    assert "sk-abcdefgh" not in page + text
    assert 'href="https://airflow.example/dags/ticket_triage/runs/scheduled__1"' in page


def test_a_mail_server_that_refuses_is_tried_again(desk: Desk, smtp: Smtp) -> None:
    desk.env = {"AIRFLOW_CONN_MAILS": smtp.connection()}
    run, to = desk.run(), watch(mail("mails", to="a@b.example"))
    desk.end(run, RunState.FAILED, error="gone")
    smtp.refuse = True
    assert "451 4.3.0 out of order" in raise_alerts(desk.site, to, run.run_id).untold[0]
    smtp.refuse = False
    desk.turn(BACKOFF)
    raise_alerts(desk.site, to, run.run_id)
    assert len(smtp.mails) == 1


def test_forty_shards_that_fail_alike_are_one_message(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(shards=40), watch(webhook(hook.url))
    for number, shard in enumerate(desk.ledger.shards(run.run_id)):
        claimed = desk.ledger.claim(shard.key, ANNA, SHARD_LEASE, now=desk.at)
        assert claimed is not None
        note = f"POST /v1/batches: the provider is overloaded (529, request req_{number}x)"
        desk.ledger.release(shard.key, ANNA, now=desk.at, not_before=desk.at + MINUTE, note=note)
        raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "outage"), ("updated", "outage")]
    assert "5 shards and 1 run of this account have the same trouble" in hook.taken[0]["text"]
    for shard in desk.ledger.shards(run.run_id):
        claimed = desk.ledger.claim(shard.key, ANNA, SHARD_LEASE, now=desk.at + MINUTE)
        assert claimed is not None
        assert claimed.state is ShardState.SUBMITTING
        desk.ledger.release(shard.key, ANNA, now=desk.at + MINUTE, not_before=None, note="")
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds()[2:] == [("resolved", "outage")]


def test_many_workloads_of_one_account_tell_one_channel_once(desk: Desk, hook: Hook) -> None:
    channel, runs = webhook(hook.url), []
    for number in range(6):
        name = f"w{number}"
        run = desk.run(workload=name)
        desk.end(
            run, RunState.FAILED, error=f"Run {run.run_id}: the account is suspended (403, req_{number})"
        )
        runs.append(run)
    for run in runs:
        to = dataclasses.replace(watch(channel), name=run.workload)
        raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "outage")]
    assert len(hook.taken[0]["facts"]["runs"]) == 6


def test_answers_that_drift_and_come_back_are_one_alert_and_its_end(desk: Desk, hook: Hook) -> None:
    to = watch(webhook(hook.url), due=None)

    def night(day: int, **mix: int) -> str:
        run = desk.run(interval_key=f"2026-11-{day:02d}", due_at=None, spec={"asks": "same"})
        desk.end(run, RunState.PUBLISHED, facts=judged(**mix))
        desk.turn(timedelta(days=1))
        raise_alerts(desk.site, to, run.run_id)
        return run.run_id

    for day in range(1, 5):
        night(day, refund=500, other=500)
    night(5, refund=900, other=100)
    night(6, refund=910, other=90)
    back = night(7, refund=510, other=490)
    assert hook.kinds() == [("opened", "drifted"), ("resolved", "drifted")]
    assert "'other' is 10 %, usually 50 %" in hook.taken[0]["text"]
    assert f"{back} are like those" in hook.taken[1]["text"]


def test_without_a_workload_the_ledger_is_kept_and_the_next_occasion_tells(desk: Desk, hook: Hook) -> None:
    run = desk.run()
    desk.end(run, RunState.FAILED, error="gone")
    assert len(raise_alerts(desk.site, None, run.run_id).open) == 1
    raise_alerts(desk.site, watch(webhook(hook.url)), run.run_id)
    assert hook.kinds() == [("opened", "failed")]


def test_an_alert_closed_by_hand_is_told_once_as_resolved(desk: Desk, hook: Hook) -> None:
    to = watch(webhook(hook.url))
    desk.turn(46 * MINUTE)
    raise_alerts(desk.site, to, None, seen=Seen(interval=INTERVAL))
    assert dismiss(desk.site, to, 1, "the hour was holiday")
    assert not dismiss(desk.site, to, 1, "again")
    assert "Closed by hand: the hour was holiday" in hook.taken[1]["text"]


def test_a_ledger_that_is_gone_fails_no_run(tmp_path: Path, hook: Hook) -> None:
    gone = Desk(ledger=Ledger("postgresql://nobody@127.0.0.1:1/none"), folder=tmp_path)
    raised = raise_alerts(gone.site, watch(webhook(hook.url)), "ticket_triage/x")
    assert "could not be used" in raised.problem


def test_a_call_about_nothing_is_a_mistake(desk: Desk) -> None:
    with pytest.raises(SpecError, match="needs a run id"):
        raise_alerts(desk.site, watch(), None)


def test_a_sender_that_died_is_followed_when_its_lease_has_ended(desk: Desk, hook: Hook) -> None:
    run, to = desk.run(), watch(webhook(hook.url))
    desk.end(run, RunState.FAILED, error="gone")
    (alert,) = raise_alerts(desk.site, None, run.run_id).open
    claimed = desk.ledger.alerts.claim(
        alert.sequence, webhook(hook.url).name, "elsewhere:1:dead", lease=LEASE, now=desk.at
    )
    assert claimed is not None
    raise_alerts(desk.site, to, run.run_id)
    assert hook.taken == []
    desk.turn(LEASE)
    raise_alerts(desk.site, to, run.run_id)
    assert hook.kinds() == [("opened", "failed")]


def test_a_ping_calls_its_address_and_a_failed_one_fails_nothing(desk: Desk, hook: Hook) -> None:
    desk.env = {"AIRFLOW_CONN_BEAT": hook.url}
    assert ping(workload(ping="beat"), desk.site)
    assert hook.paths == ["/hooks/T0P-S3CRET"]
    hook.status = 500
    assert not ping(workload(ping="beat"), desk.site)
    assert not ping(workload(ping="nowhere"), desk.site)
    assert not ping(workload(), desk.site)
