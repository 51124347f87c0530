"""Where each mistake surfaces on OpenAI's wire: at the upload, at the create, or in the failed batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI
from openai.types import Batch

from offpeak.emulator import Emulator
from tests.emulator.making import DONE_SECONDS, KEY, chat_line, chat_lines, jsonl

Submit = Callable[..., Batch]
Finish = Callable[[Batch], Batch]


def without(field: str) -> dict[str, Any]:
    return {key: value for key, value in chat_line("a-2").items() if key != field}


def with_body(**changes: Any) -> dict[str, Any]:
    line = chat_line("a-2")
    body = {key: value for key, value in {**line["body"], **changes}.items() if value is not None}
    return {**line, "body": body}


@pytest.mark.parametrize(
    ("name", "content"),
    [("in.txt", jsonl(chat_lines(1))), ("in.jsonl", b""), ("in.jsonl", b"not json\n" + jsonl(chat_lines(1)))],
)
def test_an_upload_is_refused_for_its_name_or_its_first_line(
    openai: OpenAI, name: str, content: bytes
) -> None:
    with pytest.raises(sdk.BadRequestError, match="Invalid file format"):
        openai.files.create(file=(name, content), purpose="batch")
    assert list(openai.files.list()) == []


@pytest.mark.parametrize(
    ("second", "code", "param"),
    [
        (b"{broken", "invalid_json_line", None),
        (without("custom_id"), "missing_required_parameter", "custom_id"),
        (without("method"), "missing_required_parameter", "method"),
        (without("url"), "missing_required_parameter", "url"),
        (without("body"), "missing_required_parameter", "body"),
        ({**chat_line("a-2"), "url": "/v1/responses"}, "invalid_url", "url"),
        (with_body(model="gpt-5"), "mismatched_model", "body.model"),
        (chat_line("a-1"), "duplicate_custom_id", "custom_id"),
        (with_body(model=None), "invalid_request", "body.model"),
        (with_body(messages=None), "invalid_request", "body.messages"),
        (with_body(stream=True), "streaming_unsupported", "body.stream"),
    ],
)
def test_one_bad_line_fails_the_whole_batch_and_names_its_line(
    submit: Submit, finish: Finish, second: Any, code: str, param: str | None
) -> None:
    batch = finish(submit([chat_line("a-1"), second, chat_line("a-3")]))
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.output_file_id is None
    assert batch.errors is not None
    (error,) = batch.errors.data or []
    assert (error.code, error.line, error.param) == (code, 2, param)


def test_all_bad_lines_are_told_at_once(submit: Submit, finish: Finish) -> None:
    batch = finish(submit([chat_line("a-1"), without("url"), without("method")]))
    assert batch.errors is not None
    assert [error.line for error in batch.errors.data or []] == [2, 3]


def test_an_unknown_input_file_fails_the_batch_later(openai: OpenAI, finish: Finish) -> None:
    batch = openai.batches.create(
        input_file_id="file-nobody", endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert batch.status == "validating"
    batch = finish(batch)
    assert batch.errors is not None
    (error,) = batch.errors.data or []
    assert (error.code, error.param, error.line) == ("invalid_request", "file_id", None)
    assert (error.message or "").startswith("Cannot find file file-nobody")


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"endpoint": "/v1/nothing"}, "endpoint", "invalid_value"),
        ({"completion_window": "48h"}, "completion_window", "invalid_value"),
        ({"metadata": {"shard": 7}}, "metadata.shard", "invalid_type"),
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata", "object_above_max_properties"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}},
         "output_expires_after.seconds", "invalid_value"),
    ],
)  # fmt: skip
def test_a_bad_create_is_refused_at_once(
    openai: OpenAI, changes: dict[str, Any], param: str, code: str
) -> None:
    file = openai.files.create(file=("in.jsonl", jsonl(chat_lines(1))), purpose="batch")
    asked: Any = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **changes}
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.batches.create(input_file_id=file.id, **asked)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert list(openai.batches.list()) == []


def outcome(lines: list[Any], **options: Any) -> Batch:
    with (
        Emulator(frozen=True, **options) as emulator,
        OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client,
    ):
        file = client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        emulator.control.advance(DONE_SECONDS)
        return client.batches.retrieve(batch.id)


def codes(batch: Batch) -> list[str | None]:
    return [error.code for error in (batch.errors.data if batch.errors else None) or []]


def test_too_many_lines_or_bytes_fail_the_batch() -> None:
    assert codes(outcome(chat_lines(4), openai_max_requests=3)) == ["invalid_request"]
    assert codes(outcome(chat_lines(4), openai_max_bytes=100)) == ["invalid_request"]


def test_an_unknown_model_fails_the_batch() -> None:
    batch = outcome(chat_lines(1), unknown_models=frozenset({"gpt-4.1-mini"}))
    assert codes(batch) == ["model_not_found"]


def test_tokens_over_the_enqueued_limit_fail_the_batch_and_are_freed_when_others_end() -> None:
    assert codes(outcome(chat_lines(10), enqueued_tokens={"gpt-4.1-mini": 10})) == ["token_limit_exceeded"]
    assert outcome(chat_lines(10), enqueued_tokens={"gpt-4.1-mini": 10_000}).status == "completed"


def test_creates_beyond_the_hourly_limit_are_turned_away_until_the_hour_is_over() -> None:
    with (
        Emulator(frozen=True, creates_per_hour=2) as emulator,
        OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client,
    ):
        asked: Any = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        file = client.files.create(file=("in.jsonl", jsonl(chat_lines(1))), purpose="batch")
        for _ in range(2):
            client.batches.create(input_file_id=file.id, **asked)
        with pytest.raises(sdk.RateLimitError):
            client.batches.create(input_file_id=file.id, **asked)
        emulator.control.advance(3601)
        assert client.batches.create(input_file_id=file.id, **asked).status == "validating"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"top_p": 3}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": True}, "stream"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x y", "schema": {}}}},
         "response_format.json_schema.name"),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "x", "strict": True, "schema": {"type": "object", "properties": {}}}}},
         "response_format.json_schema"),
    ],
)  # fmt: skip
def test_a_bad_realtime_request_is_refused(openai: OpenAI, changes: dict[str, Any], param: str) -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.chat.completions.create(model="gpt-4.1-mini", messages=messages, **changes)
    assert caught.value.param == param


def test_reasoning_models_refuse_the_old_token_limit(openai: OpenAI) -> None:
    with pytest.raises(sdk.BadRequestError, match="max_completion_tokens"):
        openai.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "Hello"}], max_tokens=10
        )
