"""In time: what a batch would bring too late is answered in realtime, once, within the budget, or told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from offpeak import Workload
from offpeak.cancel import cancel
from offpeak.drive import drive
from offpeak.emulator import Phases
from offpeak.errors import BudgetError, ProviderRefused
from offpeak.ledger import Run
from offpeak.realtime import asking as asking_module
from offpeak.states import Route, RunState, ShardState
from offpeak.submit import NotYet, recover, submit
from offpeak.sweep import sweep
from tests.run.making import Place
from tests.run.virtual import STARTS, Evening, evening, published_at, stuck

DUE = timedelta(hours=3)
AT = STARTS + DUE
Making = Callable[..., Evening]
LATE = Phases(
    validating_seconds=0,
    waiting_seconds=12_000,
    running_seconds=10,
    finalizing_seconds=0,
    cancelling_seconds=1,
)
"""A batch that is only begun after the due time."""


@pytest.fixture(params=["openai", "anthropic"])
def night(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Making]:
    """Makes an evening, once for each provider."""
    with ExitStack() as stack:

        def make(batches: dict[int, Phases] | None = None) -> Evening:
            made: AbstractContextManager[Evening] = evening(tmp_path, request.param, batches)
            return stack.enter_context(made)

        yield make


def spent_requests(place: Evening, run: Run, route: Route) -> int:
    spends = place.site().ledger.spent(run_id=run.run_id)
    return sum(spend.requests for spend in spends if spend.route is route)


def _action(run: Run) -> str:
    return str(run.facts.get("outlook", {}).get("action", ""))


def test_a_batch_in_time_is_never_cancelled_and_nothing_is_asked_in_realtime(night: Making) -> None:
    place = night()
    place.rows(60)
    work = place.workload(route="auto", due=DUE, shard_requests=30)
    run = place.drive(work, place.begin(work, place.site()).run_id)
    assert published_at(run) < AT
    assert "escalated" not in run.facts
    assert (place.realtime_calls(), place.billed()) == (0, 60)


def test_a_stuck_batch_is_cancelled_and_only_its_rest_is_answered_in_realtime_before_due(
    night: Making,
) -> None:
    place = night({2: stuck(0.4, cancelling_seconds=600)})
    place.rows(100)
    work = place.workload(route="auto", due=DUE, shard_requests=50)
    site = place.site()
    run = place.drive(work, place.begin(work, site).run_id, site)
    assert AT - timedelta(minutes=25) < published_at(run) <= AT
    assert run.facts["outcomes"] == {"answered": 100}
    assert list(run.facts["escalated"]) == ["2"]
    why = run.facts["escalated"]["2"]
    assert "not sure to be in time" in why["why"]
    assert Decimal(why["usd"]) > 0
    assert place.billed() == 100, "what the cancelled batch had billed is kept, and paid once"
    assert place.realtime_calls() == 30
    assert spent_requests(place, run, Route.REALTIME) == 30
    assert [(s.key.round, s.route) for s in site.ledger.shards(run.run_id, number=2)] == [
        (1, Route.BATCH),
        (2, Route.REALTIME),
    ]
    assert datetime.fromisoformat(run.facts["outlook"]["p90"]) <= AT, "it is expected in time again"


def test_the_limit_of_rounds_does_not_stop_an_escalation(night: Making) -> None:
    place = night({1: stuck()})
    place.rows(20)
    work = place.workload(route="auto", due=DUE, rounds=1)
    run = place.drive(work, place.begin(work, place.site()).run_id)
    assert run.facts["outcomes"] == {"answered": 20}
    assert published_at(run) <= AT
    assert (place.creates(), place.billed()) == (1, 20)


def test_a_batch_that_completes_while_it_is_being_cancelled_is_kept_whole(night: Making) -> None:
    slow = Phases(
        validating_seconds=10,
        waiting_seconds=9_900,
        running_seconds=100,
        finalizing_seconds=30,
        cancelling_seconds=60,
    )
    place = night({1: slow})
    place.rows(40)
    work = place.workload(route="auto", due=DUE)

    def complete() -> None:
        place.before_cancel = lambda: None
        place.move(max(STARTS + timedelta(seconds=10_060) - place.now(), timedelta(0)))

    place.before_cancel = complete
    run = place.drive(work, place.begin(work, place.site()).run_id)
    assert "escalated" in run.facts
    assert run.facts["outcomes"] == {"answered": 40}
    assert (place.realtime_calls(), place.billed()) == (0, 40)


def test_realtime_that_declines_at_first_answers_each_row_once(night: Making) -> None:
    place = night({1: stuck()})
    place.rows(40)
    work = place.workload(route="auto", due=DUE)
    site = place.site()
    run = place.begin(work, site)
    place.until(work, site, run.run_id, lambda run: "escalated" in run.facts)
    path = {"openai": "/v1/responses", "anthropic": "/v1/messages"}[place.provider]
    place.emulator.control.add_fault(
        "rate_limited", method="POST", path=path, times=6, params={"retry_after": 0.2}
    )
    run = place.drive(work, run.run_id, site)
    assert run.facts["outcomes"] == {"answered": 40}
    assert published_at(run) <= AT
    assert (place.realtime_calls(), place.billed()) == (46, 40)


def test_a_budget_that_is_too_small_forbids_the_escalation_and_is_told(night: Making) -> None:
    place = night({1: LATE})
    place.rows(40)
    work = place.workload(route="auto", due=DUE, budget_usd=Decimal("0.0085"))
    site = place.site()
    begun = place.begin(work, site)
    estimate = begun.facts["estimate"]
    work = place.workload(route="auto", due=DUE, budget_usd=Decimal(estimate["batch_usd"]) * Decimal("1.2"))
    run = place.until(work, site, begun.run_id, lambda run: _action(run) not in ("", "wait"))
    told = run.facts["outlook"]
    assert (told["action"], told["affordable"]) == ("unaffordable", False)
    assert "above its budget of" in told["why"]
    assert Decimal(told["escalate_usd"]) > 0
    run = place.drive(work, run.run_id, site)
    assert "escalated" not in run.facts
    assert published_at(run) > AT
    assert (place.realtime_calls(), place.billed()) == (0, 40)


def test_on_the_batch_route_the_finish_is_foreseen_and_nothing_is_done(night: Making) -> None:
    place = night({1: LATE})
    place.rows(20)
    work = place.workload(due=DUE)
    site = place.site()
    run = place.drive(work, place.begin(work, site).run_id, site)
    assert published_at(run) > AT
    assert run.facts["outlook"]["basis"]
    assert run.facts["outlook"]["p90"] > run.facts["outlook"]["p50"]
    assert "route='batch' only waits" in run.facts["outlook"]["why"]
    assert place.realtime_calls() == 0


def test_a_handful_of_rows_that_no_batch_can_bring_in_time_goes_realtime_at_once(night: Making) -> None:
    place = night()
    place.rows(5)
    work = place.workload(route="auto", due=timedelta(minutes=6))
    site = place.site()
    run = place.begin(work, site)
    assert [shard.route for shard in site.ledger.shards(run.run_id)] == [Route.REALTIME]
    run = place.drive(work, run.run_id, site)
    assert published_at(run) == STARTS
    assert (place.creates(), place.realtime_calls(), place.billed()) == (0, 5, 5)


def test_a_shard_that_was_left_while_it_was_asked_in_realtime_is_never_sent_as_a_batch(night: Making) -> None:
    place = night()
    place.rows(10)
    work = place.workload()
    run, dead, heir = place.begin(work, place.site()), place.site(), place.site()
    (shard,) = heir.ledger.shards(run.run_id)
    assert dead.ledger.realtime.claim(shard.key, dead.worker, timedelta(0), now=dead.now()) is not None
    with place.client(work, heir) as client:
        assert isinstance(submit(work, heir, client, shard), NotYet)
        assert isinstance(recover(work, heir, client, shard), NotYet)
    run = place.drive(work, run.run_id, heir)
    assert (place.creates(), place.realtime_calls(), place.billed()) == (0, 10, 10)


def test_two_processes_that_drive_a_realtime_run_ask_each_request_once(openai_place: Place) -> None:
    openai_place.rows(120)
    work = openai_place.workload(route="realtime", shard_requests=20)
    run = openai_place.begin(work, openai_place.site())
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(drive, work, openai_place.site(), run.run_id) for _ in range(2)]
        ended = [one.result() for one in both]
    assert [one.state for one in ended] == [RunState.PUBLISHED] * 2
    assert ended[0].facts["outcomes"] == {"answered": 120}
    assert (openai_place.creates(), openai_place.billed()) == (0, 120)


def test_a_realtime_run_stops_asking_once_its_budget_is_spent(
    openai_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking_module, "BEAT_SECONDS", 0.05)
    openai_place.rows(300)
    params = {"pieces": 2, "pause_seconds": 0.05}
    openai_place.emulator.control.add_fault("slow_body", path="/v1/responses", times=-1, params=params)
    site, work = openai_place.site(), openai_place.workload(route="realtime")
    run = openai_place.begin(work, site)
    tight = openai_place.workload(route="realtime", budget_usd=Decimal("0.001"))
    with pytest.raises(BudgetError, match=r"more than budget_usd=0\.001.*No more is asked"):
        drive(tight, site, run.run_id)
    assert site.ledger.run(run.run_id).state is RunState.FAILED
    assert 0 < openai_place.billed() < 300
    openai_place.emulator.control.clear_faults()
    assert openai_place.run(work).facts["outcomes"] == {"answered": 300}
    assert openai_place.billed() == 300


def test_the_realtime_route_gives_the_same_table_without_a_batch(night: Making) -> None:
    place = night()
    place.rows(30)
    work = place.workload(route="realtime")
    run = place.drive(work, place.begin(work, place.site()).run_id)
    assert run.facts["outcomes"] == {"answered": 30}
    assert (place.creates(), place.billed()) == (0, 30)
    (spend,) = place.site().ledger.spent(run_id=run.run_id)
    assert (spend.route, spend.requests) == (Route.REALTIME, 30)
    assert spend.cost_usd == spend.realtime_usd
    assert [row["_outcome"] for row in place.table(run)] == ["answered"] * 30


def test_what_comes_back_invalid_in_realtime_is_asked_again_in_realtime(night: Making) -> None:
    place = night()
    place.rows(20)
    place.emulator.control.add_fault("line_schema_break", times=-1, once="custom_id", share=0.2)
    work = place.workload(route="realtime")
    site = place.site()
    run = place.drive(work, place.begin(work, site).run_id, site)
    assert run.facts["outcomes"] == {"answered": 20}
    assert {shard.route for shard in site.ledger.shards(run.run_id)} == {Route.REALTIME}
    assert max(shard.key.round for shard in site.ledger.shards(run.run_id)) == 2
    assert place.creates() == 0


def test_enough_rows_are_published_at_the_last_moment_and_the_next_run_asks_the_rest(night: Making) -> None:
    place = night({2: stuck(0.4)})
    place.rows(100)
    work = place.workload(due=DUE, publish_partial_at=0.5, shard_requests=50)
    site = place.site()
    run = place.drive(work, place.begin(work, site).run_id, site)
    assert AT - timedelta(minutes=25) < published_at(run) <= AT
    assert run.facts["outcomes"] == {"answered": 70, "cancelled": 30}
    assert "may be published" in run.facts["partial"]["why"]
    assert place.billed() == 70
    again = place.begin(work, site, hour=9)
    assert (again.facts["carried"], again.facts["requests"]) == (70, 30)


def half_asked(night: Making) -> tuple[Evening, Workload, Run, int]:
    """A run on the realtime route whose account ran out of money on the way, and how many requests were paid."""
    place = night()
    place.rows(60)
    work = place.workload(route="realtime")
    site = place.site()
    run = place.begin(work, site)
    path = {"openai": "/v1/responses", "anthropic": "/v1/messages"}[place.provider]
    params = {"pieces": 1, "pause_seconds": 0}
    place.emulator.control.add_fault("slow_body", path=path, times=20, params=params)
    place.emulator.control.add_fault("insufficient_quota", path=path, times=-1)
    with pytest.raises(ProviderRefused, match="recorded"), place.client(work, site) as client:
        place.look(work, site, client, run.run_id, [1])
    place.emulator.control.clear_faults()
    paid = place.billed()
    assert 0 < paid < 60
    return place, work, run, paid


def test_paid_answers_of_an_ended_run_are_carried_by_the_next(night: Making) -> None:
    place, work, run, paid = half_asked(night)
    site = place.site()
    site.ledger.move_run(run.run_id, RunState.CANCELLED, since=(RunState.RUNNING,), now=site.now())
    after = place.begin(work, site, hour=9)
    assert after.facts["earlier"] == {"harvested": 1}
    assert after.facts["carried"] == paid
    (left,) = site.ledger.shards(run.run_id)
    assert (left.state, left.outcomes["answered"]) == (ShardState.COLLECTED, paid)
    (spend,) = site.ledger.spent(run_id=run.run_id)
    assert (spend.requests, spend.route) == (paid, Route.REALTIME)
    assert place.drive(work, after.run_id, site).facts["outcomes"] == {"answered": 60}
    assert place.billed() == 60


@pytest.mark.parametrize("command", ["sweep", "cancel"])
def test_paid_answers_of_an_ended_run_are_counted_by_a_sweep_and_a_cancel(
    night: Making, command: str
) -> None:
    place, work, run, paid = half_asked(night)
    site = place.site()
    if command == "sweep":
        site.ledger.move_run(run.run_id, RunState.FAILED, since=(RunState.RUNNING,), now=site.now())
        assert sweep(site, lambda run: work).counts["harvested"] == 1
    else:
        assert cancel(work, site, run.run_id, patience=timedelta(0)).harvested == 1
    (spend,) = site.ledger.spent(run_id=run.run_id)
    assert (spend.requests, spend.route) == (paid, Route.REALTIME)
    assert not sweep(site, lambda run: work).lines, "once"
