"""What holds of every decision, whatever the facts."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from offpeak.decision import Action, Facts, Finish, ShardFacts, decide, first_routes
from offpeak.decision.moments import moments, sure
from offpeak.states import Route, ShardState
from tests.forecast.making import NOW, facts, finish

RANK = {
    Action.WAIT: 0,
    Action.ESCALATE: 1,
    Action.UNAFFORDABLE: 1,
    Action.TOO_LATE: 2,
    Action.PUBLISH_PARTIAL: 3,
}
MONEY = st.none() | st.integers(0, 200).map(Decimal)


@st.composite
def finishes(draw: st.DrawFn) -> Finish | None:
    if draw(st.booleans()):
        return None
    p50 = draw(st.floats(1, 1_000))
    p90 = p50 + draw(st.floats(0, 1_000))
    return finish(p50, p90, draw(st.none() | st.floats(0, 1_000).map(lambda more: p90 + more)))


@st.composite
def shards(draw: st.DrawFn, number: int) -> ShardFacts:
    requests = draw(st.integers(1, 5_000))
    return ShardFacts(
        number=number,
        requests=requests,
        done=draw(st.integers(0, requests)),
        route=draw(st.sampled_from(Route)),
        state=draw(st.sampled_from(ShardState)),
        finish=draw(finishes()),
    )


@st.composite
def situations(draw: st.DrawFn) -> Facts:
    made = [draw(shards(number)) for number in range(1, 1 + draw(st.integers(1, 5)))]
    return facts(
        *made,
        due_in=timedelta(minutes=draw(st.floats(-30, 120))),
        budget_usd=draw(MONEY),
        spent_usd=draw(st.integers(0, 50).map(Decimal)),
        committed_usd=draw(st.integers(0, 50).map(Decimal)),
        partial_at=draw(st.none() | st.floats(0.5, 1)),
        answered=draw(st.integers(0, 5_000)),
    )


@given(situations())
def test_nothing_is_done_without_a_due_time(known: Facts) -> None:
    free = dataclasses.replace(known, due_at=None)
    assert decide(free).action is Action.WAIT
    assert set(first_routes(free).values()) <= {Route.BATCH}


@given(situations(), st.floats(0, 600))
def test_the_later_it_is_the_more_urgent(known: Facts, minutes: float) -> None:
    later = dataclasses.replace(known, now=NOW + timedelta(minutes=minutes))
    first, then = decide(known), decide(later)
    assert RANK[then.action] >= RANK[first.action]
    if (first.action, then.action) == (Action.ESCALATE, Action.ESCALATE):
        assert set(first.shards) <= set(then.shards)


@given(situations())
def test_only_open_batches_that_are_not_sure_and_whose_moment_has_come_are_cancelled(known: Facts) -> None:
    found = decide(known)
    if found.action not in (Action.ESCALATE, Action.TOO_LATE):
        return
    assert known.due_at is not None
    by_number = {one.number: one for one in known.shards}
    come = {one.shard.number for one in moments(known, known.due_at) if one.at <= known.now}
    assert set(found.shards) <= come
    assert [n for n in found.shards if not by_number[n].in_batch or sure(known, by_number[n])] == []


@given(situations())
def test_the_budget_is_kept_to(known: Facts) -> None:
    found = decide(known)
    if found.action not in (Action.ESCALATE, Action.TOO_LATE) or not found.shards or known.budget_usd is None:
        return
    gone = [one for one in known.shards if one.number in found.shards]
    assert known.usd_realtime_each is not None
    assert found.cost_usd == known.usd_realtime_each * sum(one.left for one in gone)
    assert known.spent_usd + (found.cost_usd or 0) <= known.budget_usd


@given(situations())
def test_no_shard_costs_more_than_realtime_alone(known: Facts) -> None:
    found = decide(known)
    each, batch = known.usd_realtime_each or Decimal(0), known.usd_batch_each or Decimal(0)
    gone = [one for one in known.shards if one.number in found.shards]
    paid = sum((batch * one.done + each * one.left for one in gone), Decimal(0))
    assert paid <= each * sum(one.requests for one in gone)


@given(situations())
def test_it_asks_to_be_woken_in_time_for_the_next_moment(known: Facts) -> None:
    found = decide(known)
    assert known.due_at is not None
    if found.wake_at is None:
        assert not any(one.open for one in known.shards)
        return
    assert found.wake_at > known.now
    coming = [one.at for one in moments(known, known.due_at) if one.at > known.now]
    if coming and found.action in (Action.WAIT, Action.ESCALATE):
        assert found.wake_at <= max(min(coming), known.now + timedelta(seconds=15))
