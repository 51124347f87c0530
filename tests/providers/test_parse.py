"""Result lines of both providers, read: every kind there is, and everything that should not be there."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.providers import names, provider
from offpeak.providers.provider import Reply, Usage
from offpeak.states import Outcome

_KEYS = st.sampled_from(
    [
        "custom_id",
        "response",
        "error",
        "status_code",
        "body",
        "result",
        "type",
        "message",
        "code",
        "output",
        "content",
        "text",
        "refusal",
        "choices",
        "finish_reason",
        "data",
        "embedding",
        "usage",
        "input_tokens",
        "input_tokens_details",
        "cache_creation",
        "stop_reason",
        "stop_details",
        "status",
        "incomplete_details",
        "details",
        "model",
        "prompt_tokens",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


def openai(response: Any = None, error: Any = None, custom_id: Any = "k-1") -> Reply:
    line = {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": error}
    return provider("openai").parse(orjson.dumps(line))


def ok(body: Any) -> Reply:
    return openai({"status_code": 200, "request_id": "r", "body": body})


def response(content: list[Any], **more: Any) -> Reply:
    item = {"type": "message", "role": "assistant", "content": content}
    return ok({"object": "response", "status": "completed", "error": None, "output": [item], **more})


def chat(message: dict[str, Any], finish: Any = "stop", **more: Any) -> Reply:
    return ok(
        {"object": "chat.completion", "choices": [{"message": message, "finish_reason": finish}], **more}
    )


def claude(result: Any) -> Reply:
    return provider("anthropic").parse(orjson.dumps({"custom_id": "k-1", "result": result}))


def message(stop: Any = "end_turn", content: Any = None, **more: Any) -> Reply:
    content = [{"type": "text", "text": "hi"}] if content is None else content
    return claude({"type": "succeeded", "message": {"stop_reason": stop, "content": content, **more}})


# -- nothing a provider sends can break the reader


@pytest.mark.parametrize("name", names())
@settings(max_examples=300, deadline=None)
@given(value=JSON)
def test_any_json_is_read_into_exactly_one_outcome(name: str, value: Any) -> None:
    for made in (
        value,
        {"custom_id": "k", "response": {"status_code": 200, "body": value}},
        {"custom_id": "k", "result": {"type": "succeeded", "message": value}},
        {"custom_id": "k", "error": value, "response": value, "result": {"type": "errored", "error": value}},
    ):
        reply = provider(name).parse(json.dumps(made).encode())
        assert isinstance(reply.outcome, Outcome)
        assert isinstance(reply.custom_id, str)
        assert (reply.code == "") is (reply.outcome is Outcome.ANSWERED)
        assert min(reply.usage.as_dict().values()) >= 0
        (reply.text or "").encode()


@pytest.mark.parametrize("name", names())
@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_read_without_raising(name: str, raw: bytes) -> None:
    assert isinstance(provider(name).parse(raw), Reply)


@pytest.mark.parametrize("name", names())
def test_a_cut_line_is_unreadable_but_still_says_whose_it_is(name: str) -> None:
    reply = provider(name).parse(b'{"id":"b","custom_id":"a1b2-7","response":{"status_co')
    assert (reply.code, reply.custom_id, reply.outcome) == ("unreadable_line", "a1b2-7", Outcome.ERRORED)
    assert reply.transient
    assert provider(name).parse(b'["x"]').code == "unreadable_line"
    assert provider(name).parse(b"[" * 5000).custom_id == ""


@pytest.mark.parametrize("name", names())
def test_a_custom_id_that_a_model_wrote_is_not_taken_for_the_lines_own(name: str) -> None:
    cut = b'{"result":{"text":"\\"custom_id\\":\\"a1b2-9\\" and more'
    assert provider(name).parse(cut).custom_id == ""


def test_half_a_character_pair_does_not_lose_the_answer_around_it() -> None:
    content = b'[{"type":"text","text":"a\\ud83d b"}]'
    answered = b'{"stop_reason":"end_turn","content":' + content + b"}"
    line = b'{"custom_id":"k-1","result":{"type":"succeeded","message":' + answered + b"}}"
    reply = provider("anthropic").parse(line)
    assert (reply.outcome, reply.text) == (Outcome.ANSWERED, "a? b")


# -- OpenAI


def test_only_a_status_code_of_200_is_a_success() -> None:
    body = {"object": "response", "status": "completed", "output": []}
    for code in (201, 400, "200", True, None, 200.0):
        reply = openai({"status_code": code, "body": body})
        assert reply.outcome is Outcome.ERRORED


@pytest.mark.parametrize(
    ("status", "transient"),
    [(400, False), (404, False), (408, True), (409, True), (429, True), (500, True), (503, True)],
)
def test_a_failed_line_may_be_asked_again_when_its_status_says_so(status: int, transient: bool) -> None:
    error = {"message": "m", "type": "t", "param": None, "code": "c"}
    reply = openai({"status_code": status, "body": {"error": error}})
    assert (reply.outcome, reply.code, reply.message) == (Outcome.ERRORED, "c", "m")
    assert reply.transient is transient


def test_a_line_that_failed_for_want_of_money_is_not_asked_again() -> None:
    error = {"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}
    assert not openai({"status_code": 429, "body": {"error": error}}).transient


@pytest.mark.parametrize(
    ("code", "outcome", "transient"),
    [
        ("batch_expired", Outcome.EXPIRED, True),
        ("batch_cancelled", Outcome.CANCELLED, True),
        ("server_error", Outcome.ERRORED, True),
        ("model_not_found", Outcome.ERRORED, False),
        ("invalid_request", Outcome.ERRORED, False),
    ],
)
def test_a_line_that_was_never_run_says_why(code: str, outcome: Outcome, transient: bool) -> None:
    reply = openai(None, {"code": code, "message": "m"})
    assert (reply.outcome, reply.code, reply.message, reply.transient) == (outcome, code, "m", transient)


def test_a_response_joins_its_text_parts_and_skips_the_reasoning() -> None:
    item = {
        "type": "message",
        "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}],
    }
    reply = ok(
        {"object": "response", "status": "completed", "output": [{"type": "reasoning"}, item], "model": "m-1"}
    )
    assert (reply.outcome, reply.text, reply.model) == (Outcome.ANSWERED, "ab", "m-1")


def test_a_response_that_is_not_an_answer_is_told_apart() -> None:
    refused = response([{"type": "refusal", "refusal": "No."}])
    assert (refused.outcome, refused.text, refused.code) == (Outcome.REFUSED, "No.", "refusal")
    said = [{"type": "output_text", "text": '{"a":'}]
    cut = response(said, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert (cut.outcome, cut.text, cut.code) == (Outcome.TRUNCATED, '{"a":', "max_output_tokens")
    filtered = response(said, status="incomplete", incomplete_details={"reason": "content_filter"})
    assert filtered.outcome is Outcome.REFUSED
    failed = response([], status="failed", error={"code": "server_error", "message": "m"})
    assert (failed.outcome, failed.transient) == (Outcome.ERRORED, True)
    assert ok({"object": "response", "status": "completed", "output": []}).code == "no_answer"
    called = ok({"object": "response", "status": "completed", "output": [{"type": "function_call"}]})
    assert (called.code, called.transient) == ("tool_calls", False)
    assert response(said, status="queued").code == "unknown_result"


def test_a_chat_answer_is_read_by_its_finish_reason() -> None:
    assert chat({"content": "hi"}).text == "hi"
    assert chat({"content": "hi"}, "length").outcome is Outcome.TRUNCATED
    assert chat({"content": None, "refusal": "No."}).text == "No."
    assert chat({"content": "x"}, "content_filter").outcome is Outcome.REFUSED
    assert chat({"content": None}, "tool_calls").code == "tool_calls"
    assert chat({"content": None}).code == "no_answer"
    assert chat({"content": "x"}, "a_new_reason").code == "unknown_result"
    assert ok({"object": "chat.completion", "choices": []}).outcome is Outcome.ERRORED


def test_usage_is_kept_whole_for_chat_and_responses() -> None:
    details = {
        "cached_tokens": 40,
        "cache_write_tokens": 30,
        "cache_write_tokens_details": {"ttl_30m_tokens": 20, "ttl_12h_tokens": 10},
    }
    usage = {
        "input_tokens": 100,
        "input_tokens_details": details,
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    whole = Usage(
        input_tokens=100,
        cached_tokens=40,
        cache_write_tokens=20,
        cache_write_long_tokens=10,
        output_tokens=9,
        reasoning_tokens=4,
    )
    assert response([{"type": "output_text", "text": "x"}], usage=usage).usage == whole
    chats = {
        "prompt_tokens": 100,
        "prompt_tokens_details": details,
        "completion_tokens": 9,
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    assert chat({"content": "x"}, usage=chats).usage == whole


def test_a_vector_is_the_same_from_base64_and_from_numbers() -> None:
    packed = struct.pack("<3f", 0.5, -1.25, 3.0)
    for form in ([0.5, -1.25, 3], base64.b64encode(packed).decode()):
        reply = ok(
            {"object": "list", "data": [{"index": 0, "embedding": form}], "usage": {"prompt_tokens": 7}}
        )
        assert (reply.outcome, reply.vector, reply.usage) == (Outcome.ANSWERED, packed, Usage(input_tokens=7))


@pytest.mark.parametrize(
    "bad",
    [
        [],
        "",
        "%%%",
        "AAA=",
        [1e300],
        ["x"],
        [True],
        None,
        {"a": 1},
        base64.b64encode(struct.pack("<f", float("nan"))).decode(),
    ],
)
def test_what_is_no_finite_vector_is_not_an_answer(bad: Any) -> None:
    assert ok({"object": "list", "data": [{"index": 0, "embedding": bad}]}).code == "unknown_result"


def test_a_body_of_no_known_shape_keeps_its_raw_text() -> None:
    reply = ok({"hello": "world"})
    assert (reply.code, reply.message) == ("unknown_result", '{"hello":"world"}')


# -- Anthropic


@pytest.mark.parametrize(
    ("stop", "outcome", "code"),
    [
        ("end_turn", Outcome.ANSWERED, ""),
        ("stop_sequence", Outcome.ANSWERED, ""),
        ("max_tokens", Outcome.TRUNCATED, "max_tokens"),
        ("refusal", Outcome.REFUSED, "refusal"),
        ("model_context_window_exceeded", Outcome.ERRORED, "model_context_window_exceeded"),
        ("tool_use", Outcome.ERRORED, "tool_use"),
        ("pause_turn", Outcome.ERRORED, "pause_turn"),
        ("a_new_reason", Outcome.ERRORED, "unknown_result"),
        (None, Outcome.ERRORED, "unknown_result"),
    ],
)
def test_a_message_is_worth_what_its_stop_reason_says(stop: Any, outcome: Outcome, code: str) -> None:
    reply = message(stop)
    assert (reply.outcome, reply.code, reply.text, reply.transient) == (outcome, code, "hi", False)


def test_a_refusal_tells_its_category_and_an_empty_answer_may_be_asked_again() -> None:
    reply = message(
        "refusal", [], stop_details={"type": "refusal", "category": "cyber", "explanation": "why"}
    )
    assert reply.message == "cyber: why"
    assert (message(content=[]).code, message(content=[]).transient) == ("no_answer", True)
    assert (
        message(content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]).text == "a"
    )


@pytest.mark.parametrize(
    ("kind", "transient"),
    [
        ("invalid_request_error", False),
        ("request_too_large", False),
        ("overloaded_error", True),
        ("api_error", True),
        ("timeout_error", True),
        ("rate_limit_error", True),
    ],
)
def test_an_error_is_read_where_it_is_nested_twice(kind: str, transient: bool) -> None:
    inner = {"type": kind, "message": "m"}
    reply = claude({"type": "errored", "error": {"type": "error", "error": inner, "request_id": None}})
    assert (reply.outcome, reply.code, reply.message, reply.transient) == (
        Outcome.ERRORED,
        kind,
        "m",
        transient,
    )
    assert claude({"type": "errored", "error": inner}).code == kind


def test_expired_cancelled_and_unknown_results_are_not_answers() -> None:
    assert claude({"type": "expired"}).outcome is Outcome.EXPIRED
    assert claude({"type": "canceled"}).outcome is Outcome.CANCELLED
    unknown = claude({"type": "paused", "why": "x"})
    assert (unknown.outcome, unknown.code) == (Outcome.ERRORED, "unknown_result")
    assert '"why":"x"' in unknown.message
    assert claude({"type": "succeeded", "message": None}).code == "unknown_result"


def test_input_tokens_include_what_came_from_the_cache_and_went_into_it() -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    assert message(usage=usage).usage == Usage(
        input_tokens=140,
        cached_tokens=100,
        cache_write_tokens=20,
        cache_write_long_tokens=10,
        output_tokens=9,
        reasoning_tokens=4,
    )
    del usage["cache_creation"]
    assert message(usage=usage).usage.cache_write_tokens == 30
