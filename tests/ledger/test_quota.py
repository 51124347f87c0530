"""Room at the provider: limits of an account that all runs share, kept by the claim and given back by state."""

from __future__ import annotations

import dataclasses
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from offpeak.ledger import Ledger, Shard, ShardKey
from offpeak.ledger.room import FORGOTTEN, PATIENCE
from offpeak.quota import Quota
from offpeak.states import BatchStatus, RunState, ShardState
from tests.ledger.making import (
    ANNA,
    BERT,
    LEASE,
    NOW,
    batch_of,
    new_run,
    new_shard,
    results_of,
    spend_of,
)
from tests.ledger.workers import in_processes, in_threads

MEMORY = Path("/dev/shm")
MINI = "gpt-5-mini"
HUNDRED = Quota(enqueued_tokens={MINI: 100})
HELD = (ShardState.SUBMITTING, ShardState.IN_FLIGHT)
Crowd = Callable[[int, Callable[[int], Any]], list[Any]]


def a_run(
    ledger: Ledger, name: str, tokens: list[int], *, due: int | None = 45, **shard: Any
) -> list[ShardKey]:
    """The shards of a running run: so many tokens each, due in so many minutes."""
    due_at = None if due is None else NOW + timedelta(minutes=due)
    run, _ = ledger.open_run(new_run(workload=name, due_at=due_at), now=NOW)
    new = [
        dataclasses.replace(new_shard(run.run_id, number), estimated_tokens=count, **shard)
        for number, count in enumerate(tokens, start=1)
    ]
    ledger.start_running(run.run_id, new, {}, now=NOW)
    return [one.key for one in new]


def ask(ledger: Ledger, key: ShardKey, quota: Quota | None = HUNDRED, *, minutes: float = 0) -> Shard | None:
    return ledger.claim(key, ANNA, LEASE, now=NOW + timedelta(minutes=minutes), quota=quota)


def fly(ledger: Ledger, key: ShardKey, quota: Quota | None = HUNDRED) -> Shard:
    shard = ask(ledger, key, quota)
    assert shard is not None
    return ledger.attach(key, ANNA, batch_of(shard, f"{key.run_id}-{key.number}-{shard.attempt}"), now=NOW)


@pytest.mark.parametrize("quota", [None, Quota(), Quota(enqueued_tokens={"gpt-5": 1})])
def test_without_a_known_limit_nothing_is_held_back(ledger: Ledger, quota: Quota | None) -> None:
    keys = a_run(ledger, "a", [3_000_000_000] * 4)
    assert all(ask(ledger, key, quota) is not None for key in keys)


def test_a_shard_without_room_stays_as_it_is_and_says_why(ledger: Ledger) -> None:
    first, second = a_run(ledger, "a", [60, 50])
    fly(ledger, first)
    assert ask(ledger, second) is None
    shard = ledger.shard(second)
    assert (shard.state, shard.attempt, shard.ahead, shard.not_before) == (ShardState.WRITTEN, 0, 0, None)
    assert shard.note == (
        "waits for room: account openai_default has 60 of its 100 enqueued tokens for gpt-5-mini in flight, "
        "and this shard needs 50"
    )
    assert ask(ledger, second) is None
    waits = [event for event in ledger.events(second.run_id) if event.what.endswith("waits for room")]
    assert len(waits) == 1  # said once, not at each asking


def test_a_shard_that_waited_and_got_room_no_longer_says_that_it_waits(ledger: Ledger) -> None:
    first, second = a_run(ledger, "a", [60, 50])
    flown = fly(ledger, first)
    assert ask(ledger, second) is None
    ledger.collect(results_of(flown), spend_of(flown), None, now=NOW)
    claimed = ask(ledger, second)
    assert claimed is not None
    assert (claimed.ahead, claimed.note) == (None, "")
    assert fly(ledger, second).note == ""


def test_two_workloads_of_one_account_share_its_limit_and_another_account_does_not(ledger: Ledger) -> None:
    [mine], [theirs] = a_run(ledger, "a", [60]), a_run(ledger, "b", [60])
    [elsewhere] = a_run(ledger, "c", [60], account="openai_other")
    fly(ledger, mine)
    assert ask(ledger, theirs) is None
    assert ask(ledger, elsewhere) is not None


def test_each_model_has_a_limit_of_its_own_and_the_star_stands_for_the_others(ledger: Ledger) -> None:
    quota = Quota(enqueued_tokens={MINI: 100, "*": 50})
    [mini], [more] = a_run(ledger, "a", [100]), a_run(ledger, "b", [1])
    large, larger = a_run(ledger, "c", [40, 40], model="gpt-5")
    fly(ledger, mini, quota)
    assert ask(ledger, more, quota) is None
    assert ask(ledger, large, quota) is not None
    assert ask(ledger, larger, quota) is None
    assert "40 of its 50 enqueued tokens for gpt-5 in flight" in ledger.shard(larger).note


@pytest.mark.parametrize(
    ("quota", "says"),
    [
        (Quota(batches=2), "has 2 of its 2 batches in flight, and this shard needs 1"),
        (Quota(requests=25), "has 20 of its 25 requests in the queue in flight, and this shard needs 10"),
    ],
)
def test_batches_and_requests_are_counted_over_all_models(ledger: Ledger, quota: Quota, says: str) -> None:
    [mini], [large] = a_run(ledger, "a", [1]), a_run(ledger, "b", [1], model="gpt-5")
    [third] = a_run(ledger, "c", [1], model="gpt-6")
    fly(ledger, mini, quota)
    fly(ledger, large, quota)
    assert ask(ledger, third, quota) is None
    assert says in ledger.shard(third).note


def collected(ledger: Ledger, shard: Shard) -> None:
    ledger.collect(results_of(shard), spend_of(shard), None, now=NOW)


def failed_as_a_whole(ledger: Ledger, shard: Shard) -> None:
    ledger.resubmit(shard.key, str(shard.batch_id), now=NOW, not_before=None, note="limit")


def seen_ended(ledger: Ledger, shard: Shard) -> None:
    ended = batch_of(shard, str(shard.batch_id), status=BatchStatus.EXPIRED, provider_status="expired")
    ledger.seen(ended, now=NOW)


@pytest.mark.parametrize("end", [collected, failed_as_a_whole, seen_ended])
def test_room_is_given_back_when_a_batch_is_over(
    ledger: Ledger, end: Callable[[Ledger, Shard], None]
) -> None:
    first, second = a_run(ledger, "a", [100, 100])
    flown = fly(ledger, first)
    assert ask(ledger, second) is None
    end(ledger, flown)
    assert ask(ledger, second) is not None


def test_room_is_given_back_when_the_provider_made_nothing(ledger: Ledger) -> None:
    first, second = a_run(ledger, "a", [100, 100])
    assert ask(ledger, first) is not None
    assert ask(ledger, second) is None
    ledger.release(first, ANNA, now=NOW, not_before=NOW + timedelta(hours=1), note="429")
    assert ask(ledger, second) is not None


def test_the_heir_of_a_dead_holder_needs_no_second_room_and_gives_it_back(ledger: Ledger) -> None:
    first, second = a_run(ledger, "a", [100, 100])
    assert ask(ledger, first) is not None  # and Anna dies
    after = NOW + LEASE
    assert ledger.claim(second, BERT, LEASE, now=after, quota=HUNDRED) is None  # she may have paid
    heir = ledger.claim(first, BERT, LEASE, now=after, quota=HUNDRED)
    assert heir is not None
    assert heir.attempt == 1
    ledger.release(first, BERT, now=after, not_before=None, note="nothing was there")
    assert ledger.claim(second, BERT, LEASE, now=after, quota=HUNDRED) is not None


def test_what_nobody_has_touched_for_longer_than_a_batch_lives_takes_no_room(ledger: Ledger) -> None:
    [lost], [other] = a_run(ledger, "a", [100]), a_run(ledger, "b", [100])
    fly(ledger, lost)
    hours = FORGOTTEN.total_seconds() / 60
    assert ask(ledger, other, minutes=hours - 1) is None
    assert ask(ledger, other, minutes=hours) is not None


ORDERS = [
    ("an earlier due time", {"due": 45}, {"due": 30}),
    ("a due time", {"due": None}, {"due": 600}),
    ("an earlier due time, whatever the size", {"due": 45, "tokens": [1]}, {"due": 30, "tokens": [100]}),
]


@pytest.mark.parametrize(("_why", "late", "early"), ORDERS, ids=[order[0] for order in ORDERS])
def test_of_two_that_wait_the_one_goes_first_that_has(
    ledger: Ledger, _why: str, late: dict[str, Any], early: dict[str, Any]
) -> None:
    [holder] = a_run(ledger, "holder", [100])
    [later] = a_run(ledger, "later", **{"tokens": [100], **late})
    [earlier] = a_run(ledger, "earlier", **{"tokens": [100], **early})
    flown = fly(ledger, holder)
    assert ask(ledger, later) is None
    assert ask(ledger, earlier) is None
    collected(ledger, flown)
    assert ask(ledger, later) is None
    assert (ledger.shard(later).ahead, ledger.shard(earlier).ahead) == (1, 0)
    assert ledger.shard(later).note.endswith("; 1 shard goes first (earliest due first)")
    assert ask(ledger, earlier) is not None


def test_at_equal_due_times_the_earlier_run_goes_first_then_the_lower_number(ledger: Ledger) -> None:
    [holder] = a_run(ledger, "holder", [100])
    first, second = a_run(ledger, "b", [100, 100])
    run, _ = ledger.open_run(new_run(workload="a"), now=NOW + timedelta(seconds=1))
    third = dataclasses.replace(new_shard(run.run_id), estimated_tokens=100)
    ledger.start_running(run.run_id, [third], {}, now=NOW)
    flown = fly(ledger, holder)
    line = [third.key, second, first]
    assert [ask(ledger, key) for key in line] == [None] * 3
    collected(ledger, flown)
    for key in (first, second, third.key):
        others = [one for one in line if one != key and ledger.shard(one).state is ShardState.WRITTEN]
        assert [ask(ledger, one) for one in others] == [None] * len(others)
        collected(ledger, fly(ledger, key))


def test_a_later_due_shard_that_fits_beside_all_before_it_does_not_wait(ledger: Ledger) -> None:
    holder, large = a_run(ledger, "early", [50, 70], due=30)
    [small], [tiny] = a_run(ledger, "late", [40], due=60), a_run(ledger, "later", [30], due=90)
    flown = fly(ledger, holder)
    assert ask(ledger, large) is None
    assert ask(ledger, small) is None  # it would fit now, and keep the larger one back
    collected(ledger, flown)
    assert ask(ledger, small) is None
    assert ask(ledger, large) is not None
    assert ask(ledger, tiny) is None  # the small one is still before it
    assert ask(ledger, small, Quota(enqueued_tokens={MINI: 110})) is not None


def test_a_waiting_model_does_not_keep_back_another_with_its_own_limit(ledger: Ledger) -> None:
    quota = Quota(enqueued_tokens={"*": 100}, batches=10)
    first, second = a_run(ledger, "a", [100, 100], due=10)
    [other] = a_run(ledger, "b", [100], due=60, model="gpt-5")
    fly(ledger, first, quota)
    assert ask(ledger, second, quota) is None
    assert ask(ledger, other, quota) is not None


def test_a_shard_larger_than_the_whole_limit_goes_alone_and_says_so(ledger: Ledger) -> None:
    [small], [huge] = a_run(ledger, "a", [10], due=30), a_run(ledger, "b", [250], due=45)
    [next_one] = a_run(ledger, "c", [10], due=60)
    flown = fly(ledger, small)
    assert ask(ledger, huge) is None
    assert ask(ledger, next_one) is None  # or the huge one would never be alone
    collected(ledger, flown)
    assert "larger than the whole limit of account openai_default: 250 of 100" in fly(ledger, huge).note
    assert "shard_requests=4 in the workload would make shards that fit" in ledger.shard(huge).note
    assert ask(ledger, next_one) is None


def test_who_has_not_asked_for_a_while_keeps_nobody_back(ledger: Ledger) -> None:
    [holder] = a_run(ledger, "holder", [100])
    [gone], [here] = a_run(ledger, "gone", [100], due=30), a_run(ledger, "here", [100], due=60)
    flown = fly(ledger, holder)
    assert ask(ledger, gone) is None
    collected(ledger, flown)
    late = PATIENCE.total_seconds() / 60
    assert ask(ledger, here, minutes=late - 1) is None
    assert ask(ledger, here, minutes=late) is not None


def test_a_run_that_has_ended_keeps_nobody_back(ledger: Ledger) -> None:
    [holder] = a_run(ledger, "holder", [100])
    [gone], [here] = a_run(ledger, "gone", [100], due=30), a_run(ledger, "here", [100], due=60)
    flown = fly(ledger, holder)
    assert ask(ledger, gone) is None
    collected(ledger, flown)
    ledger.move_run(gone.run_id, RunState.CANCELLED, since=(RunState.RUNNING,), now=NOW)
    assert ask(ledger, here) is not None


@pytest.mark.parametrize("crowd", [in_processes, in_threads])
@pytest.mark.parametrize("quota", [Quota(enqueued_tokens={MINI: 35}), Quota(batches=3), Quota(requests=39)])
def test_of_many_workers_asking_at_once_no_more_get_room_than_there_is(
    crowd: Crowd, ledger_url: str, quota: Quota
) -> None:
    shared = Ledger(ledger_url)
    keys = [key for name in ("a", "b") for key in a_run(shared, name, [10] * 4)]

    def claim(number: int) -> bool:
        return shared.claim(keys[number], f"elsewhere:{number}:x", LEASE, now=NOW, quota=quota) is not None

    assert crowd(8, claim).count(True) == 3
    shared.close()


def test_a_ledger_from_before_quotas_is_brought_up_to_date_with_its_rows(ledger_url: str) -> None:
    old = Ledger(ledger_url)
    first, second = a_run(old, "a", [100, 100])
    with old._database.changing(NOW) as change:  # as the first release made it
        change.connection.execute(text("DROP TABLE offpeak_deliveries"))
        change.connection.execute(text("DROP TABLE offpeak_alerts"))
        change.connection.execute(text("ALTER TABLE offpeak_shards DROP COLUMN route"))
        change.connection.execute(text("DROP INDEX ix_offpeak_shards_account_state"))
        change.connection.execute(text("ALTER TABLE offpeak_shards DROP COLUMN ahead"))
        change.connection.execute(text("UPDATE offpeak_version SET version_num = '0001'"))
    old.close()
    ledger = Ledger(ledger_url)
    fly(ledger, first)
    assert ask(ledger, second) is None
    ledger.close()


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A ledger that is migrated once and copied for every example."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.sqlite"
        ledger = Ledger(f"sqlite:///{path}")
        ledger.runs()
        ledger.close()
        yield path


a_workload = st.fixed_dictionaries(
    {
        "tokens": st.lists(st.sampled_from([1, 20, 45, 60, 100, 170]), min_size=1, max_size=3),
        "due": st.none() | st.integers(1, 90),
        "model": st.sampled_from([MINI, MINI, "gpt-5"]),
    }
)
quotas = st.builds(
    Quota,
    enqueued_tokens=st.just({MINI: 100}),
    batches=st.none() | st.integers(1, 3),
    requests=st.none() | st.just(25),
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    workloads=st.lists(a_workload, min_size=1, max_size=3),
    quota=quotas,
    chance=st.randoms(use_true_random=False),
)
def test_whatever_happens_no_more_is_in_flight_than_allowed_and_everybody_gets_a_turn(
    template: Path, workloads: list[dict[str, Any]], quota: Quota, chance: random.Random
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        shutil.copy(template, Path(folder) / "ledger.sqlite")
        ledger = Ledger(f"sqlite:///{folder}/ledger.sqlite")
        keys = [key for n, made in enumerate(workloads) for key in a_run(ledger, f"w{n}", **made)]
        for _ in range(80):
            left = [shard for shard in _all(ledger, keys) if shard.state is not ShardState.COLLECTED]
            if not left:
                break
            for shard in chance.sample(left, len(left)):
                _anything(ledger, shard, quota, chance)
                _within(_all(ledger, keys), quota)
        else:
            raise AssertionError([shard.note for shard in left])
        ledger.close()


def _all(ledger: Ledger, keys: list[ShardKey]) -> list[Shard]:
    return [shard for run_id in sorted({key.run_id for key in keys}) for shard in ledger.shards(run_id)]


def _anything(ledger: Ledger, shard: Shard, quota: Quota, chance: random.Random) -> None:
    """What may happen to a shard next."""
    key, dice = shard.key, chance.random()
    if shard.state is ShardState.WRITTEN:
        ask(ledger, key, quota)
    elif shard.state is ShardState.SUBMITTING and dice < 0.8:
        ledger.attach(key, ANNA, batch_of(shard, f"{key.run_id}-{key.number}-{shard.attempt}"), now=NOW)
    elif shard.state is ShardState.SUBMITTING:
        ledger.release(key, ANNA, now=NOW, not_before=None, note="busy")
    elif dice < 0.4:
        collected(ledger, shard)
    elif dice < 0.5:
        failed_as_a_whole(ledger, shard)


def _within(shards: list[Shard], quota: Quota) -> None:
    held = [shard for shard in shards if shard.state in HELD]
    mini = [shard for shard in held if shard.model == MINI]
    assert sum(shard.estimated_tokens for shard in mini) <= 100 or len(mini) == 1
    assert quota.batches is None or len(held) <= quota.batches
    assert quota.requests is None or sum(shard.request_count for shard in held) <= quota.requests
