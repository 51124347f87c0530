"""Many workers in one ledger: exactly one gets what only one may have, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offpeak.ledger import Ledger, ShardKey
from offpeak.states import ShardState
from tests.ledger.making import (
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
from tests.ledger.workers import in_processes, in_threads

Crowd = Callable[[int, Callable[[int], Any]], list[Any]]
crowds = pytest.mark.parametrize("crowd", [in_processes, in_threads])


def test_ten_processes_start_at_once_on_an_empty_ledger(ledger_url: str) -> None:
    def start(number: int) -> str:
        ledger = Ledger(ledger_url)
        ledger.runs()
        return ledger.open_run(new_run(workload=f"w{number}"), now=NOW)[0].run_id

    found = in_processes(10, start)
    assert found == [f"w{number}/2026-11-22T070000Z" for number in range(10)]
    assert len(Ledger(ledger_url).runs()) == 10


@crowds
def test_many_workers_open_the_same_run_and_one_sees_it_new(crowd: Crowd, ledger_url: str) -> None:
    shared = Ledger(ledger_url)
    shared.runs()

    def open_run(_: int) -> tuple[str, bool]:
        run, is_new = shared.open_run(new_run(), now=NOW)
        return run.run_id, is_new

    found = crowd(8, open_run)
    assert Counter(found) == {
        ("ticket_triage/2026-11-22T070000Z", True): 1,
        ("ticket_triage/2026-11-22T070000Z", False): 7,
    }
    assert len(shared.runs()) == 1


@crowds
def test_of_many_workers_racing_for_a_shard_exactly_one_claims_it(crowd: Crowd, ledger_url: str) -> None:
    shared = Ledger(ledger_url)
    keys = running(shared, shards=5)

    def claim_all(number: int) -> list[int]:
        claimed = [shared.claim(key, f"elsewhere:{number}:x", LEASE, now=NOW) for key in keys]
        return [shard.key.number for shard in claimed if shard is not None]

    found = crowd(8, claim_all)
    assert sorted(number for numbers in found for number in numbers) == [1, 2, 3, 4, 5]
    assert {shard.attempt for shard in shared.shards(keys[0].run_id)} == {1}


@crowds
def test_of_many_workers_taking_over_an_ended_lease_exactly_one_gets_it(
    crowd: Crowd, ledger_url: str
) -> None:
    shared = Ledger(ledger_url)
    [key] = running(shared)
    shared.claim(key, "elsewhere:99:dead", LEASE, now=NOW)
    found = crowd(8, lambda n: shared.claim(key, f"elsewhere:{n}:x", LEASE, now=NOW + LEASE) is not None)
    assert Counter(found) == {True: 1, False: 7}
    assert shared.shard(key).attempt == 1


@crowds
def test_of_many_workers_collecting_a_shard_one_writes_the_spend(crowd: Crowd, ledger_url: str) -> None:
    shared = Ledger(ledger_url)
    [key] = running(shared)
    shard = flying(shared, key)
    next_round = new_shard(key.run_id, 1, in_round=2)
    found = crowd(8, lambda _: shared.collect(results_of(shard), spend_of(shard), next_round, now=NOW))
    assert Counter(found) == {True: 1, False: 7}
    assert shared.spent() == [spend_of(shard)]
    assert len(shared.shards(key.run_id)) == 2


@crowds
def test_one_batch_is_never_attached_to_two_shards(crowd: Crowd, ledger_url: str) -> None:
    shared = Ledger(ledger_url)
    keys = running(shared, shards=6)
    shards = [shared.claim(key, "elsewhere:1:x", LEASE, now=NOW) for key in keys]

    def attach(number: int) -> bool:
        shard = shards[number]
        assert shard is not None
        return shared.attach(shard.key, "elsewhere:1:x", batch_of(shard, "found"), now=NOW) is not None

    found = crowd(6, attach)
    assert found.count(True) == 1
    assert sum("LedgerConflict" in str(answer) for answer in found) == 5
    assert len(shared.batches(keys[0].run_id)) == 1


@crowds
def test_facts_noted_by_many_at_once_are_all_kept(crowd: Crowd, ledger_url: str) -> None:
    shared = Ledger(ledger_url)
    run, _ = shared.open_run(new_run(), now=NOW)

    def note(number: int) -> None:
        for step in range(5):
            shared.note_run(run.run_id, {f"fact_{number}_{step}": step}, now=NOW)

    assert crowd(8, note) == [None] * 8
    assert len(shared.run(run.run_id).facts) == 40


@crowds
def test_blocks_of_one_stage_that_overlap_all_count(crowd: Crowd, ledger_url: str) -> None:
    shared = Ledger(ledger_url)
    run, _ = shared.open_run(new_run(), now=NOW)

    def collect(_: int) -> None:
        with shared.stage(run.run_id, "collect"):
            pass

    assert crowd(6, collect) == [None] * 6
    [stage] = shared.stages(run.run_id)
    assert stage.ended_at is not None
    assert stage.seconds > 0


@crowds
def test_fifty_writers_on_one_sqlite_file_lose_nothing(crowd: Crowd, tmp_path: Path) -> None:
    shared = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    [*keys] = running(shared, shards=50)

    def carry(number: int) -> bool:
        key: ShardKey = keys[number]
        holder = f"elsewhere:{number}:x"
        shard = shared.claim(key, holder, LEASE, now=NOW)
        assert shard is not None
        shared.note_upload(key, holder, f"file_{number}", now=NOW)
        flown = shared.attach(key, holder, batch_of(shard, f"batch_{number}"), now=NOW)
        shared.note_run(key.run_id, {f"shard_{number}": number}, now=NOW)
        return shared.collect(results_of(flown), spend_of(flown), None, now=NOW)

    assert crowd(50, carry) == [True] * 50
    run_id = keys[0].run_id
    assert {shard.state for shard in shared.shards(run_id)} == {ShardState.COLLECTED}
    assert shared.owned_batch_ids("openai_default") == {f"batch_{number}" for number in range(50)}
    assert len(shared.spent(run_id=run_id)) == 50
    assert len(shared.run(run_id).facts) == 50
    assert len(shared.events(run_id, limit=1000)) == 3 + 3 * 50
