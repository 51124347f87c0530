"""What every provider promises, against the emulator. A further provider is run through these by a Case."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from offpeak.blocks import lines_in
from offpeak.errors import OutcomeUnknown, ProviderBusy, ProviderError, ProviderRefused
from offpeak.providers.provider import Batch
from offpeak.states import BatchStatus, Outcome
from tests.providers.making import KEY, OBJECT, Bench


def since(bench: Bench) -> datetime:
    return datetime.fromtimestamp(bench.emulator.control.state().now, UTC)


@contextmanager
def answering(page: str) -> Iterator[str]:
    """A server that answers 200 with `page` to everything, as a proxy's login page does."""

    class Page(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page.encode())

        do_GET = do_POST = _answer  # noqa: N815 - the base class's names

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def finish(bench: Bench, seconds: float = 60) -> None:
    bench.emulator.control.advance(seconds)


# -- requests


def test_system_and_user_text_stand_in_a_body_verbatim_and_nothing_else_depends_on_them(bench: Bench) -> None:
    system, user = 'Sys "tem" \u2028 ☃', "Us\ner {{ x }}"
    body = bench.provider.body(bench.ask(OBJECT), system=system, user=user)
    text = orjson.dumps(body).decode()
    for said in (system, user):
        assert text.count(orjson.dumps(said).decode()) == 1
    other = orjson.dumps(bench.provider.body(bench.ask(OBJECT), system="A", user="B")).decode()
    emptied = text.replace(orjson.dumps(system).decode(), '"A"').replace(orjson.dumps(user).decode(), '"B"')
    assert emptied == other


def test_an_empty_system_text_leaves_no_trace_in_the_body(bench: Bench) -> None:
    body = bench.provider.body(bench.ask(), system="", user="x")
    assert "system" not in orjson.dumps(body).decode()
    assert "instructions" not in body


def test_more_room_and_a_note_change_a_copy_and_leave_the_line_as_it_was(bench: Bench) -> None:
    ask = bench.ask()
    line = bench.provider.line(ask, "t-1", bench.provider.body(ask, system="s", user="the user text"))
    before = orjson.dumps(line)
    roomier = bench.provider.with_more_room(line, 1.5)
    noted = bench.provider.with_note(line, "NOT ACCEPTED")
    assert orjson.dumps(line) == before
    inner = roomier.get("body") or roomier["params"]
    assert inner[bench.case.room] == 750
    assert "the user text\\n\\nNOT ACCEPTED" in orjson.dumps(noted).decode()
    assert bench.provider.custom_id(noted) == "t-1"


@pytest.mark.parametrize("key", ["model", "stream", "messages"])
def test_a_parameter_that_collides_with_ours_is_a_problem_with_its_cure(bench: Bench, key: str) -> None:
    endpoint = "chat" if bench.case.name == "openai" else ""
    told = bench.provider.problems(bench.ask(params={key: True}, endpoint=endpoint))
    assert len(told) == 1
    assert repr(key) in told[0]
    assert "eave it out" in told[0]


def test_a_sound_workload_has_no_problems(bench: Bench) -> None:
    assert bench.provider.problems(bench.ask(OBJECT, params={"metadata": {"user_id": "u"}})) == []


def test_an_open_schema_and_an_unknown_endpoint_are_problems(bench: Bench) -> None:
    loose = replace(OBJECT, schema={"type": "object", "properties": {"a": {"type": "string"}}})
    told = " ".join(bench.provider.problems(bench.ask(loose)))
    assert "additionalProperties: false" in told
    assert "does not require a" in told
    assert "no endpoint 'assistants'" in bench.provider.problems(bench.ask(endpoint="assistants"))[0]


# -- the way of a batch


def test_a_shard_is_sent_seen_and_answered_row_by_row(bench: Bench) -> None:
    client, submission, batch_id = bench.created(ask=bench.ask(OBJECT))
    young = client.look(batch_id)
    assert not young.status.ended
    assert young.result_files == ()
    finish(bench)
    batch = client.look(batch_id)
    assert (batch.status, batch.total, batch.completed, batch.failed) == (BatchStatus.COMPLETED, 3, 3, 0)
    assert batch.created_at.tzinfo is UTC
    assert batch.ended_at is not None
    replies = {reply.custom_id: reply for reply in map(bench.provider.parse, lines_in(client.blocks(batch)))}
    assert set(replies) == {"a1b2-1", "a1b2-2", "a1b2-3"}
    for reply in replies.values():
        assert reply.outcome is Outcome.ANSWERED
        assert set(orjson.loads(reply.text or "")) == {"label"}
        assert reply.usage.input_tokens > 0
        assert reply.usage.output_tokens > 0
        assert bench.case.model in reply.model
        assert reply.code == ""
    assert submission.request_count == 3


def test_an_asynchronous_look_sees_what_a_look_sees(bench: Bench) -> None:
    client, _, batch_id = bench.created()

    async def look() -> Batch:
        seen = await client.alook(batch_id)
        await client.aclose()
        return seen

    assert asyncio.run(look()) == client.look(batch_id)


def test_the_realtime_route_answers_like_the_batch(bench: Bench) -> None:
    client, ask = bench.client(), bench.ask(OBJECT)
    body = bench.provider.body(ask, system="Sort.", user="My card is lost.")
    reply = client.ask(ask, "t-1", body)
    assert (reply.custom_id, reply.outcome) == ("t-1", Outcome.ANSWERED)

    async def aask() -> object:
        answered = await client.aask(ask, "t-1", body)
        await client.aclose()
        return answered.text

    assert asyncio.run(aask()) == reply.text


def test_a_realtime_request_that_is_refused_for_itself_is_an_errored_reply(bench: Bench) -> None:
    bench.emulator.control.add_fault("http_error", params={"status": 400, "message": "bad row"})
    ask = bench.ask()
    reply = bench.client().ask(ask, "t-1", bench.provider.body(ask, system="", user="x"))
    assert (reply.custom_id, reply.outcome, reply.transient) == ("t-1", Outcome.ERRORED, False)
    assert "bad row" in reply.message


def test_line_outcomes_are_told_apart(bench: Bench) -> None:
    control = bench.emulator.control
    for name, row in (("line_refusal", "1$"), ("line_truncated", "2$"), ("line_error_500", "3$")):
        control.add_fault(name, custom_id=row)
    control.add_fault("line_error_400", custom_id="4$")
    client, _, batch_id = bench.created(texts=["a text long enough to be cut"] * 5)
    finish(bench)
    replies = {
        reply.custom_id[-1]: reply
        for reply in map(bench.provider.parse, lines_in(client.blocks(client.look(batch_id))))
    }
    seen = {row: (reply.outcome, reply.transient) for row, reply in replies.items()}
    assert seen == {
        "1": (Outcome.REFUSED, False),
        "2": (Outcome.TRUNCATED, False),
        "3": (Outcome.ERRORED, True),
        "4": (Outcome.ERRORED, False),
        "5": (Outcome.ANSWERED, False),
    }
    assert replies["1"].text or replies["1"].message  # the refusal in its own words
    assert replies["2"].usage.output_tokens > 0


def test_answers_with_line_separators_inside_stay_whole(bench: Bench) -> None:
    bench.emulator.control.add_fault("line_separators", times=-1)
    client, _, batch_id = bench.created(texts=["one two three"] * 4)
    finish(bench)
    replies = [bench.provider.parse(line) for line in lines_in(client.blocks(client.look(batch_id)))]
    assert [reply.outcome for reply in replies] == [Outcome.ANSWERED] * 4
    assert all("\u2028" in (reply.text or "") for reply in replies)


def test_a_batch_where_every_line_failed_gives_every_line(bench: Bench) -> None:
    bench.emulator.control.add_fault("all_failed")
    client, _, batch_id = bench.created()
    finish(bench)
    batch = client.look(batch_id)
    assert batch.status.ended
    replies = [bench.provider.parse(line) for line in lines_in(client.blocks(batch))]
    assert sorted(reply.custom_id for reply in replies) == ["a1b2-1", "a1b2-2", "a1b2-3"]
    assert {reply.outcome for reply in replies} == {Outcome.ERRORED}


def test_an_expired_batch_gives_its_finished_lines_and_the_expired_ones(bench: Bench) -> None:
    bench.emulator.control.add_fault("expired_partial", params={"share": 0.5})
    client, _, batch_id = bench.created(texts=["a", "b", "c", "d"])
    finish(bench, 86_500)
    batch = client.look(batch_id)
    assert batch.status is BatchStatus.EXPIRED
    outcomes = [bench.provider.parse(line) for line in lines_in(client.blocks(batch))]
    assert sorted(reply.outcome for reply in outcomes) == ["answered", "answered", "expired", "expired"]
    assert all(reply.transient for reply in outcomes if reply.outcome is Outcome.EXPIRED)


def test_a_cancelled_batch_ends_cancelled_and_cancelling_an_ended_one_returns_it(bench: Bench) -> None:
    client, _, batch_id = bench.created()
    assert client.cancel(batch_id).status in (BatchStatus.CANCELLING, BatchStatus.CANCELLED)
    finish(bench)
    ended = client.look(batch_id)
    assert ended.status is BatchStatus.CANCELLED
    assert client.cancel(batch_id).status is BatchStatus.CANCELLED
    client, _, done = bench.created("c3d4")
    finish(bench)
    assert client.cancel(done).status is BatchStatus.COMPLETED


def test_a_status_nobody_knows_is_unknown_and_never_an_end(bench: Bench) -> None:
    client, _, batch_id = bench.created()
    bench.emulator.control.add_fault("unknown_status", params={"status": "hibernating"})
    seen = client.look(batch_id)
    assert (seen.status, seen.provider_status) == (BatchStatus.UNKNOWN, "hibernating")
    assert not seen.status.ended


# -- paid once


@pytest.mark.parametrize(
    "fault", ["lost_response", "server_error", "bad_gateway", "overloaded", "html_success"]
)
def test_a_create_without_a_usable_answer_is_unknown_and_was_sent_once(bench: Bench, fault: str) -> None:
    client = bench.client()
    submission = bench.uploaded(bench.shard(), client)
    bench.emulator.control.add_fault(fault, method="POST", path=bench.case.creates)
    with pytest.raises(OutcomeUnknown, match="Look for it before it is sent again"):
        client.create(submission)
    assert bench.emulator.control.count("POST", bench.case.creates) == 1


def test_a_create_that_was_committed_without_an_answer_is_found(bench: Bench) -> None:
    begun = since(bench)
    _, _, other = bench.created("ffff", texts=["x"])
    client = bench.client()
    submission = bench.uploaded(bench.shard(), client)
    bench.emulator.control.add_fault("lost_response", method="POST", path=bench.case.creates)
    with pytest.raises(OutcomeUnknown):
        client.create(submission)
    live = client.find(submission, since=begun, owned=frozenset({other}))
    assert len(live.proven + live.possible) == 1
    finish(bench)
    found = client.find(submission, since=begun, owned=frozenset({other}))
    assert [batch.id for batch in found.proven] == [bench.emulator.control.creates()[-1].batch_id]
    assert found.possible == ()


def test_a_batch_of_the_same_size_from_another_shard_is_not_taken_for_ours(bench: Bench) -> None:
    begun = since(bench)
    client, _, _ = bench.created("ffff")
    finish(bench)
    found = client.find(bench.shard("a1b2"), since=begun, owned=frozenset())
    assert found.proven == ()
    assert found.possible == ()


def test_a_batch_that_another_shard_owns_is_left_out(bench: Bench) -> None:
    begun = since(bench)
    client, submission, batch_id = bench.created()
    finish(bench)
    assert client.find(submission, since=begun, owned=frozenset({batch_id})).proven == ()


def test_a_batch_older_than_the_intent_is_not_found_but_the_clocks_may_differ_a_little(bench: Bench) -> None:
    client, submission, batch_id = bench.created()
    created = client.look(batch_id).created_at
    finish(bench)
    near = client.find(submission, since=created + timedelta(minutes=4), owned=frozenset())
    far = client.find(submission, since=created + timedelta(minutes=6), owned=frozenset())
    assert [batch.id for batch in near.proven] == [batch_id]
    assert far.proven == far.possible == ()


def test_a_search_pages_through_more_batches_than_one_page_holds(bench: Bench) -> None:
    begun = since(bench)
    client, submission, batch_id = bench.created()
    for number in range(103):
        client.create(bench.uploaded(bench.shard(f"e{number}", texts=["x"]), client))
    finish(bench)
    found = client.find(submission, since=begun, owned=frozenset())
    assert [batch.id for batch in found.proven] == [batch_id]
    assert bench.emulator.control.count("GET", bench.case.creates) >= 2


@pytest.mark.parametrize("fault", ["list_fails", "bad_gateway", "unreachable", "rate_limited"])
def test_a_listing_that_fails_raises_and_is_never_read_as_not_there(bench: Bench, fault: str) -> None:
    client, submission, _ = bench.created()
    bench.emulator.control.add_fault(fault, method="GET", path=bench.case.creates)
    with pytest.raises(ProviderBusy):
        client.find(submission, since=since(bench), owned=frozenset())


# -- a provider that says no, or not now


@pytest.mark.parametrize("seconds", [1, 130, 3600])
def test_the_wait_that_a_provider_asks_for_is_handed_on_whole(bench: Bench, seconds: int) -> None:
    client, _, batch_id = bench.created()
    bench.emulator.control.add_fault("rate_limited", params={"retry_after": seconds}, method="GET")
    with pytest.raises(ProviderBusy, match=f"asks to wait {seconds} s") as caught:
        client.look(batch_id)
    assert caught.value.retry_after_seconds == seconds


def test_a_rate_limit_on_create_is_busy_and_nothing_was_created(bench: Bench) -> None:
    client = bench.client()
    submission = bench.uploaded(bench.shard(), client)
    bench.emulator.control.add_fault("rate_limited", params={"retry_after": 7}, method="POST")
    with pytest.raises(ProviderBusy, match="Nothing was started"):
        client.create(submission)
    assert bench.emulator.control.creates() == []
    assert bench.emulator.control.count("POST", bench.case.creates) == 1


def test_an_account_without_money_is_refused_in_plain_words(bench: Bench) -> None:
    client = bench.client()
    submission = bench.uploaded(bench.shard(), client)
    bench.emulator.control.add_fault("insufficient_quota", method="POST")
    with pytest.raises(ProviderRefused, match="Add credit or raise the limit") as caught:
        client.create(submission)
    assert caught.value.code in ("insufficient_quota", "enforced_spend_limit_reached")


def test_a_bad_key_is_refused_and_the_key_is_in_no_message(bench: Bench) -> None:
    client = bench.client()
    told = {"status": 401, "message": f"Incorrect API key provided: {KEY} or sk-part***tail"}
    bench.emulator.control.add_fault("http_error", params=told, times=-1)
    with pytest.raises(ProviderRefused, match="Check the API key of the connection bench") as caught:
        client.look("batch_1")
    assert KEY not in str(caught.value)
    assert "tail" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert KEY not in repr(bench.account())


def test_a_batch_that_is_not_visible_yet_is_busy_with_its_own_code(bench: Bench) -> None:
    bench.emulator.control.add_fault("not_found_early")
    client, _, batch_id = bench.created()
    with pytest.raises(ProviderBusy, match="look again") as caught:
        client.look(batch_id)
    assert caught.value.code == "not_found"
    finish(bench, 61)
    assert client.look(batch_id).id == batch_id


def test_a_server_that_cannot_be_reached_is_busy_even_for_a_create_because_nothing_was_sent(
    bench: Bench,
) -> None:
    client = bench.client()
    submission = bench.uploaded(bench.shard(), client)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = bench.client(bench.account(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}"))
        with pytest.raises(ProviderBusy, match="Nothing was started"):
            nobody.create(submission)


def test_an_answer_that_is_not_json_is_not_believed(bench: Bench) -> None:
    client, _, batch_id = bench.created()
    bench.emulator.control.add_fault("http_error", params={"status": 200}, method="GET")
    with pytest.raises(ProviderError):
        client.look(batch_id)


@pytest.mark.parametrize("page", ["<html>welcome</html>", "[]", '"ok"', '{"id": 7}', ""])
def test_a_success_that_is_no_batch_leaves_the_outcome_of_a_create_unknown(bench: Bench, page: str) -> None:
    client = bench.client()
    submission = bench.uploaded(bench.shard(), client)
    with answering(page) as url:
        with pytest.raises(OutcomeUnknown, match="not the JSON it should be"):
            bench.client(bench.account(base_url=url)).create(submission)
        with pytest.raises(ProviderBusy, match="Nothing was changed"):
            bench.client(bench.account(base_url=url)).look("batch_1")


# -- downloads


def test_a_download_that_breaks_off_is_begun_anew_without_giving_a_line_twice(bench: Bench) -> None:
    client, _, batch_id = bench.created(texts=[f"row {number}" for number in range(200)])
    finish(bench)
    bench.emulator.control.add_fault("reset_download", times=1)
    bench.emulator.control.add_fault("truncated_results", times=1)
    ids = [bench.provider.parse(line).custom_id for line in lines_in(client.blocks(client.look(batch_id)))]
    assert len(ids) == len(set(ids)) == 200
    assert len(bench.waits) == 2
    assert all(wait > 0 for wait in bench.waits)


def test_a_download_that_keeps_breaking_off_is_busy(bench: Bench) -> None:
    client, _, batch_id = bench.created()
    finish(bench)
    batch = client.look(batch_id)
    bench.emulator.control.add_fault("reset_download", times=-1)
    with pytest.raises(ProviderBusy):
        list(lines_in(client.blocks(batch)))
    assert bench.emulator.control.struck()["reset_download"] == 3


def test_a_results_file_that_stays_cut_gives_its_last_line_as_unreadable(bench: Bench) -> None:
    client, _, batch_id = bench.created(texts=["a", "b", "c", "d"])
    finish(bench)
    bench.emulator.control.add_fault("truncated_results", times=-1, params={"share": 0.7})
    replies = [bench.provider.parse(line) for line in lines_in(client.blocks(client.look(batch_id)))]
    assert [reply.code for reply in replies].count("unreadable_line") == 1
    assert replies[-1].code == "unreadable_line"
    assert replies[-1].transient
