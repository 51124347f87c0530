"""Runs within an account's quota, and what becomes of a provider's own word that there is no room now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from offpeak import parquet_table
from offpeak.advance import Done, Wait, advance
from offpeak.connections import Connection
from offpeak.emulator import Emulator, Options
from offpeak.errors import ProviderRefused, SpecError
from offpeak.ledger import Run
from offpeak.patience import in_words, patience
from offpeak.polling import Pace
from offpeak.progress import progress
from offpeak.providers import provider
from offpeak.quota import Quota
from offpeak.run import connect
from offpeak.states import BatchStatus, RunState
from tests.run.making import CREATE_PATHS, Place

ROWS, PER_SHARD = 60, 10
NINE = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
WEEK = 7 * 86_400


def with_quota(place: Place, quota: dict[str, Any]) -> Place:
    place.env[f"OFFPEAK_QUOTA_{place.provider.upper()}"] = json.dumps(quota)
    return place


def workload_named(place: Place, name: str, **changes: Any) -> Any:
    return place.workload(
        name=name, into=parquet_table(f"{{store}}/tables/{name}"), shard_requests=PER_SHARD, **changes
    )


def most_at_once(place: Place, what: str) -> int:
    """The most requests, estimated tokens or batches that were at the provider at one moment, by its clock."""
    ledger, spans = place.site().ledger, []
    for run in ledger.runs():
        sizes = {shard.key: getattr(shard, what) for shard in ledger.shards(run.run_id)}
        for batch in ledger.batches(run.run_id):
            assert batch.ended_at is not None
            spans.append((batch.created_at, batch.ended_at, sizes[batch.key]))
    return max(sum(size for began, ended, size in spans if began <= at < ended) for at, _, _ in spans)


# -- two workloads, one account
@pytest.fixture
def tokens_of_a_shard(tmp_path: Path, emulator: Emulator) -> int:
    place = Place(folder=tmp_path / "measured", emulator=emulator)
    place.rows(ROWS)
    site = place.site()
    run = place.begin(workload_named(place, "measured"), site)
    return max(shard.estimated_tokens for shard in site.ledger.shards(run.run_id))


@pytest.fixture
def narrow(tmp_path: Path, tokens_of_a_shard: int) -> Iterator[Place]:
    """A place at a provider that lets in the tokens of two and a half shards."""
    limit = tokens_of_a_shard * 5 // 2
    with Emulator(Options(speed=60, enqueued_tokens={"gpt-5-mini": limit})) as emulator:
        place = Place(folder=tmp_path, emulator=emulator)
        place.rows(ROWS)
        yield place


def limit_of(place: Place) -> int:
    return place.emulator.options.enqueued_tokens["gpt-5-mini"]


def test_two_runs_that_share_a_quota_never_reach_the_providers_limit(narrow: Place) -> None:
    with_quota(narrow, {"enqueued_tokens": {"gpt-5-mini": limit_of(narrow)}})

    def whole_run(name: str) -> Run:
        return narrow.run(workload_named(narrow, name))

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(whole_run, ["sorting", "filing"]))
    assert [run.facts["outcomes"] for run in runs] == [{"answered": ROWS}] * 2
    assert narrow.creates() == 2 * ROWS // PER_SHARD  # not one batch failed for the limit
    assert most_at_once(narrow, "estimated_tokens") <= limit_of(narrow)
    assert narrow.billed() == 2 * ROWS


def test_shards_are_cut_so_that_each_fits_within_the_tokens_that_the_account_may_have(narrow: Place) -> None:
    with_quota(narrow, {"enqueued_tokens": {"*": limit_of(narrow)}})
    run = narrow.run(narrow.workload(name="whole", into=parquet_table("{store}/tables/whole")))
    shards = narrow.site().ledger.shards(run.run_id)
    assert len(shards) == 3  # all of its rows are six times two fifths of the limit
    assert max(shard.estimated_tokens for shard in shards) <= limit_of(narrow)
    assert narrow.creates() == 3  # the provider declined none for being larger than it may ever be
    assert run.facts["outcomes"] == {"answered": ROWS}


def test_without_a_quota_the_providers_limit_is_run_into_and_waited_out(narrow: Place) -> None:
    run = narrow.run(workload_named(narrow, "sorting"))
    ledger = narrow.site().ledger
    failed = [batch for batch in ledger.batches(run.run_id) if batch.status is BatchStatus.FAILED]
    assert run.facts["outcomes"] == {"answered": ROWS}
    assert narrow.creates() == ROWS // PER_SHARD + len(failed)
    assert failed
    assert narrow.billed() == ROWS
    told = "waits for room: the account's limit of enqueued tokens for gpt-5-mini is reached (batch "
    assert any(told in event.detail for event in ledger.events(run.run_id))


def test_the_run_that_is_due_first_is_finished_first(narrow: Place) -> None:
    with_quota(narrow, {"batches": 1})
    site = narrow.site(Pace(busy=timedelta(0), first=timedelta(0), least=timedelta(0)))
    late = workload_named(narrow, "late", due=timedelta(hours=9))
    soon = workload_named(narrow, "soon", due=timedelta(hours=1))
    runs = {work.name: narrow.begin(work, site).run_id for work in (late, soon)}
    client = connect(late, site)
    left = [(work, number) for work in (late, soon) for number in range(1, ROWS // PER_SHARD + 1)]
    finished: list[str] = []
    while left:
        for work, number in list(left):
            if isinstance(advance(work, site, client, runs[work.name], number), Done):
                finished.append(work.name)
                left.remove((work, number))
    client.close()
    count = ROWS // PER_SHARD
    # the later one was the first to ask, so its first shard was on its way already
    assert finished == ["late", *["soon"] * count, *["late"] * (count - 1)]
    assert most_at_once(narrow, "attempt") == 1


def test_a_quota_of_requests_is_kept_on_every_provider(place: Place) -> None:
    with_quota(place, {"requests": 25}).rows(ROWS)
    run = place.run(workload_named(place, "sorting"))
    assert run.facts["outcomes"] == {"answered": ROWS}
    assert place.creates() == ROWS // PER_SHARD
    assert most_at_once(place, "request_count") == 20


def test_the_status_of_a_run_says_for_each_waiting_shard_what_it_waits_for(openai_place: Place) -> None:
    place = with_quota(openai_place, {"batches": 1})
    place.rows(ROWS)
    site, work = place.site(), workload_named(openai_place, "sorting")
    run_id = place.begin(work, site).run_id
    client = connect(work, site)
    waits = [advance(work, site, client, run_id, number) for number in (1, 2, 3)]
    client.close()
    said = (
        "waits for room: account env:OPENAI_API_KEY has 1 of its 1 batches in flight, and this shard needs 1"
    )
    assert [wait.why for wait in waits[1:] if isinstance(wait, Wait)] == [
        said,
        f"{said}; 1 shard goes first (earliest due first)",
    ]
    assert progress(site, run_id).waiting_for[0] == f"shard 2, round 1: {said}"
    from offpeak.cli.status import command

    shown = CliRunner().invoke(command, [run_id, "--store", str(place.store)]).output
    assert f"shard 2 round 1: written (no batch yet, 10 requests, {said})" in shown


def test_a_shard_larger_than_the_quota_is_sent_alone_and_says_so(openai_place: Place) -> None:
    place = with_quota(openai_place, {"enqueued_tokens": {"*": 5}})
    place.rows(20)
    run = place.run(workload_named(place, "sorting"))
    assert run.facts["outcomes"] == {"answered": 20}
    assert most_at_once(place, "attempt") == 1
    events = place.site().ledger.events(run.run_id)
    assert any("larger than the whole limit of account env:OPENAI_API_KEY" in one.detail for one in events)


def test_a_quota_that_was_raised_counts_from_the_next_try(openai_place: Place) -> None:
    place = with_quota(openai_place, {"batches": 1})
    place.rows(20)
    site, work = place.site(), workload_named(place, "sorting")
    run_id = place.begin(work, site).run_id
    client = connect(work, site)
    advance(work, site, client, run_id, 1)
    advance(work, site, client, run_id, 2)
    assert place.creates() == 1
    with_quota(place, {"batches": 2})
    advance(work, site, client, run_id, 2)
    client.close()
    assert place.creates() == 2


# -- the provider asks for patience
class Late:
    """One shard, advanced at times that the test sets."""

    def __init__(self, place: Place, due: timedelta | None = None) -> None:
        place.rows(10)
        self.place, self.now = place, NINE
        self.site = replace(place.site(), now=lambda: self.now)
        self.work = place.workload(due=due)
        self.run_id = place.begin(self.work, self.site).run_id

    def fault(self, name: str, **params: Any) -> None:
        path = CREATE_PATHS[self.place.provider]
        self.place.emulator.control.add_fault(name, method="POST", path=path, params=params)

    def after(self, **span: float) -> Wait | Done:
        self.now = NINE + timedelta(**span)
        client = connect(self.work, self.site)
        try:
            return advance(self.work, self.site, client, self.run_id, 1)
        finally:
            client.close()

    def waits(self, **span: float) -> Wait:
        wait = self.after(**span)
        assert isinstance(wait, Wait)
        return wait


@pytest.mark.parametrize("seconds", [1, 130, 2 * 3600])
def test_a_wish_to_wait_is_followed_to_the_second(place: Place, seconds: int) -> None:
    late = Late(place)
    late.fault("rate_limited", retry_after=seconds)
    wait = late.waits()
    assert (wait.until - NINE).total_seconds() == seconds
    assert f"asks to wait {seconds} s" in wait.why
    assert late.waits(seconds=seconds - 0.5).until == wait.until
    assert place.creates() == 0
    assert late.waits(seconds=seconds).batch_id is not None
    assert place.creates() == 1


def test_a_wish_of_a_week_is_a_plain_sentence_and_another_try_in_half_an_hour(place: Place) -> None:
    late = Late(place)
    late.fault("rate_limited", retry_after=WEEK)
    wait = late.waits()
    assert wait.until - NINE == timedelta(minutes=30)
    assert (
        "The wait that the provider asks for, 7 d, is longer than the 6 h that such a wish is heeded"
        in wait.why
    )
    assert wait.why.endswith("tried again in 30 min.")
    assert progress(late.site, late.run_id).waiting_for == (f"shard 1, round 1: {wait.why}",)
    assert late.waits(minutes=30).batch_id is not None
    assert place.creates() == 1


def test_a_wish_beyond_the_due_time_is_said_and_not_waited_out(place: Place) -> None:
    late = Late(place, due=timedelta(hours=1))
    late.fault("rate_limited", retry_after=2 * 3600)
    wait = late.waits()
    assert wait.until - NINE == timedelta(minutes=30)
    assert "asks for, 2 h, is after its due time: tried again in 30 min." in wait.why


def test_a_week_asked_for_by_a_look_is_not_slept_through_either(place: Place) -> None:
    late = Late(place)
    batch_id = late.waits().batch_id
    place.emulator.control.add_fault(
        "rate_limited",
        method="GET",
        path=f"{CREATE_PATHS[place.provider]}/{batch_id}",
        params={"retry_after": WEEK},
    )
    wait = late.waits(seconds=5)
    assert wait.until - late.now == timedelta(minutes=30)
    assert "7 d, is longer than the 6 h" in wait.why


def test_a_full_queue_told_as_an_error_of_the_create_is_waited_out_ever_longer(openai_place: Place) -> None:
    late = Late(openai_place)
    text = "Enqueued token limit reached for gpt-5-mini in organization org-1. Limit: 90,000 enqueued tokens."
    for _ in range(2):
        late.fault("http_error", status=400, message=text)
    first = late.waits()
    assert first.why.startswith(
        "waits for room: the account's limit of enqueued tokens for gpt-5-mini is reached ("
    )
    busy = late.site.pace.busy
    assert first.until - NINE == busy
    again = late.waits(seconds=60)
    assert again.until - late.now == 2 * busy
    assert late.waits(seconds=120).batch_id is not None


def test_a_batch_that_failed_for_the_limit_says_so_in_the_status(openai_place: Place) -> None:
    late = Late(openai_place)
    openai_place.emulator.control.add_fault("token_limit_exceeded")
    assert late.waits().batch_id is not None
    openai_place.emulator.control.advance(60)
    wait = late.waits(seconds=60)
    assert wait.until - late.now == late.site.pace.busy
    (held,) = progress(late.site, late.run_id).waiting_for
    assert "waits for room: the account's limit of enqueued tokens for gpt-5-mini is reached (batch" in held
    assert late.waits(seconds=120).batch_id is not None


def test_an_account_without_money_ends_the_run_and_names_the_account(place: Place) -> None:
    place.rows(10)
    place.emulator.control.add_fault("insufficient_quota", times=-1, method="POST")
    with pytest.raises(ProviderRefused) as caught:
        place.run(place.workload())
    said = str(caught.value)
    assert f"(connection env:{place.provider.upper()}_API_KEY). Nothing was started." in said
    assert "Add credit or raise the limit at the provider, then run again; this call is not billed." in said
    assert (place.creates(), place.billed()) == (0, 0)
    (run,) = place.site().ledger.runs()
    assert (run.state, run.error) == (RunState.FAILED, said)


def test_a_batch_that_failed_for_money_names_the_account_and_what_to_do(openai_place: Place) -> None:
    openai_place.rows(10)
    openai_place.emulator.control.add_fault("batch_failed")
    with pytest.raises(ProviderRefused) as caught:
        openai_place.run(openai_place.workload())
    said = str(caught.value)
    assert "None of its 10 requests ran or was billed." in said
    assert (
        "Of account env:OPENAI_API_KEY: the account's spending limit is reached. Add credit or raise" in said
    )


@pytest.mark.parametrize(
    ("wish", "left", "pause", "says"),
    [
        (None, None, 30, ""),
        (0, None, 0, ""),
        (6 * 3600, None, 6 * 3600, ""),
        (6 * 3600 + 1, None, 1800, "6 h 1 s, is longer than the 6 h"),
        (600, 601, 600, ""),
        (600, 599, 600, "10 min, is after its due time: tried again in 10 min."),
        (600, -5, 600, ""),
        (7200, -5, 1800, "2 h, is too long for a run that is late: tried again in 30 min."),
        (1e300, None, 1800, "36,500 d"),
    ],
)
def test_how_long_a_wish_is_heeded(wish: float | None, left: float | None, pause: float, says: str) -> None:
    time_left = None if left is None else timedelta(seconds=left)
    found = patience(wish, otherwise=timedelta(seconds=30), left=time_left)
    assert found.pause == timedelta(seconds=pause)
    assert says in found.said
    assert bool(says) == bool(found.said)


def test_spans_are_said_in_two_units() -> None:
    spans = [0, 59, 60, 130, 3600, 90_061]
    said = [in_words(timedelta(seconds=span)) for span in spans]
    assert said == ["0 s", "59 s", "1 min", "2 min 10 s", "1 h", "1 d 1 h"]


# -- the quota, as data of the account
class Held:
    def __init__(self, extra: dict[str, Any]) -> None:
        self.extra = extra

    def get(self, connection_id: str) -> Connection | None:
        return Connection(id=connection_id, conn_type="x", password="key-77", extra=self.extra)


class Nothing:
    def get(self, connection_id: str) -> Connection | None:
        return None


LIMITS = {"enqueued_tokens": {"gpt-5-mini": 5_000_000, "*": 90_000}, "batches": 100, "requests": 7}


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_a_quota_is_read_from_the_connection_or_without_one_from_the_environment(name: str) -> None:
    adapter, wanted = provider(name), Quota(**LIMITS)  # type: ignore[arg-type]
    key = {f"{name.upper()}_API_KEY": "key-77"}
    variable = f"OFFPEAK_QUOTA_{name.upper()}"
    for given in (LIMITS, json.dumps(LIMITS)):
        assert adapter.account(None, Held({"offpeak": given}), {}).quota == wanted
    for text in (json.dumps(LIMITS), json.dumps({"offpeak": LIMITS})):
        assert adapter.account(None, Nothing(), key | {variable: text}).quota == wanted
    assert adapter.account(None, Held({}), {variable: json.dumps(LIMITS)}).quota == Quota()
    assert adapter.account(None, Nothing(), key).quota == Quota()
    account = adapter.account(None, Held({"offpeak": LIMITS}), {})
    assert "90000" in repr(account)
    assert "key-77" not in repr(account)


MISTAKES = [
    ("90000", "it is not a JSON object"),
    ("{", "it is not a JSON object"),
    ({"enqueued_token": {"*": 5}}, "'enqueued_token' is no limit that Offpeak knows"),
    ({"enqueued_tokens": 5}, "enqueued_tokens is not given by model"),
    ({"enqueued_tokens": {"*": 0}}, "enqueued_tokens of '*' is 0, not a whole number of at least 1"),
    ({"enqueued_tokens": {"*": "5"}}, "is '5', not a whole number"),
    ({"batches": True}, "batches is True, not a whole number"),
    ({"requests": 1.5}, "requests is 1.5, not a whole number"),
]


@pytest.mark.parametrize(("given", "says"), MISTAKES, ids=[says for _, says in MISTAKES])
def test_a_mistake_in_a_quota_is_found_before_anything_is_sent(given: Any, says: str) -> None:
    adapter = provider("openai")
    with pytest.raises(SpecError, match="in the extra of connection my_openai") as caught:
        adapter.account("my_openai", Held({"offpeak": given}), {})
    assert says in str(caught.value)
    assert 'Write it as {"enqueued_tokens"' in str(caught.value)
    variable = given if isinstance(given, str) else json.dumps(given)
    env = {"OPENAI_API_KEY": "k", "OFFPEAK_QUOTA_OPENAI": variable}
    with pytest.raises(SpecError, match="environment variable OFFPEAK_QUOTA_OPENAI"):
        adapter.account(None, Nothing(), env)
