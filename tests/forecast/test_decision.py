"""What is done about the due time, and when."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from offpeak.decision import Action, decide, first_routes, realtime_takes, usual_margin
from offpeak.quota import RealtimeLimits
from offpeak.states import Route, ShardState
from tests.forecast.making import HOUR, MINUTE, NOW, facts, finish, shard

LAST_MOMENT = 25 * MINUTE  # before due, and four seconds: 10 of realtime, 8 drain, 2 publish, 5 margin


def test_without_a_due_time_nothing_is_ever_escalated() -> None:
    found = decide(facts(due_in=None))
    assert (found.action, found.wake_at, found.why) == (Action.WAIT, None, "there is no due time")


def test_before_the_last_safe_moment_it_waits_until_then() -> None:
    found = decide(facts())
    assert found.action is Action.WAIT
    assert found.wake_at is not None
    assert NOW + 8 * HOUR - found.wake_at - LAST_MOMENT == pytest.approx(4 * MINUTE / 60, abs=MINUTE / 60)
    assert "the last safe moment is 2026-11-23 05:34 UTC" in found.why


def test_at_the_last_safe_moment_what_is_left_goes_realtime() -> None:
    found = decide(facts(shard(done=400), due_in=20 * MINUTE))
    assert (found.action, found.shards, found.cost_usd) == (Action.ESCALATE, (1,), Decimal("12.00"))
    assert "600 requests are left" in found.why
    assert "realtime needs 6 min" in found.why


def test_the_slowest_goes_first_and_the_others_keep_their_batches_meanwhile() -> None:
    slow, quick = shard(1, finish=finish(900, 1_000)), shard(2, finish=finish(60, 90))
    found = decide(facts(quick, slow, due_in=LAST_MOMENT + 9 * MINUTE))
    assert (found.action, found.shards) == (Action.ESCALATE, (1,))
    assert found.wake_at is not None
    assert found.wake_at <= NOW + 9 * MINUTE
    later = decide(facts(quick, dataclasses.replace(slow, route=Route.REALTIME), due_in=LAST_MOMENT))
    assert (later.action, later.shards) == (Action.ESCALATE, (2,))


def test_a_batch_that_is_sure_to_be_in_time_is_left_alone_and_watched_closely() -> None:
    sure = shard(done=950, finish=finish(1, 2, 5))
    found = decide(facts(sure, due_in=15 * MINUTE))
    assert found.action is Action.WAIT
    assert found.wake_at == NOW + 75 * MINUTE / 60
    assert "sure to be in time" in found.why
    assert (
        decide(facts(shard(done=950, finish=finish(1, 2, 9)), due_in=15 * MINUTE)).action is Action.ESCALATE
    )


def test_a_batch_that_has_done_all_but_hangs_is_ended_for_nothing() -> None:
    found = decide(facts(shard(done=1_000, finish=finish(1, 2)), due_in=15 * MINUTE))
    assert (found.action, found.shards, found.cost_usd) == (Action.ESCALATE, (1,), Decimal(0))


def test_collected_shards_ask_for_nothing() -> None:
    found = decide(facts(shard(state=ShardState.COLLECTED), due_in=MINUTE))
    assert (found.action, found.why) == (Action.WAIT, "every shard is collected")


def test_above_the_budget_it_says_what_realtime_would_cost() -> None:
    tight = facts(
        shard(),
        due_in=22 * MINUTE,
        budget_usd=Decimal(15),
        committed_usd=Decimal(10),
        spent_usd=Decimal(1),
    )
    found = decide(tight)
    assert (found.action, found.shards, found.cost_usd) == (Action.UNAFFORDABLE, (1,), Decimal("20.00"))
    assert "costs 20.00 USD and would bring the run to 21.00 USD, above its budget of 15.00 USD" in found.why
    assert decide(dataclasses.replace(tight, budget_usd=Decimal(21))).action is Action.ESCALATE
    unknown = decide(dataclasses.replace(tight, usd_realtime_each=None))
    assert unknown.action is Action.UNAFFORDABLE
    assert "no known price" in unknown.why


def test_the_budget_must_last_for_all_that_will_be_needed_before_the_first_goes() -> None:
    both = facts(shard(1), shard(2), due_in=LAST_MOMENT + 9 * MINUTE, budget_usd=Decimal(30))
    found = decide(both)
    assert (found.action, found.shards, found.cost_usd) == (Action.UNAFFORDABLE, (2, 1), Decimal("40.00"))


def test_when_realtime_is_too_late_as_well_it_says_so_and_still_saves_what_it_can() -> None:
    found = decide(facts(shard(1), shard(2, finish=finish(3, 30)), due_in=8 * MINUTE))
    assert (found.action, found.shards) == (Action.TOO_LATE, (1,))
    assert "would be ready 22 min after" in found.why


def test_late_for_as_long_as_realtime_takes_no_forecast_is_believed_any_more() -> None:
    promising = shard(done=990, finish=finish(1, 2))
    assert decide(facts(promising, due_in=-5 * MINUTE)).shards == ()
    assert decide(facts(promising, due_in=-11 * MINUTE)).shards == (1,)


def test_a_partial_publish_waits_for_the_last_moment_and_for_its_share() -> None:
    shards = (shard(1, state=ShardState.COLLECTED, done=1_000), shard(2, route=Route.REALTIME, done=950))
    known = facts(*shards, partial_at=0.97, answered=1_950, due_in=4 * MINUTE)
    found = decide(known)
    assert (found.action, found.shards) == (Action.PUBLISH_PARTIAL, ())
    assert "1,950 of 2,000 requests are answered" in found.why
    assert decide(dataclasses.replace(known, partial_at=0.98)).action is not Action.PUBLISH_PARTIAL
    early = dataclasses.replace(known, due_at=NOW + 30 * MINUTE)
    assert decide(early).action is Action.WAIT


def test_a_partial_publish_counts_what_a_cancel_would_give_free() -> None:
    shards = (shard(1, state=ShardState.COLLECTED, done=1_000), shard(2, done=980))
    known = facts(*shards, partial_at=0.98, answered=1_000, due_in=12 * MINUTE, budget_usd=Decimal(0))
    found = decide(known)
    assert (found.action, found.shards) == (Action.PUBLISH_PARTIAL, (2,))


def test_the_lowest_of_the_accounts_limits_sets_the_pace() -> None:
    def takes(limits: RealtimeLimits) -> float:
        return realtime_takes(facts(realtime=limits), 1_000).total_seconds()

    assert takes(RealtimeLimits(requests_per_minute=125, concurrency=100)) == pytest.approx(604)
    assert takes(RealtimeLimits(tokens_per_minute=12_500, concurrency=100)) == pytest.approx(604)
    assert takes(RealtimeLimits(concurrency=10)) == pytest.approx(504)
    assert realtime_takes(facts(), 0).total_seconds() == 0


def test_a_batch_is_tried_first_where_even_a_lucky_one_can_meet_the_time() -> None:
    new = shard(state=ShardState.WRITTEN, batch_age=None, finish=finish(60, 24 * 60))
    assert first_routes(facts(new, due_in=8 * HOUR)) == {1: Route.BATCH}
    assert first_routes(facts(new, due_in=24 * MINUTE)) == {1: Route.REALTIME}
    assert first_routes(facts(new, due_in=None)) == {1: Route.BATCH}


def test_a_handful_of_rows_never_waits_for_a_batch_that_cannot_meet_the_time() -> None:
    few = shard(requests=5, state=ShardState.WRITTEN, batch_age=None, finish=finish(30, 60))
    assert first_routes(facts(few, due_in=20 * MINUTE)) == {1: Route.REALTIME}
    assert first_routes(facts(few, due_in=2 * HOUR)) == {1: Route.BATCH}
    sure = dataclasses.replace(few, finish=finish(3, 5, 8))
    assert first_routes(facts(sure, due_in=15 * MINUTE)) == {1: Route.BATCH}


def test_a_first_route_above_the_budget_is_a_batch() -> None:
    few = shard(state=ShardState.WRITTEN, batch_age=None, finish=finish(600, 900))
    tight = facts(few, due_in=HOUR, budget_usd=Decimal(15), committed_usd=Decimal(10))
    assert first_routes(tight) == {1: Route.BATCH}
    assert first_routes(dataclasses.replace(tight, budget_usd=Decimal(20))) == {1: Route.REALTIME}


def test_the_usual_margin_is_realtime_again_as_far_as_batches_leave_room() -> None:
    many = [shard(number, finish=finish(20, 60)) for number in range(10)]
    assert round(usual_margin(facts(*many)) / MINUTE) == 100
    assert round(usual_margin(facts(*many, due_in=200 * MINUTE)) / MINUTE) == 30
    assert usual_margin(facts(*many, due_in=HOUR)) == 2 * MINUTE
    assert usual_margin(facts(due_in=24 * HOUR)) == 15 * MINUTE
