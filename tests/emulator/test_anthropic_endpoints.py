"""Anthropic's own client, on every endpoint, against the emulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anthropic as sdk
import pytest
from anthropic import Anthropic, AsyncAnthropic

from offpeak.emulator import Control, Emulator
from tests.emulator.making import DONE_SECONDS, KEY, message, messages

Ended = Callable[[list[Any]], list[Any]]
SCHEMA = {
    "type": "object",
    "properties": {"intent": {"type": "string", "enum": ["refund", "card_lost"]}},
    "required": ["intent"],
    "additionalProperties": False,
}


def test_a_batch_keeps_all_its_counts_in_processing_until_it_ends(
    anthropic: Anthropic, control: Control
) -> None:
    batch = anthropic.messages.batches.create(requests=messages(10))
    assert batch.id.startswith("msgbatch_")
    control.advance(5)
    batch = anthropic.messages.batches.retrieve(batch.id)
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 10)
    assert batch.results_url is None
    control.advance(DONE_SECONDS)
    batch = anthropic.messages.batches.retrieve(batch.id)
    assert (batch.processing_status, batch.request_counts.succeeded) == ("ended", 10)
    assert batch.request_counts.processing == 0
    assert batch.ended_at is not None


def test_results_are_read_through_the_clients_own_decoder(ended: Ended) -> None:
    results = {result.custom_id: result.result for result in ended(messages(25))}
    assert results.keys() == {f"r1-{number}" for number in range(25)}
    assert all(result.type == "succeeded" for result in results.values())
    found = results["r1-7"].message
    assert found.content[0].text == "Ticket number 7 is about a card."
    assert found.model == "emulated/claude-haiku-5-5"
    assert found.usage.service_tier == "batch"


def test_results_are_shuffled_and_end_without_a_blank_line(anthropic: Anthropic, control: Control) -> None:
    batch = anthropic.messages.batches.create(requests=messages(30))
    control.advance(DONE_SECONDS)
    raw = anthropic.messages.batches.with_raw_response.retrieve(batch.id)
    assert raw.headers["request-id"].startswith("req_")
    url = raw.parse().results_url
    assert url is not None
    with sdk.DefaultHttpxClient() as client:
        answer = client.get(url, headers={"x-api-key": KEY})
    assert answer.headers["content-type"] == "application/x-jsonl"
    lines = answer.content.split(b"\n")
    assert lines[-1] == b""
    assert b"" not in lines[:-1]
    ids = [json.loads(line)["custom_id"] for line in lines[:-1]]
    assert ids != sorted(ids, key=lambda found: int(found[3:]))


def test_batches_are_listed_newest_first_in_both_directions(anthropic: Anthropic) -> None:
    ids = [anthropic.messages.batches.create(requests=messages(1)).id for _ in range(5)]
    batches = anthropic.messages.batches
    assert [batch.id for batch in batches.list(limit=2)] == ids[::-1]
    assert [batch.id for batch in batches.list(after_id=ids[2], limit=20).data] == [ids[1], ids[0]]
    newer = batches.list(before_id=ids[2], limit=1)
    assert [batch.id for batch in newer.data] == [ids[3]]
    assert newer.has_more


def test_a_cancelled_batch_ends_with_what_was_done(anthropic: Anthropic, control: Control) -> None:
    batch = anthropic.messages.batches.create(requests=messages(10))
    control.advance(5)  # half of the six seconds in progress
    batch = anthropic.messages.batches.cancel(batch.id)
    assert batch.processing_status == "canceling"
    assert batch.cancel_initiated_at is not None
    control.advance(3)
    batch = anthropic.messages.batches.retrieve(batch.id)
    assert (batch.request_counts.succeeded, batch.request_counts.canceled) == (5, 5)
    kinds = [result.result.type for result in anthropic.messages.batches.results(batch.id)]
    assert sorted(kinds) == ["canceled"] * 5 + ["succeeded"] * 5


def test_only_an_ended_batch_can_be_deleted(anthropic: Anthropic, control: Control) -> None:
    batch = anthropic.messages.batches.create(requests=messages(1))
    with pytest.raises(sdk.ConflictError):
        anthropic.messages.batches.delete(batch.id)
    control.advance(DONE_SECONDS)
    assert anthropic.messages.batches.delete(batch.id).id == batch.id
    with pytest.raises(sdk.NotFoundError):
        anthropic.messages.batches.retrieve(batch.id)


def test_results_are_archived_29_days_after_creation(anthropic: Anthropic, control: Control) -> None:
    batch = anthropic.messages.batches.create(requests=messages(1))
    control.advance(29 * 86_400)
    batch = anthropic.messages.batches.retrieve(batch.id)
    assert batch.archived_at is not None
    assert batch.results_url is None


def test_sampling_parameters_are_refused_per_line_by_the_new_version_and_taken_by_the_old(
    emulator: Emulator, control: Control, ended: Ended
) -> None:
    asked = [message("a-1", temperature=0.5), message("a-2")]
    kinds = {result.custom_id: result.result for result in ended(asked)}
    assert kinds["a-1"].type == "errored"
    assert kinds["a-1"].error.error.type == "invalid_request_error"
    assert "temperature" in kinds["a-1"].error.error.message
    assert kinds["a-2"].type == "succeeded"
    old = {"anthropic-version": "2023-06-01"}
    with Anthropic(base_url=emulator.anthropic_url, api_key=KEY, default_headers=old) as client:
        batch = client.messages.batches.create(requests=asked)
        control.advance(DONE_SECONDS)
        assert client.messages.batches.retrieve(batch.id).request_counts.succeeded == 2


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"stream": True}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"model": ""}, "model"),
        ({"speed": "fast"}, "speed"),
    ],
)
def test_a_bad_line_is_errored_while_the_others_succeed(ended: Ended, bad: dict[str, Any], said: str) -> None:
    results = {result.custom_id: result.result for result in ended([message("a-1", **bad), message("a-2")])}
    assert said in results["a-1"].error.error.message
    assert results["a-2"].type == "succeeded"


@pytest.mark.parametrize(
    "requests",
    [
        pytest.param([], id="empty"),
        pytest.param([message("a b")], id="custom_id pattern"),
        pytest.param([message("x" * 65)], id="custom_id length"),
        pytest.param([message("a-1"), message("a-1")], id="custom_id twice"),
        pytest.param([{"custom_id": "a-1"}], id="no params"),
    ],
)
def test_a_bad_envelope_is_refused_at_the_create(anthropic: Anthropic, requests: list[Any]) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        anthropic.messages.batches.create(requests=requests)
    assert caught.value.type == "invalid_request_error"
    assert list(anthropic.messages.batches.list()) == []


def test_a_body_over_the_limit_is_refused_as_too_large() -> None:
    with (
        Emulator(anthropic_max_bytes=500) as small,
        Anthropic(base_url=small.anthropic_url, api_key=KEY, max_retries=0) as client,
    ):
        with pytest.raises(sdk.APIStatusError) as caught:
            client.messages.batches.create(requests=messages(50))
        assert caught.value.status_code == 413
        assert caught.value.type == "request_too_large"


def test_answers_fit_an_output_format_and_a_forced_tool(anthropic: Anthropic) -> None:
    asked: dict[str, Any] = {
        "model": "claude-haiku-5-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "I lost my card"}],
    }
    form: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    found = anthropic.messages.create(**asked, output_config=form)
    assert json.loads(found.content[0].text) == {"intent": "card_lost"}  # type: ignore[union-attr]
    tool: Any = {"name": "sort", "input_schema": SCHEMA, "strict": True}
    found = anthropic.messages.create(**asked, tools=[tool], tool_choice={"type": "tool", "name": "sort"})
    assert found.stop_reason == "tool_use"
    assert found.content[0].input == {"intent": "card_lost"}  # type: ignore[union-attr]


def test_cache_tokens_are_written_first_and_read_after_and_only_where_marked(anthropic: Anthropic) -> None:
    rules = "The rules of the bank are as follows. " * 200

    def usage(block: dict[str, Any]) -> tuple[int, int, int]:
        found = anthropic.messages.create(
            model="claude-haiku-5-5",
            max_tokens=50,
            system=[{"type": "text", "text": rules, **block}],  # type: ignore[typeddict-item]
            messages=[{"role": "user", "content": "Hello"}],
        ).usage
        written, read = found.cache_creation_input_tokens or 0, found.cache_read_input_tokens or 0
        return found.input_tokens, written, read

    plain = usage({})
    marked = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    first, second = usage(marked), usage(marked)
    assert plain[1:] == (0, 0)
    assert first[1] > 1_024
    assert first[2] == 0
    assert (second[1], second[2]) == (0, first[1])
    assert sum(plain) == sum(first) == sum(second)


def test_tokens_can_be_counted_and_models_listed(anthropic: Anthropic) -> None:
    count = anthropic.messages.count_tokens(
        model="claude-haiku-5-5", messages=[{"role": "user", "content": "x" * 400}]
    )
    assert 100 <= count.input_tokens <= 102
    assert all(model.id.startswith("emulated/") for model in anthropic.models.list())


def test_both_ways_of_sending_the_key_are_taken(emulator: Emulator) -> None:
    for headers in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}):
        with sdk.DefaultHttpxClient() as client:
            answer = client.get(emulator.anthropic_url + "/v1/messages/batches", headers=headers)
        assert answer.status_code == 200


def test_the_async_client_goes_the_same_way(emulator: Emulator, control: Control) -> None:
    async def go() -> list[str]:
        async with AsyncAnthropic(base_url=emulator.anthropic_url, api_key=KEY, max_retries=0) as client:
            batch = await client.messages.batches.create(requests=messages(3))
            await asyncio.to_thread(control.advance, DONE_SECONDS)
            assert [found.id async for found in client.messages.batches.list()] == [batch.id]
            results = await client.messages.batches.results(batch.id)
            return [result.custom_id async for result in results]

    assert sorted(asyncio.run(go())) == ["r1-0", "r1-1", "r1-2"]
