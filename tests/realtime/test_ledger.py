"""The ledger's verbs for shards in realtime, on SQLite and on Postgres; and what an account may be asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from offpeak.connections import Connection
from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger import Ledger, Shard, ShardKey
from offpeak.quota import Quota, RealtimeLimits, quota_of_connection, quota_of_environment
from offpeak.states import Route, ShardState
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


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    sqlite = f"sqlite:///{tmp_path}/ledger.sqlite"
    url = sqlite if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    made = Ledger(url)
    yield made
    made.close()


def asked(ledger: Ledger, key: ShardKey, holder: str = ANNA) -> Shard:
    shard = ledger.realtime.claim(key, holder, LEASE, now=NOW)
    assert shard is not None
    return shard


def test_a_written_shard_becomes_one_of_the_realtime_route_when_it_is_claimed(ledger: Ledger) -> None:
    (key,) = running(ledger)
    assert ledger.shard(key).route is Route.BATCH
    shard = asked(ledger, key)
    assert (shard.state, shard.route, shard.holder, shard.attempt) == (
        ShardState.SUBMITTING,
        Route.REALTIME,
        ANNA,
        1,
    )
    assert ledger.shard(key) == shard


def test_what_the_batch_queue_made_it_wait_for_is_forgotten(ledger: Ledger) -> None:
    (key,) = running(ledger)
    ledger.claim(key, ANNA, LEASE, now=NOW)
    ledger.note_upload(key, ANNA, "file-1", now=NOW)
    ledger.release(key, ANNA, now=NOW, not_before=NOW + timedelta(hours=1), note="the queue is full")
    shard = asked(ledger, key)
    assert (shard.not_before, shard.upload_id) == (None, None)


def test_a_shard_that_is_or_may_be_a_batch_is_not_to_be_had(ledger: Ledger) -> None:
    first, second = running(ledger, 2)
    flying(ledger, first)
    ledger.claim(second, ANNA, LEASE, now=NOW)
    for key in (first, second):
        assert ledger.realtime.claim(key, BERT, LEASE, now=NOW + 2 * LEASE) is None
        assert ledger.shard(key).route is Route.BATCH


def test_one_holds_it_until_its_lease_ends(ledger: Ledger) -> None:
    (key,) = running(ledger)
    asked(ledger, key)
    assert ledger.realtime.claim(key, BERT, LEASE, now=NOW) is None
    taken = ledger.realtime.claim(key, BERT, LEASE, now=NOW + LEASE)
    assert taken is not None
    assert (taken.holder, taken.attempt) == (BERT, 1)
    with pytest.raises(LedgerConflict, match="does not hold it"):
        ledger.realtime.beat(key, ANNA, LEASE, now=NOW + LEASE, note="")


def test_a_rest_that_the_provider_wants_on_this_route_is_kept(ledger: Ledger) -> None:
    (key,) = running(ledger)
    asked(ledger, key)
    later = NOW + timedelta(minutes=10)
    ledger.release(key, ANNA, now=NOW, not_before=later, note="busy")
    assert ledger.realtime.claim(key, BERT, LEASE, now=NOW) is None
    assert ledger.realtime.claim(key, BERT, LEASE, now=later) is not None


def test_a_beat_counts_those_of_the_account_that_are_being_asked(ledger: Ledger) -> None:
    keys = running(ledger, 4)
    asked(ledger, keys[0])
    flying(ledger, keys[1])
    other = replace(new_shard("x"), account="another")
    run, _ = ledger.open_run(new_run(interval_key="other"), now=NOW)
    elsewhere = replace(other, key=ShardKey(run_id=run.run_id, round=1, number=1))
    ledger.start_running(run.run_id, [elsewhere], {}, now=NOW)
    asked(ledger, elsewhere.key)

    def beat(holder: str = ANNA, *, after: timedelta = timedelta(0)) -> int:
        return ledger.realtime.beat(keys[0], holder, LEASE, now=NOW + after, note="7 of 10")

    assert beat() == 1
    asked(ledger, keys[2], BERT)
    assert beat() == 2
    assert beat(after=LEASE) == 1, "the other one's lease has ended"
    shard = ledger.shard(keys[0])
    assert (shard.note, shard.lease_until) == ("7 of 10", NOW + 2 * LEASE)


def test_it_is_collected_by_its_holder_once(ledger: Ledger) -> None:
    (key,) = running(ledger)
    shard = asked(ledger, key)
    done, spend = results_of(shard), spend_of(shard, route=Route.REALTIME)
    again = new_shard(key.run_id, in_round=2)
    with pytest.raises(LedgerConflict, match="cannot be collected"):
        ledger.realtime.collect(replace(done, holder=BERT), spend, None, now=NOW)
    assert ledger.spent() == []
    assert ledger.realtime.collect(done, spend, again, now=NOW)
    assert not ledger.realtime.collect(done, spend, again, now=NOW)
    assert ledger.spent() == [spend]
    one, two = ledger.shards(key.run_id)
    assert (one.state, one.results, one.holder, one.lease_until) == (
        ShardState.COLLECTED,
        done.results,
        "",
        None,
    )
    assert (two.state, two.route) == (ShardState.WRITTEN, Route.BATCH)


def test_a_shard_in_flight_is_not_collected_as_one_in_realtime(ledger: Ledger) -> None:
    (key,) = running(ledger)
    shard = flying(ledger, key)
    with pytest.raises(LedgerConflict, match="cannot be collected"):
        ledger.realtime.collect(results_of(shard), spend_of(shard), None, now=NOW)


def test_a_request_in_realtime_takes_no_room_in_the_batch_queue(ledger: Ledger) -> None:
    first, second = running(ledger, 2)
    quota = Quota(batches=1)
    asked(ledger, first)
    shard = ledger.claim(second, BERT, LEASE, now=NOW, quota=quota)
    assert shard is not None
    ledger.attach(second, BERT, batch_of(shard), now=NOW)


# -- what an account may be asked


def test_an_accounts_limits_are_in_its_connection_or_the_environment() -> None:
    stated = {"realtime": {"requests_per_minute": 500, "tokens_per_minute": 200_000, "concurrency": 4}}
    limits = RealtimeLimits(requests_per_minute=500, tokens_per_minute=200_000, concurrency=4)
    connection = Connection(id="c", conn_type="openai", extra={"offpeak": stated})
    assert quota_of_connection(connection).realtime == limits
    env = {"OFFPEAK_QUOTA_OPENAI": '{"realtime": {"concurrency": 4}, "batches": 3}'}
    assert quota_of_environment("openai", env) == Quota(batches=3, realtime=RealtimeLimits(concurrency=4))


def test_without_a_word_there_is_no_rate_but_a_modest_concurrency() -> None:
    assert Quota().realtime == RealtimeLimits(
        requests_per_minute=None, tokens_per_minute=None, concurrency=16
    )
    assert not Quota().realtime.stated


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ('{"realtime": 5}', "realtime is not an object of limits"),
        ('{"realtime": {"rpm": 5}}', "'rpm' is no limit that Offpeak knows; it knows requests_per_minute"),
        ('{"realtime": {"concurrency": 0}}', "concurrency is 0, not a whole number of at least 1"),
        ('{"realtime": {"tokens_per_minute": "many"}}', "tokens_per_minute is 'many'"),
    ],
)
def test_a_mistake_in_the_limits_is_named_with_its_cure(given: str, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        quota_of_environment("openai", {"OFFPEAK_QUOTA_OPENAI": given})
    assert '"realtime": {"requests_per_minute": 500' in str(caught.value)
