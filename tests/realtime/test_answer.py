"""A shard answered in realtime, at the emulator over HTTP: every request once, whatever goes wrong."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest

from offpeak import Prompt, Vector
from offpeak.errors import LedgerConflict, OffpeakError, ProviderBusy, ProviderRefused, RunEnded
from offpeak.ledger.realtime import RealtimeShards
from offpeak.providers.provider import Reply
from offpeak.quota import RealtimeLimits
from offpeak.realtime import Progress, ask_rest, replies
from offpeak.realtime import asking as asking_module
from offpeak.realtime import trying as trying_module
from offpeak.states import Outcome, Route, RunState, ShardState
from offpeak.submit import NotYet
from tests.realtime.making import Bench, bench, limited, whole
from tests.run.making import Place


def all_answered(found: list[Reply]) -> bool:
    return all(reply.outcome is Outcome.ANSWERED for reply in found)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries of one request are short."""
    monkeypatch.setattr(trying_module, "LONGEST_BACKOFF_SECONDS", 0.01)


def test_every_request_gets_one_answer_and_the_shard_is_held_until_it_is_collected(place: Place) -> None:
    made = bench(place, 150)
    site = place.site()
    found = made.answer(site)
    assert whole(found, made.ids(), made.shards()[0].tag)
    assert all_answered(found)
    assert all(set(json.loads(reply.text or "")) == {"kind", "urgent"} for reply in found)
    assert all(reply.usage.input_tokens > 0 for reply in found)
    (shard,) = made.shards()
    assert (shard.state, shard.route, shard.holder) == (
        ShardState.SUBMITTING,
        Route.REALTIME,
        site.worker,
    )
    assert place.billed() == made.asked() == 150
    assert place.creates() == 0


def test_answers_that_are_recorded_are_given_again_and_never_asked_again(place: Place) -> None:
    made, site = bench(place, 100), place.site()
    first = made.answer(site)
    assert {reply.custom_id: reply for reply in made.answer(site)} == {
        reply.custom_id: reply for reply in first
    }
    assert made.asked() == 100


def test_embeddings_come_as_vectors(openai_place: Place) -> None:
    made = bench(
        openai_place,
        70,
        model="openai:text-embedding-3-small",
        answer=Vector(8),
        prompt=Prompt(user="{{ row.text }}"),
    )
    found = made.answer()
    assert whole(found, made.ids(), made.shards()[0].tag)
    assert {len(reply.vector or b"") for reply in found} == {32}
    assert len({reply.vector for reply in found}) > 1


def test_a_provider_that_declines_is_given_the_rest_it_asks_for_by_all_requests(place: Place) -> None:
    made = bench(place, 90)
    params = {"retry_after": 1.0}
    place.emulator.control.add_fault("rate_limited", path=made.path, times=3, params=params)
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(made.answer)
        seen = seen_while(made, asking)[1:]
        found = asking.result()
    rest, calls = max((after - at, calls) for (at, calls), (after, _) in pairwise(seen))
    assert rest >= 0.8
    assert calls <= 3 + 2 * 16, "those under way came home, and nobody else was sent"
    assert whole(found, made.ids(), made.shards()[0].tag)
    assert all_answered(found)
    assert place.billed() == 90
    assert made.asked() == 93
    retried = place.emulator.control.requests("POST", made.path)
    assert {name for seen in retried for name in seen.by_retry} == {"0"}, "the SDK's own retries are off"


def seen_while(made: Bench, asking: Future[list[Reply]]) -> list[tuple[float, int]]:
    """When the emulator had seen how many calls, for each new number, until it is done."""
    seen = [(time.monotonic(), 0)]
    while not asking.done():
        now, calls = time.monotonic(), made.asked()
        if calls > seen[-1][1]:
            seen.append((now, calls))
        time.sleep(0.01)
    return seen


@pytest.mark.usefixtures("eager")
def test_a_storm_of_server_errors_passes(place: Place) -> None:
    made = bench(place, 40)
    for fault in ("server_error", "unavailable", "bad_gateway"):
        place.emulator.control.add_fault(fault, path=made.path, times=8)
    found = made.answer()
    assert whole(found, made.ids(), made.shards()[0].tag)
    assert sum(reply.outcome is Outcome.ANSWERED for reply in found) >= 36
    assert place.billed() == sum(reply.outcome is Outcome.ANSWERED for reply in found)


@pytest.mark.usefixtures("eager")
def test_a_request_that_keeps_failing_becomes_an_errored_reply_that_may_be_asked_again(place: Place) -> None:
    made = bench(place, 3)
    place.emulator.control.add_fault("server_error", path=made.path, times=-1)
    found = made.answer()
    assert whole(found, made.ids(), made.shards()[0].tag)
    assert {(reply.outcome, reply.transient) for reply in found} == {(Outcome.ERRORED, True)}
    assert "not answered in 5 tries" in found[0].message
    assert "HTTP 500" in found[0].message
    assert made.asked() == 15
    assert place.billed() == 0


@pytest.mark.usefixtures("eager")
def test_a_provider_that_is_down_uses_up_few_requests_and_the_rest_is_asked_later(place: Place) -> None:
    made = bench(place, 200)
    place.emulator.control.add_fault("server_error", path=made.path, times=-1)
    with pytest.raises(ProviderBusy, match="are recorded and are not asked again; the rest is asked later"):
        made.answer()
    (shard,) = made.shards()
    assert (shard.state, shard.holder) == (ShardState.WRITTEN, "")
    assert shard.not_before is not None
    assert "HTTP 500" in shard.note
    given_up = len(list(replies(place.site(), shard)))
    assert given_up <= 2 * 16
    place.emulator.control.clear_faults()
    site = place.site()
    while isinstance(waits := hold(made, site), NotYet):
        time.sleep(max((waits.until - site.now()).total_seconds(), 0))
    found = list(replies(site, waits))
    assert whole(found, made.ids(), shard.tag)
    assert sum(reply.outcome is Outcome.ANSWERED for reply in found) == 200 - given_up == place.billed()


def hold(made: Bench, site: object) -> object:
    at = made.place.site() if site is None else site
    with made.client(at) as client:  # type: ignore[arg-type]
        return ask_rest(made.workload, at, client, made.shards()[0])  # type: ignore[arg-type]


@pytest.mark.usefixtures("eager")
def test_a_lost_answer_is_asked_again_and_no_more_often_than_it_was_lost(place: Place) -> None:
    made = bench(place, 50)
    place.emulator.control.add_fault("lost_response", path=made.path, times=4)
    place.emulator.control.add_fault("unreachable", path=made.path, times=4)
    found = made.answer()
    assert whole(found, made.ids(), made.shards()[0].tag)
    assert all_answered(found)
    assert place.billed() == 54, "a lost answer was billed; a connection that was never made was not"


def test_a_wish_longer_than_a_minute_lets_the_shard_go_until_then(place: Place) -> None:
    made = bench(place, 30)
    place.emulator.control.add_fault("rate_limited", path=made.path, times=1, params={"retry_after": 600})
    with pytest.raises(ProviderBusy, match="does not answer shard 1") as caught:
        made.answer()
    assert caught.value.retry_after_seconds == 600
    (shard,) = made.shards()
    assert shard.state is ShardState.WRITTEN
    assert shard.not_before is not None
    assert timedelta(seconds=590) < shard.not_before - place.site().now() <= timedelta(seconds=600)
    recorded = len(list(replies(place.site(), shard)))
    assert recorded == place.billed(), "what was under way is recorded"
    waits = hold(made, place.site())
    assert isinstance(waits, NotYet)
    assert waits.until == shard.not_before


@pytest.mark.parametrize(
    ("fault", "says"), [("insufficient_quota", "Add credit"), ("bad_key", "Check the API key")]
)
def test_a_matter_of_the_account_stops_the_shard_and_loses_nothing(
    place: Place, fault: str, says: str
) -> None:
    made = bench(place, 60)
    stop_after(made, 20, fault)
    with pytest.raises(ProviderRefused, match=says) as caught:
        made.answer()
    assert "of its 60 requests are recorded, and are not asked again" in str(caught.value)
    (shard,) = made.shards()
    assert (shard.state, shard.holder, shard.not_before) == (ShardState.WRITTEN, "", None)
    assert says in shard.note
    place.emulator.control.clear_faults()
    found = made.answer()
    assert whole(found, made.ids(), shard.tag)
    assert all_answered(found)
    assert place.billed() == 60


def stop_after(made: Bench, calls: int, fault: str) -> None:
    """The fault strikes from then on: slow answers to nobody come first in the list, and match so often."""
    control = made.place.emulator.control
    control.add_fault("slow_body", path=made.path, times=calls, params={"pieces": 1, "pause_seconds": 0})
    control.add_fault(fault, path=made.path, times=-1)


def test_a_row_that_the_provider_refuses_is_a_reply_and_stops_nobody(place: Place) -> None:
    made = bench(place, 30)
    place.emulator.control.add_fault("http_error", path=made.path, times=1, params={"status": 400})
    found = made.answer()
    assert whole(found, made.ids(), made.shards()[0].tag)
    bad = [reply for reply in found if reply.outcome is Outcome.ERRORED]
    assert len(bad) == 1
    assert not bad[0].transient


def test_of_two_workers_one_asks_and_the_other_is_told_who(place: Place) -> None:
    made = bench(place, 40)
    one, other = place.site(), place.site()
    met: list[object] = []

    def watch(progress: Progress) -> None:
        met.append(hold(made, other))

    found = made.answer(one, watch=watch)
    assert whole(found, made.ids(), made.shards()[0].tag)
    assert isinstance(met[0], NotYet)
    assert f"worker {one.worker} has it (realtime route)" in met[0].why
    with pytest.raises(LedgerConflict, match="This worker asked nothing"):
        made.answer(other)
    assert place.billed() == 40


def test_a_shard_whose_batch_may_exist_is_not_asked_in_realtime(openai_place: Place) -> None:
    made = bench(openai_place, 5)
    site = openai_place.site()
    key = made.shards()[0].key
    assert site.ledger.claim(key, site.worker, timedelta(minutes=5), now=site.now()) is not None
    waits = hold(made, openai_place.site())
    assert isinstance(waits, NotYet)
    assert "(batch route)" in waits.why
    assert made.asked() == 0


def test_a_worker_that_lost_its_shard_stops_and_what_it_was_answered_counts(
    openai_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(openai_place, 40)
    one, other = openai_place.site(), openai_place.site()
    beat = RealtimeShards.beat
    taken: list[object] = []

    def slow_beat(self: RealtimeShards, key: object, holder: str, *rest: object, **options: object) -> int:
        if holder == one.worker and not taken:  # it stands still for longer than its lease
            beat(self, key, holder, timedelta(0), **options)  # type: ignore[arg-type]
            taken.append(hold(made, other))
        return beat(self, key, holder, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(RealtimeShards, "beat", slow_beat)
    with pytest.raises(LedgerConflict, match="does not hold it"):
        made.answer(one)
    (shard,) = made.shards()
    assert shard.holder == other.worker, "it is the other one's to let go"
    assert whole(list(replies(other, shard)), made.ids(), shard.tag)
    assert openai_place.billed() == 40


def test_a_run_that_was_cancelled_asks_no_more_and_keeps_what_it_has(
    openai_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking_module, "BEAT_SECONDS", 0.05)
    made = bench(openai_place, 400)
    site = openai_place.site()
    slow(made)

    def watch(progress: Progress) -> None:
        if progress.answered >= 50 and not site.ledger.run(made.run_id).state.ended:
            site.ledger.move_run(made.run_id, RunState.CANCELLED, since=(RunState.RUNNING,), now=site.now())

    with pytest.raises(RunEnded, match="is cancelled"):
        made.answer(site, watch=watch)
    (shard,) = made.shards()
    recorded = len(list(replies(site, shard)))
    assert 50 <= recorded < 400
    assert recorded == openai_place.billed()


def slow(made: Bench) -> None:
    params = {"pieces": 2, "pause_seconds": 0.05}
    made.place.emulator.control.add_fault("slow_body", path=made.path, times=-1, params=params)


def test_whoever_watches_is_told_the_money_and_may_stop_it(
    openai_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking_module, "BEAT_SECONDS", 0.05)
    made = bench(openai_place, 400)
    slow(made)
    told: list[Progress] = []

    def watch(progress: Progress) -> None:
        told.append(progress)
        if progress.answered >= 30:
            raise OffpeakError("that is enough")

    with pytest.raises(OffpeakError, match="that is enough"):
        made.answer(watch=watch)
    last = told[-1]
    assert last.requests == 400
    assert last.cost_usd is not None
    assert 0 < last.cost_usd < 1
    assert last.usage.input_tokens > 0
    (shard,) = made.shards()
    assert shard.state is ShardState.WRITTEN
    found = made.answer()
    assert whole(found, made.ids(), shard.tag)
    assert openai_place.billed() == 400


def test_the_accounts_rate_is_kept(openai_place: Place) -> None:
    limited(openai_place, RealtimeLimits(requests_per_minute=600))
    made = bench(openai_place, 40)
    began = time.monotonic()
    assert len(made.answer()) == 40
    # 10 at once, the other 30 at less than 10 a second
    assert time.monotonic() - began >= 3.0


def test_no_more_are_under_way_than_the_account_may_have(openai_place: Place) -> None:
    limited(openai_place, RealtimeLimits(concurrency=2))
    made = bench(openai_place, 20)
    slow(made)  # 0.05 s each, at least
    began = time.monotonic()
    assert len(made.answer()) == 20
    assert time.monotonic() - began >= 0.5


def test_shards_of_one_run_share_one_client_from_threads_of_their_own(place: Place) -> None:
    made = bench(place, 80, shard_requests=20)
    sites = [place.site() for _ in range(4)]
    with made.client(sites[0]) as client, ThreadPoolExecutor(4) as threads:
        pairs = list(zip(sites, made.shards(), strict=True))
        held = list(threads.map(lambda pair: ask_rest(made.workload, pair[0], client, pair[1]), pairs))
    assert not any(isinstance(one, NotYet) for one in held)
    for number, shard in enumerate(made.shards(), 1):
        assert whole(list(replies(sites[0], shard)), made.ids(number), shard.tag)
    assert place.billed() == 80


def test_shards_of_one_account_share_its_rate_through_the_ledger(
    openai_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking_module, "BEAT_SECONDS", 0.5)
    limited(openai_place, RealtimeLimits(requests_per_minute=600))
    made = bench(openai_place, 60, shard_requests=30)
    with ThreadPoolExecutor(2) as threads:
        one, other = (threads.submit(made.answer, number=number) for number in (1, 2))
        seen = [*seen_while(made, one)[1:], *seen_while(made, other)[1:]]
    assert (len(one.result()), len(other.result())) == (30, 30)
    # ten at once and ten a second, both together; each for itself would be done in two seconds
    assert seen[-1][1] >= 55
    assert seen[-1][0] - seen[0][0] >= 4.0
