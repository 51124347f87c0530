"""Money before it is spent: a run waits for a person's yes, and a month's budget is kept, against the emulator."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from offpeak import approval
from offpeak.alerts import raise_alerts, webhook
from offpeak.alerts.watch import Watch
from offpeak.drive import drive
from offpeak.emulator import Emulator
from offpeak.errors import BudgetError, RunEnded
from offpeak.ledger import Spend
from offpeak.monthly import left_this_month, month_of, spent_this_month
from offpeak.states import AlertCause, Route, RunState
from tests.alerts.servers import Hook
from tests.run.making import Place
from tests.run.test_cli import OFFPEAK, environment, offpeak, write_rows

ASKED = Decimal(0)
"""Every estimate is above it."""
DAG_FILE = """
from decimal import Decimal
from offpeak import Prompt, Workload, jsonl, parquet_table

work = Workload(
    name="kinds",
    rows=jsonl("{store}/in/*.jsonl", key="id"),
    prompt=Prompt(system="Marmalade skies.", user="{{ row.text }}"),
    answer=str,
    model="openai:gpt-5-mini",
    into=parquet_table("{store}/tables/kinds"),
    approve_above_usd=Decimal(0),
)
"""


@pytest.fixture
def shop(openai_place: Place) -> Place:
    openai_place.rows(20)
    (openai_place.folder / "kinds.py").write_text(DAG_FILE)
    write_rows(openai_place.folder / "rows.jsonl", 10)
    return openai_place


def spend(at: datetime, usd: str, **changes: Any) -> Spend:
    made: dict[str, Any] = {
        "workload": "sorting",
        "run_id": "",
        "at": at,
        "route": Route.BATCH,
        "provider": "openai",
        "account": "openai_default",
        "model": "gpt-5-mini",
        "requests": 1,
        "usage": {"input_tokens": 1},
        "cost_usd": Decimal(usd),
        "realtime_usd": None,
    }
    return Spend(**{**made, **changes})


def test_only_an_estimate_above_the_limit_waits_for_a_yes(shop: Place) -> None:
    site = shop.site()
    dear, cheap = (shop.workload(approve_above_usd=usd) for usd in (ASKED, Decimal(1)))
    run = shop.begin(dear, site)
    assert approval.is_needed(dear, run)
    assert not approval.is_needed(cheap, run)
    assert not approval.is_needed(shop.workload(), run)


def test_a_run_that_asks_nothing_waits_for_nobody(shop: Place) -> None:
    shop.run(shop.workload())
    dear = shop.workload(approve_above_usd=ASKED)
    assert not approval.is_needed(dear, shop.begin(dear, shop.site(), hour=9))


def test_the_question_has_the_money_and_no_prompt_and_no_row(shop: Place) -> None:
    site, workload = shop.site(), shop.workload(approve_above_usd=ASKED, monthly_budget_usd=Decimal(9))
    run = shop.begin(workload, site)
    estimate = {
        **run.facts["estimate"],
        "batch_usd": "12.5",
        "batch_p50_usd": "11",
        "batch_p90_usd": "14.25",
        "runs": 12,
    }
    site.ledger.note_run(run.run_id, {"estimate": estimate}, now=site.now())
    site.ledger.spend(spend(site.now(), "2.5"))
    asked = approval.question_of(workload, site, site.ledger.run(run.run_id), where="airflow")
    assert asked.title == f"Send 20 requests of {run.run_id} for about $12.50?"
    for said in (
        "the batch route: $12.50, above approve_above_usd=0",
        "the last 12 runs took per request: half of them at most $11.00 (p50), nine in ten at most $14.25 (p90)",
        "Spent in this calendar month (UTC) by sorting: $2.50 of $9.00.",
        "Nothing is sent or billed so far.",
    ):
        assert said in asked.text
    assert "Sort bank tickets" not in asked.text
    assert "number 3" not in asked.text


def test_a_yes_is_kept_and_not_asked_for_again(shop: Place) -> None:
    site, workload = shop.site(), shop.workload(approve_above_usd=ASKED)
    run = shop.begin(workload, site)
    approval.settle(workload, site, run, yes=False, ask=lambda question: question.title.startswith("Send 20"))
    kept = site.ledger.run(run.run_id)
    assert kept.facts["approval"]["answer"] == "yes"
    assert kept.facts["approval"]["by"] == "the person at the terminal"
    assert not approval.is_needed(workload, kept)
    assert approval.answer(site, run.run_id, yes=False, by="somebody later").state is RunState.RUNNING
    assert drive(workload, site, run.run_id).state is RunState.PUBLISHED


def test_a_no_ends_the_run_as_cancelled_and_says_who_said_it(shop: Place) -> None:
    site, workload = shop.site(), shop.workload(approve_above_usd=ASKED)
    run = shop.begin(workload, site)
    with pytest.raises(RunEnded, match=r"was cancelled\. Not approved: the person at the terminal said no"):
        approval.settle(workload, site, run, yes=False, ask=lambda question: False)
    ended = site.ledger.run(run.run_id)
    assert ended.state is RunState.CANCELLED
    assert "Nothing was sent or billed; readers keep the last good table." in ended.error
    assert shop.creates() == 0
    with pytest.raises(RunEnded, match="waits for no approval any more"):
        approval.answer(site, run.run_id, yes=True, by="somebody later")


def test_a_waiting_run_is_told_and_its_answer_closes_the_alert(shop: Place) -> None:
    with Hook() as hook:
        site = shop.site()
        workload = shop.workload(
            approve_above_usd=ASKED, alerts=[webhook(hook.url)], due=timedelta(hours=900)
        )
        run = shop.begin(workload, site)
        approval.question_of(workload, site, run, where="airflow")
        for _ in range(2):
            raise_alerts(site, workload, run.run_id)
        approval.answer(site, run.run_id, yes=True, by="Ada")
        raise_alerts(site, Watch.of(workload), run.run_id)
    assert hook.kinds() == [("opened", "budget"), ("resolved", "budget")]
    assert "waits for a person's yes" in hook.taken[0]["text"]
    assert hook.taken[0]["options"][0]["what"].startswith(
        "on the run's page in Airflow, under Required Actions; costs about $0.00"
    )
    assert f"{run.run_id} was approved by Ada and goes on." in hook.taken[1]["text"]
    assert site.ledger.alerts.latest(open_only=True) == []


@pytest.mark.slow
def test_without_a_terminal_the_run_waits_and_names_the_command_and_yes_goes_on(shop: Place) -> None:
    arguments = ("run", "kinds.py", "--rows", "rows.jsonl", "--store", "store")
    done = offpeak(shop, *arguments, "--json")
    assert done.returncode == 1
    assert "The same command with --yes sends it; `offpeak cancel kinds/" in done.stderr
    assert "Marmalade" not in done.stderr
    assert (json.loads(done.stdout.splitlines()[-1])["state"], shop.creates()) == ("running", 0)
    done = offpeak(shop, *arguments, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert "Taking up the unfinished run" in done.stderr
    assert (json.loads(done.stdout.splitlines()[-1])["state"], shop.creates()) == ("published", 1)


@pytest.mark.parametrize(("typed", "state", "code"), [(b"y\n", "published", 0), (b"n\n", "cancelled", 1)])
def test_on_a_terminal_the_person_is_asked(shop: Place, typed: bytes, state: str, code: int) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    done = subprocess.run(
        [OFFPEAK, "run", "kinds.py", "--rows", "rows.jsonl", "--store", "store", "--json"],
        cwd=shop.folder,
        env=environment(shop),
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["state"], done.returncode) == (state, code), done.stderr
    assert "Send 10 requests of kinds/" in done.stderr
    assert "Estimate on the batch route" in done.stderr
    assert shop.creates() == int(state == "published")
    if state == "cancelled":
        assert "said no to sending 10 requests" in Path(told["report"]).read_text()


def test_the_months_budget_counts_this_calendar_month_only_and_sends_nothing_above_it(shop: Place) -> None:
    site = shop.site()
    first = month_of(site.now())
    site.ledger.spend(spend(first - timedelta(seconds=1), "100"))
    site.ledger.spend(spend(first, "0.75"))
    site.ledger.spend(spend(site.now(), "50", workload="another"))
    workload = shop.workload(monthly_budget_usd=Decimal("0.75"))
    assert spent_this_month("sorting", site) == Decimal("0.75")
    assert left_this_month(workload, site) == 0
    assert left_this_month(shop.workload(), site) is None
    with pytest.raises(
        BudgetError, match=r"\$0.75 are spent in .* together above its monthly_budget_usd=0.75"
    ):
        shop.begin(workload, site)
    failed = site.ledger.runs("sorting")[0]
    assert (failed.state, shop.creates()) == (RunState.FAILED, 0)
    assert "Nothing was sent or billed." in failed.error
    raised = raise_alerts(site, Watch.of(workload), failed.run_id)
    assert [alert.cause for alert in raised.open] == [AlertCause.BUDGET]
    assert shop.begin(shop.workload(monthly_budget_usd=Decimal(1)), site, hour=9).state is RunState.RUNNING


def test_what_runs_under_way_are_expected_to_cost_is_spoken_for(shop: Place) -> None:
    site = shop.site()
    going = shop.begin(shop.workload(), site)
    expected = Decimal(going.facts["estimate"]["batch_usd"])
    workload = shop.workload(monthly_budget_usd=expected * Decimal("1.5"))
    with pytest.raises(BudgetError, match="are expected of its runs under way"):
        shop.begin(workload, site, hour=9)


def test_the_month_begins_at_midnight_utc() -> None:
    assert month_of(datetime(2026, 2, 28, 23, 59, tzinfo=UTC)) == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_run_that_asks_nothing_goes_on_when_the_month_is_spent(shop: Place, emulator: Emulator) -> None:
    shop.run(shop.workload())
    site = shop.site()
    site.ledger.spend(spend(site.now(), "9"))
    assert shop.begin(shop.workload(monthly_budget_usd=Decimal(1)), site, hour=9).state is RunState.RUNNING
