"""What the ledger promises about money, time and history, on both databases."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest

from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger import Ledger
from offpeak.states import BatchStatus, RunState, ShardState
from tests.ledger.making import (
    BERT,
    LEASE,
    NOW,
    batch_of,
    flying,
    new_run,
    new_shard,
    results_of,
    running,
    spend_of,
)

MINUTE = timedelta(minutes=1)
UNFINISHED = (RunState.PLANNING, RunState.RUNNING, RunState.CHECKING)


def test_a_shard_is_collected_and_paid_for_once(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = flying(ledger, key)
    assert ledger.collect(results_of(shard), spend_of(shard), None, now=NOW + MINUTE) is True
    assert ledger.collect(results_of(shard), spend_of(shard), None, now=NOW + 2 * MINUTE) is False
    assert ledger.spent(run_id=key.run_id) == [spend_of(shard)]
    collected = ledger.shard(key)
    assert collected == dataclasses.replace(
        results_of(shard), state=ShardState.COLLECTED, updated_at=NOW + MINUTE
    )
    assert ledger.events(key.run_id)[-1].detail == "9 answered, 1 refused"


def test_the_next_round_begins_with_the_collection_or_not_at_all(ledger: Ledger) -> None:
    first, second = running(ledger, shards=2)
    shard = flying(ledger, first)
    with pytest.raises(LedgerConflict, match="refused a change"):
        ledger.collect(results_of(shard), spend_of(shard), new_shard(first.run_id, 2), now=NOW)
    assert ledger.shard(first) == shard
    assert ledger.spent() == []
    assert ledger.collect(results_of(shard), spend_of(shard), new_shard(first.run_id, 1, in_round=2), now=NOW)
    rounds = [(found.key.round, found.key.number, found.state) for found in ledger.shards(first.run_id)]
    assert rounds == [
        (1, 1, ShardState.COLLECTED),
        (1, 2, ShardState.WRITTEN),
        (2, 1, ShardState.WRITTEN),
    ]
    assert [found.key.round for found in ledger.shards(first.run_id, number=1)] == [1, 2]
    assert ledger.shard(second).attempt == 0


def test_results_of_a_batch_that_is_not_in_flight_are_not_collected(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = flying(ledger, key)
    ledger.resubmit(key, "batch_1", now=NOW, not_before=None, note="")
    with pytest.raises(LedgerConflict, match="is written"):
        ledger.collect(results_of(shard), spend_of(shard), None, now=NOW)
    newer = flying(ledger, key, "batch_2")
    with pytest.raises(LedgerConflict, match="results of batch batch_1 cannot be collected"):
        ledger.collect(results_of(shard), spend_of(shard), None, now=NOW)
    assert ledger.spent() == []
    assert ledger.shard(key) == newer


def test_money_comes_back_to_the_digit(ledger: Ledger) -> None:
    [key] = running(ledger)
    for cost in ("0.10", "123456789012345678.123456789", "-0.00001", "0"):
        spend = spend_of(ledger.shard(key), cost_usd=Decimal(cost), realtime_usd=None)
        ledger.spend(spend)
        assert ledger.spent()[-1] == spend
        assert str(ledger.spent()[-1].cost_usd) == cost
    for wrong in (0.1, Decimal("NaN")):
        with pytest.raises(SpecError, match="finite Decimal"):
            ledger.spend(spend_of(ledger.shard(key), cost_usd=wrong))
    assert len(ledger.spent()) == 4


def test_spend_is_found_by_run_workload_and_time(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = ledger.shard(key)
    ledger.spend(spend_of(shard, at=NOW + MINUTE))
    ledger.spend(spend_of(shard, at=NOW, run_id="", workload="preview"))
    assert [spend.run_id for spend in ledger.spent()] == ["", key.run_id]
    assert [spend.at for spend in ledger.spent(run_id=key.run_id)] == [NOW + MINUTE]
    assert [spend.run_id for spend in ledger.spent(workload="preview")] == [""]
    assert [spend.at for spend in ledger.spent(since=NOW + MINUTE)] == [NOW + MINUTE]


def test_tokens_per_request_is_the_mean_of_the_last_runs(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = ledger.shard(key)
    assert ledger.tokens_per_request("ticket_triage", "gpt-5-mini") is None
    old, one, two = (
        ledger.open_run(new_run(interval_key=name), now=NOW)[0].run_id for name in ("1", "2", "3")
    )
    tokens = [(old, 1, 900), (one, 10, 100), (two, 30, 700), ("", 5, 99_999), (two, 50, 0)]
    for run_id, requests, read in tokens:
        usage = {"input_tokens": read, "output_tokens": read // 10}
        ledger.spend(spend_of(shard, run_id=run_id, requests=requests, usage=usage, model="a snapshot"))
    assert ledger.tokens_per_request("ticket_triage", "gpt-5-mini", runs=2) == (20.0, 2.0)
    assert ledger.tokens_per_request("ticket_triage", "another") is None


def test_a_stage_is_summed_over_tries_also_when_it_raises(ledger_url: str) -> None:
    clock = iter([NOW, NOW + MINUTE, NOW + 5 * MINUTE, NOW + 7 * MINUTE])
    ledger = Ledger(ledger_url, clock=lambda: next(clock))
    [key] = running(ledger)
    with pytest.raises(LedgerConflict), ledger.stage(key.run_id, "plan"):
        ledger.start_running(key.run_id, [], {}, now=NOW)
    with ledger.stage(key.run_id, "plan"):
        [open_stage] = ledger.stages(key.run_id)
        assert (open_stage.started_at, open_stage.ended_at, open_stage.seconds) == (NOW, None, 60.0)
    [stage] = ledger.stages(key.run_id)
    assert (stage.name, stage.seconds) == ("plan", 180.0)
    assert (stage.started_at, stage.ended_at) == (NOW, NOW + 7 * MINUTE)
    ledger.close()


def test_a_stage_of_no_run_is_refused_before_the_work(ledger: Ledger) -> None:
    with pytest.raises(SpecError, match="There is no run 'nope'"), ledger.stage("nope", "plan"):
        raise AssertionError("the block must not run")


def test_every_change_of_state_is_in_the_history(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = flying(ledger, key)
    ledger.resubmit(key, "batch_1", now=NOW, not_before=None, note="limit")
    ledger.claim(key, BERT, LEASE, now=NOW)
    ledger.release(key, BERT, now=NOW, not_before=None, note="busy\x00")
    again = flying(ledger, key, "batch_2")
    ledger.seen(batch_of(again, "batch_2", status=BatchStatus.COMPLETED), now=NOW)
    ledger.collect(results_of(again), spend_of(shard), None, now=NOW)
    ledger.move_run(key.run_id, RunState.CHECKING, since=[RunState.RUNNING], now=NOW)
    history = ledger.events(key.run_id)
    assert [event.what for event in history] == [
        "run planning",
        "run planning → running",
        "shards written: 1",
        "shard 1 round 1: submitting",
        "shard 1 round 1: in_flight",
        "shard 1 round 1: in_flight → written",
        "shard 1 round 1: submitting",
        "shard 1 round 1: submitting → written",
        "shard 1 round 1: submitting",
        "shard 1 round 1: in_flight",
        "shard 1 round 1: batch batch_2 validating → completed",
        "shard 1 round 1: collected",
        "run running → checking",
    ]
    assert history[7].detail == "busy\\x00"
    assert ledger.events(key.run_id, limit=2) == history[-2:]


def test_a_closed_ledger_opens_again_with_the_next_verb(ledger: Ledger) -> None:
    run, _ = ledger.open_run(new_run(), now=NOW)
    ledger.close()
    assert ledger.run(run.run_id) == run
