"""What the ledger promises about shards and batches, on both databases."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger import Ledger
from offpeak.states import BatchStatus, RunState, ShardState
from tests.ledger.making import (
    ANNA,
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


def test_a_run_begins_with_all_its_shards_or_not_at_all(ledger: Ledger) -> None:
    run, _ = ledger.open_run(new_run(), now=NOW)
    shards = [new_shard(run.run_id, number) for number in (2, 1)]
    with pytest.raises(LedgerConflict, match="refused a change"):
        ledger.start_running(run.run_id, [*shards, shards[0]], {"requests": 20}, now=NOW)
    assert ledger.run(run.run_id) == run
    assert ledger.shards(run.run_id) == []
    moved = ledger.start_running(run.run_id, shards, {"requests": 20}, now=NOW)
    assert (moved.state, moved.facts) == (RunState.RUNNING, {"requests": 20})
    assert [shard.key.number for shard in ledger.shards(run.run_id)] == [1, 2]
    with pytest.raises(LedgerConflict, match="is running"):
        ledger.start_running(run.run_id, shards, {}, now=NOW)


def test_a_shard_is_read_as_it_was_written_down(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = ledger.shard(key)
    new = new_shard(key.run_id)
    assert {name: getattr(shard, name) for name in new.__dataclass_fields__} == dataclasses.asdict(new) | {
        "key": key
    }
    assert (shard.state, shard.attempt, shard.holder, shard.cost_usd) == (ShardState.WRITTEN, 0, "", None)


def test_a_shard_of_another_run_is_refused(ledger: Ledger) -> None:
    run, _ = ledger.open_run(new_run(), now=NOW)
    with pytest.raises(SpecError, match="shard 1 round 1 of run other cannot be written down"):
        ledger.start_running(run.run_id, [new_shard("other")], {}, now=NOW)
    assert ledger.run(run.run_id).state is RunState.PLANNING


def test_a_claim_records_the_intent(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = ledger.claim(key, ANNA, LEASE, now=NOW)
    assert shard == ledger.shard(key)
    assert shard is not None
    assert (shard.state, shard.attempt, shard.holder) == (ShardState.SUBMITTING, 1, ANNA)
    assert (shard.intent_at, shard.lease_until) == (NOW, NOW + LEASE)


def test_a_claimed_shard_is_not_given_to_another_before_the_lease_ends(ledger: Ledger) -> None:
    [key] = running(ledger)
    ledger.claim(key, ANNA, LEASE, now=NOW)
    assert ledger.claim(key, BERT, LEASE, now=NOW + LEASE - timedelta(microseconds=1)) is None
    assert ledger.shard(key).holder == ANNA
    taken = ledger.claim(key, BERT, LEASE, now=NOW + LEASE)
    assert taken is not None
    assert (taken.holder, taken.attempt, taken.intent_at) == (BERT, 1, NOW)
    assert taken.lease_until == NOW + 2 * LEASE
    assert ledger.events(key.run_id)[-1].detail == f"by {BERT} from {ANNA}"


def test_a_holder_claims_its_own_shard_again(ledger: Ledger) -> None:
    [key] = running(ledger)
    ledger.claim(key, ANNA, LEASE, now=NOW)
    again = ledger.claim(key, ANNA, LEASE, now=NOW + MINUTE)
    assert again is not None
    assert (again.attempt, again.intent_at, again.lease_until) == (1, NOW, NOW + MINUTE + LEASE)


def test_a_shard_past_submitting_is_not_claimed(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = flying(ledger, key)
    assert ledger.claim(key, ANNA, LEASE, now=NOW + 2 * LEASE) is None
    ledger.collect(results_of(shard), spend_of(shard), None, now=NOW)
    assert ledger.claim(key, ANNA, LEASE, now=NOW + 2 * LEASE) is None


def test_a_lease_is_renewed_by_its_holder_alone(ledger: Ledger) -> None:
    [key] = running(ledger)
    ledger.claim(key, ANNA, LEASE, now=NOW)
    ledger.renew(key, ANNA, LEASE, now=NOW + MINUTE)
    assert ledger.shard(key).lease_until == NOW + MINUTE + LEASE
    ledger.claim(key, BERT, LEASE, now=NOW + 2 * LEASE)
    with pytest.raises(LedgerConflict) as caught:
        ledger.renew(key, ANNA, LEASE, now=NOW + 2 * LEASE)
    message = str(caught.value)
    assert f"Shard 1 round 1 of run {key.run_id} is submitting, attempt 1, held by {BERT} until" in message
    assert (NOW + 3 * LEASE).isoformat() in message
    assert "may already have paid" in message


def test_an_upload_is_recorded_by_the_holder_and_kept_through_a_release(ledger: Ledger) -> None:
    [key] = running(ledger)
    ledger.claim(key, ANNA, LEASE, now=NOW)
    with pytest.raises(LedgerConflict, match=f"{BERT} does not hold it"):
        ledger.note_upload(key, BERT, "file_2", now=NOW)
    ledger.note_upload(key, ANNA, "file_1", now=NOW)
    ledger.release(key, ANNA, now=NOW, not_before=NOW + MINUTE, note="queue is full")
    shard = ledger.shard(key)
    assert (shard.state, shard.upload_id, shard.holder) == (ShardState.WRITTEN, "file_1", "")
    assert (shard.not_before, shard.note, shard.attempt) == (NOW + MINUTE, "queue is full", 1)


def test_a_released_shard_is_claimed_again_only_when_the_provider_wants_it(ledger: Ledger) -> None:
    [key] = running(ledger)
    ledger.claim(key, ANNA, LEASE, now=NOW)
    ledger.release(key, ANNA, now=NOW, not_before=NOW + MINUTE, note="")
    assert ledger.claim(key, BERT, LEASE, now=NOW + MINUTE - timedelta(seconds=1)) is None
    shard = ledger.claim(key, BERT, LEASE, now=NOW + MINUTE)
    assert shard is not None
    assert (shard.attempt, shard.intent_at) == (2, NOW + MINUTE)


def test_what_is_not_held_is_not_released(ledger: Ledger) -> None:
    [key] = running(ledger)
    with pytest.raises(LedgerConflict, match=r"is written, attempt 0: .* claim it to submit it"):
        ledger.release(key, ANNA, now=NOW, not_before=None, note="")
    flying(ledger, key)
    with pytest.raises(LedgerConflict, match="Batch batch_1 is at the provider and billed; poll it"):
        ledger.release(key, ANNA, now=NOW, not_before=None, note="")


def test_an_attached_batch_is_the_shards_own(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = flying(ledger, key)
    assert shard == ledger.shard(key)
    assert (shard.state, shard.batch_id, shard.holder) == (ShardState.IN_FLIGHT, "batch_1", "")
    assert (shard.lease_until, shard.intent_at) == (None, NOW)
    assert ledger.batches(key.run_id) == [batch_of(shard)]
    assert ledger.owned_batch_ids("openai_default") == {"batch_1"}
    assert ledger.owned_batch_ids("another") == frozenset()


def test_a_batch_is_attached_only_by_the_holder(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = ledger.claim(key, ANNA, LEASE, now=NOW)
    assert shard is not None
    ledger.claim(key, BERT, LEASE, now=NOW + LEASE)
    with pytest.raises(LedgerConflict, match=f"held by {BERT}.*{ANNA} does not hold it"):
        ledger.attach(key, ANNA, batch_of(shard), now=NOW + LEASE)
    assert ledger.batches(key.run_id) == []
    ledger.attach(key, BERT, batch_of(shard), now=NOW + LEASE)
    with pytest.raises(LedgerConflict, match="is in_flight"):
        ledger.attach(key, BERT, batch_of(shard, "batch_2"), now=NOW + LEASE)
    assert ledger.owned_batch_ids("openai_default") == {"batch_1"}


def test_a_batch_belongs_to_one_shard(ledger: Ledger) -> None:
    first, second = running(ledger, shards=2)
    flying(ledger, first)
    shard = ledger.claim(second, BERT, LEASE, now=NOW)
    assert shard is not None
    with pytest.raises(LedgerConflict, match="batch_1 at openai_default belongs to shard 1 round 1"):
        ledger.attach(second, BERT, batch_of(shard), now=NOW)
    assert ledger.shard(second) == shard


@pytest.mark.parametrize("change", [{"attempt": 2}, {"account": "another"}])
def test_a_record_of_another_submission_is_not_attached(ledger: Ledger, change: dict[str, Any]) -> None:
    [key] = running(ledger)
    shard = ledger.claim(key, ANNA, LEASE, now=NOW)
    assert shard is not None
    with pytest.raises(SpecError, match="The batch may run and be billed; the ledger was not changed"):
        ledger.attach(key, ANNA, batch_of(shard, **change), now=NOW)
    assert ledger.shard(key) == shard


def test_a_batch_is_seen_again_and_again(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = flying(ledger, key)
    later = batch_of(
        shard, status=BatchStatus.RUNNING, provider_status="in_progress", seen_at=NOW + MINUTE, completed=4
    )
    ledger.seen(later, now=NOW + MINUTE)
    assert ledger.batches(key.run_id) == [later]
    assert ledger.events(key.run_id)[-1].what == "shard 1 round 1: batch batch_1 validating → running"
    ledger.seen(dataclasses.replace(later, completed=2, seen_at=NOW + MINUTE / 2), now=NOW + MINUTE)
    assert ledger.batches(key.run_id) == [later]


def test_an_ended_batch_never_runs_again_however_late_it_was_looked_at(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = flying(ledger, key)
    ended = batch_of(
        shard, status=BatchStatus.COMPLETED, seen_at=NOW + MINUTE, ended_at=NOW + MINUTE, completed=10
    )
    ledger.seen(ended, now=NOW + MINUTE)
    late = batch_of(shard, status=BatchStatus.FINALIZING, seen_at=NOW + 2 * MINUTE, completed=9)
    ledger.seen(late, now=NOW + 2 * MINUTE)
    assert ledger.batches(key.run_id) == [ended]


def test_the_end_of_a_batch_counts_even_when_the_clock_that_saw_it_was_behind(ledger: Ledger) -> None:
    [key] = running(ledger)
    shard = flying(ledger, key)
    ledger.seen(batch_of(shard, status=BatchStatus.RUNNING, seen_at=NOW + 2 * MINUTE), now=NOW)
    ledger.seen(batch_of(shard, status=BatchStatus.EXPIRED, seen_at=NOW + MINUTE), now=NOW)
    assert [batch.status for batch in ledger.batches(key.run_id)] == [BatchStatus.EXPIRED]


def test_a_batch_of_no_shard_is_not_recorded_silently(ledger: Ledger) -> None:
    [key] = running(ledger)
    with pytest.raises(LedgerConflict, match=r"belongs to no shard in this ledger.*may run and be billed"):
        ledger.seen(batch_of(ledger.shard(key), "stray"), now=NOW)


def test_a_shard_whose_batch_failed_whole_goes_back_and_forgets_it(ledger: Ledger) -> None:
    [key] = running(ledger)
    ledger.claim(key, ANNA, LEASE, now=NOW)
    ledger.note_upload(key, ANNA, "file_1", now=NOW)
    shard = flying(ledger, key)
    with pytest.raises(LedgerConflict, match="in flight as batch batch_9"):
        ledger.resubmit(key, "batch_9", now=NOW, not_before=None, note="")
    ledger.resubmit(key, "batch_1", now=NOW, not_before=NOW + MINUTE, note="token limit")
    back = ledger.shard(key)
    assert (back.state, back.upload_id, back.batch_id) == (ShardState.WRITTEN, None, None)
    assert (back.not_before, back.note, back.attempt) == (NOW + MINUTE, "token limit", 1)
    assert ledger.batches(key.run_id) == [batch_of(shard)]
    assert ledger.owned_batch_ids("openai_default") == {"batch_1"}
