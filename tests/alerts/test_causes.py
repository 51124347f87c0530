"""What a look is told about, and what it is not."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from offpeak.alerts.causes import STALE, causes, unknown
from offpeak.alerts.look import Outlook
from offpeak.alerts.signature import Alike, Said, alike, signature
from offpeak.ledger import NewAlert
from offpeak.states import AlertCause, RunState
from tests.alerts.making import DUE, MINUTE, NOW, judged, look, run_record

OVERLOADED = "The provider is overloaded (529, request req_8f1). It is tried again in 30 s."


def one(found: list[NewAlert]) -> NewAlert:
    (alert,) = found
    return alert


def test_a_run_whose_forecast_passes_due_is_at_risk() -> None:
    outlook = Outlook(p50=DUE - MINUTE, p90=DUE + 20 * MINUTE, escalate_usd=Decimal("1.5"))
    alert = one(causes(look(run_record(), outlook=outlook)))
    assert (alert.cause, alert.key) == (AlertCause.AT_RISK, "at_risk:ticket_triage/2026-11-22T070000Z")
    assert alert.facts["left"] == 60
    assert alert.facts["escalate_usd"] == "1.5"


def test_a_run_that_is_expected_in_time_is_told_to_nobody_though_it_was_warned_about() -> None:
    outlook = Outlook(p50=NOW, p90=DUE)
    assert causes(look(run_record(), outlook=outlook, warned=True)) == []


def test_without_a_forecast_a_run_is_at_risk_once_the_warning_has_come_and_unknown_before() -> None:
    assert causes(look(run_record())) == []
    assert unknown(look(run_record()), AlertCause.AT_RISK)
    assert one(causes(look(run_record(), warned=True))).essence == "no forecast"
    assert one(causes(look(None, warned=True))).essence == "not started"


def test_a_forecast_that_gets_worse_or_unaffordable_is_news_and_one_that_gets_better_is_not() -> None:
    def seen(late: timedelta, *, affordable: bool = True) -> tuple[str, int]:
        outlook = Outlook(p90=DUE + late, affordable=affordable)
        alert = one(causes(look(run_record(), outlook=outlook)))
        return alert.essence, alert.grade

    assert seen(5 * MINUTE) == ("forecast", 0)
    assert seen(20 * MINUTE) == ("forecast", 1)
    assert seen(70 * MINUTE) == ("forecast", 2)
    assert "budget forbids" in seen(70 * MINUTE, affordable=False)[0]


def test_a_run_past_due_is_late_whether_it_started_or_not() -> None:
    passed = DUE + MINUTE
    assert one(causes(look(run_record(), now=passed))).essence == "going"
    assert one(causes(look(None, now=passed, account=""))).essence == "not started"
    assert one(causes(look(run_record(), now=DUE + 5 * 60 * MINUTE))).grade == 2


@pytest.mark.parametrize("state", [RunState.PUBLISHED, RunState.CANCELLED])
def test_a_run_that_is_published_or_was_cancelled_by_a_person_has_no_cause(state: RunState) -> None:
    assert causes(look(run_record(state), now=DUE + MINUTE)) == []


def test_a_failed_run_past_due_is_told_as_failed_only() -> None:
    failed = run_record(RunState.FAILED, error="Shard 3 of run x, round 1: the key was refused (401).")
    early, overdue = (one(causes(look(failed, now=at))) for at in (NOW, DUE + MINUTE))
    assert early.cause is overdue.cause is AlertCause.FAILED
    assert (early.grade, overdue.grade) == (0, 1)
    assert overdue.facts["overdue"] is True


def test_a_refused_run_is_told_with_its_reason() -> None:
    refused = run_record(RunState.REFUSED, error="The verdict is no.\n  - 12 % of intent are 'other'")
    alert = one(causes(look(refused)))
    assert alert.cause is AlertCause.REFUSED
    assert "12 % of intent" in alert.facts["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"replay": "ticket_triage/x"}},
        {"started_by": "backfill__2026-01-01"},
        {"created_at": DUE + STALE + MINUTE},
    ],
)
def test_a_replay_and_a_backfill_are_never_late(changes: dict[str, Any]) -> None:
    assert causes(look(run_record(**changes), now=DUE + STALE + 2 * MINUTE)) == []


def test_asking_an_interval_again_that_is_published_already_is_not_late() -> None:
    assert causes(look(run_record(edition=2), now=DUE + MINUTE, published=True)) == []


def test_the_spend_is_told_at_a_share_of_the_budget_and_again_at_all_of_it() -> None:
    def seen(spent: str) -> list[tuple[AlertCause, int]]:
        found = causes(look(run_record(), spent_usd=Decimal(spent), budget_usd=Decimal(5)))
        return [(alert.cause, alert.grade) for alert in found]

    assert seen("3.99") == []
    assert seen("4.00") == [(AlertCause.BUDGET, 0)]
    assert seen("5.01") == [(AlertCause.BUDGET, 1)]


def test_a_spent_budget_without_open_rows_is_told_to_nobody() -> None:
    assert causes(look(run_record(), answered=100, spent_usd=Decimal(5), budget_usd=Decimal(5))) == []


def test_a_run_that_its_estimate_stopped_is_told_as_the_budgets_and_not_as_failed() -> None:
    error = "Workload x: 9 requests are estimated at $7.00, above its budget_usd=5. Nothing was sent."
    alert = one(causes(look(run_record(RunState.FAILED, error=error))))
    assert (alert.cause, alert.facts["kind"]) == (AlertCause.BUDGET, "estimate")


def test_answers_that_changed_are_one_alert_of_the_workload() -> None:
    usual = tuple(run_record(RunState.PUBLISHED, facts=judged()) for _ in range(3))
    odd = run_record(RunState.PUBLISHED, facts=judged(invalid=90, refund=900, other=100))
    alert = one(causes(look(odd, earlier=usual)))
    assert (alert.key, alert.essence) == ("drifted:ticket_triage", "invalid, intent")
    assert causes(look(dataclasses.replace(odd, spec={"limit": 10}), earlier=usual)) == []


def troubles(count: int, *, runs: int = 1, kind: str = "shard", said: str = OVERLOADED) -> tuple[Alike, ...]:
    names = [f"w{n % runs}" for n in range(count)]
    return tuple(alike(Said(kind, name, f"{name}/i", n, said) for n, name in enumerate(names, 1)))


def test_forty_shards_with_one_trouble_are_one_alert() -> None:
    alert = one(causes(look(run_record(), alike=troubles(40, runs=4))))
    assert (alert.key, alert.grade) == ("outage:openai_default", 1)
    assert (alert.facts["shards"], len(alert.facts["runs"])) == (40, 4)


def test_four_shards_or_the_runs_of_one_workload_or_a_full_queue_are_no_outage() -> None:
    assert causes(look(run_record(), alike=troubles(4))) == []
    assert causes(look(run_record(), alike=troubles(9, kind="batch"))) == []
    assert causes(look(run_record(), alike=troubles(9, said="waits for room: the limit is reached"))) == []


def test_a_run_that_failed_in_an_outage_is_told_by_the_outage() -> None:
    failed = run_record(RunState.FAILED, error=OVERLOADED)
    group = alike(Said("run", f"w{n}", f"w{n}/i", 0, OVERLOADED) for n in range(3))[0]
    mine = group._replace(runs=(*group.runs, failed.run_id))
    assert [alert.cause for alert in causes(look(failed, alike=(mine,)))] == [AlertCause.OUTAGE]
    assert causes(look(failed, absorbed=frozenset({failed.run_id}))) == []
    assert one(causes(look(failed))).cause is AlertCause.FAILED


def test_sentences_are_alike_whatever_ids_and_runs_they_name() -> None:
    first = "Shard 3 of run a/2026-11-22, round 1: batch batch_1 failed as a whole: server_error: try later"
    second = "batch batch_97 failed as a whole: server_error: try later"
    assert signature(first, "a/2026-11-22", "a") == signature(second)
    assert signature(first) != signature("batch batch_97 failed as a whole: invalid_file: try later")


def test_what_broke_off_stays_open_until_the_interval_is_published() -> None:
    again, published = run_record(edition=2), run_record(RunState.PUBLISHED, edition=2)
    for cause in (AlertCause.FAILED, AlertCause.REFUSED):
        assert unknown(look(again), cause)
        assert not unknown(look(published), cause)
