"""Faults that strike an HTTP call, each seen at the wire through the official clients."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anthropic as anthropic_sdk
import httpx2
import openai as sdk
import pytest
from anthropic import Anthropic
from openai import OpenAI
from openai.types import Batch

from offpeak.emulator import Control, Emulator
from tests.emulator.making import DONE_SECONDS, KEY, chat_lines, jsonl, messages

Submit = Callable[..., Batch]
Finish = Callable[[Batch], Batch]


def test_a_lost_response_leaves_a_batch_behind_and_a_retrying_client_makes_two(
    emulator: Emulator, control: Control, openai: OpenAI, submit: Submit
) -> None:
    control.add_fault("lost_response")
    with pytest.raises(sdk.APIConnectionError):
        submit(chat_lines(1))
    assert len(control.creates()) == 1
    assert [batch.id for batch in openai.batches.list()] == [control.creates()[0].batch_id]
    control.add_fault("lost_response")
    file = openai.files.create(file=("in.jsonl", jsonl(chat_lines(1))), purpose="batch")
    openai.with_options(max_retries=1).batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert len(control.creates()) == 3
    (seen,) = control.requests("POST", "/v1/batches")
    assert seen.by_retry == {"0": 2, "1": 1}
    assert seen.by_status == {"none": 2, "200": 1}


def test_a_lost_response_of_anthropic_can_be_recovered_by_count_and_custom_id(
    anthropic: Anthropic, control: Control
) -> None:
    control.add_fault("lost_response")
    with pytest.raises(anthropic_sdk.APIConnectionError):
        anthropic.messages.batches.create(requests=messages(3))
    (create,) = control.creates()
    (found,) = anthropic.messages.batches.list().data
    assert (found.id, found.request_counts.processing) == (create.batch_id, 3)
    assert create.custom_ids == ("r1-0", "r1-1", "r1-2")


def test_an_unreachable_provider_is_a_connection_error_and_nothing_was_done(
    control: Control, openai: OpenAI, anthropic: Anthropic
) -> None:
    control.add_fault("unreachable", times=2)
    with pytest.raises(sdk.APIConnectionError):
        openai.batches.list()
    with pytest.raises(anthropic_sdk.APIConnectionError):
        anthropic.messages.batches.create(requests=messages(1))
    assert control.creates() == []
    assert openai.batches.list().data == []


@pytest.mark.parametrize("seconds", [1, 130, 3600])
def test_a_rate_limit_says_how_long_to_wait(control: Control, openai: OpenAI, seconds: int) -> None:
    control.add_fault("rate_limited", params={"retry_after": seconds})
    with pytest.raises(sdk.RateLimitError) as caught:
        openai.batches.list()
    assert caught.value.response.headers["retry-after"] == str(seconds)
    assert caught.value.code == "rate_limit_exceeded"
    assert openai.batches.list().data == []


def test_a_used_up_quota_has_its_own_words_for_each_provider(
    control: Control, openai: OpenAI, anthropic: Anthropic
) -> None:
    control.add_fault("insufficient_quota", times=2)
    with pytest.raises(sdk.RateLimitError) as openais:
        openai.batches.list()
    assert openais.value.code == "insufficient_quota"
    with pytest.raises(anthropic_sdk.EnforcedSpendLimitReachedError) as anthropics:
        anthropic.messages.batches.list()
    assert "retry-after" not in anthropics.value.response.headers


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("server_error", 500, anthropic_sdk.InternalServerError),
        ("unavailable", 503, anthropic_sdk.ServiceUnavailableError),
        ("overloaded", 529, anthropic_sdk.OverloadedError),
    ],
)
def test_a_failing_server_answers_with_its_status(
    control: Control, openai: OpenAI, anthropic: Anthropic, name: str, status: int, kind: type[Exception]
) -> None:
    control.add_fault(name, times=2)
    with pytest.raises(sdk.InternalServerError) as caught:
        openai.models.list()
    assert caught.value.status_code == status
    with pytest.raises(kind):
        anthropic.models.list()


def test_x_should_retry_overrules_what_the_status_says(control: Control, openai: OpenAI) -> None:
    control.add_fault("http_error", params={"status": 400, "should_retry": True, "retry_after": 0.01})
    assert openai.with_options(max_retries=1).batches.list().data == []
    control.add_fault("server_error", params={"should_retry": False})
    with pytest.raises(sdk.InternalServerError):
        openai.with_options(max_retries=2).batches.list()
    assert control.count("GET", "/v1/batches") == 3


def test_a_bad_gateway_speaks_html(control: Control, openai: OpenAI) -> None:
    control.add_fault("bad_gateway")
    with pytest.raises(sdk.InternalServerError) as caught:
        openai.batches.list()
    assert caught.value.status_code == 502
    assert caught.value.response.headers["content-type"].startswith("text/html")


def test_a_page_in_place_of_the_answer_reaches_the_caller_as_text_though_the_batch_exists(
    control: Control, openai: OpenAI, submit: Submit
) -> None:
    control.add_fault("html_success", method="POST", path="/v1/batches")
    found: Any = submit(chat_lines(1))
    assert isinstance(found, str)
    assert found.startswith("<html>")
    assert len(openai.batches.list().data) == 1


def test_a_listed_key_is_refused_while_others_are_taken_and_is_never_shown(
    emulator: Emulator, control: Control, openai: OpenAI
) -> None:
    control.add_fault("bad_key", params={"key": "sk-revoked"}, times=-1)
    with pytest.raises(sdk.AuthenticationError):
        openai.with_options(api_key="sk-revoked").models.list()
    assert openai.models.list().data
    with sdk.DefaultHttpxClient() as client:
        assert "sk-revoked" not in client.get(emulator.url + "/_emulator/faults").text
    control.clear_faults()
    control.add_fault("bad_key")
    with pytest.raises(sdk.AuthenticationError):
        openai.models.list()


def test_a_batch_may_be_missing_for_one_call(control: Control, openai: OpenAI, submit: Submit) -> None:
    batch = submit(chat_lines(1))
    control.add_fault("not_found")
    assert openai.batches.list().data
    with pytest.raises(sdk.NotFoundError):
        openai.batches.retrieve(batch.id)
    assert openai.batches.retrieve(batch.id).id == batch.id


def test_a_download_that_is_reset_gives_a_part_and_then_an_error(
    control: Control, openai: OpenAI, submit: Submit, finish: Finish
) -> None:
    output = finish(submit(chat_lines(2_000))).output_file_id or ""
    control.add_fault("reset_download", params={"share": 0.5})
    got = b""

    def read() -> None:
        nonlocal got
        with openai.files.with_streaming_response.content(output) as response:
            for chunk in response.iter_bytes():
                got += chunk

    with pytest.raises((sdk.APIConnectionError, httpx2.TransportError)):
        read()
    whole = openai.files.content(output).read()
    assert 0 < len(got) < len(whole)
    assert whole.startswith(got)


def test_a_truncated_download_looks_complete_but_ends_in_mid_line(
    control: Control, openai: OpenAI, submit: Submit, finish: Finish
) -> None:
    output = finish(submit(chat_lines(50))).output_file_id or ""
    control.add_fault("truncated_results", params={"share": 0.7})
    cut, whole = openai.files.content(output).read(), openai.files.content(output).read()
    assert len(cut) == int(len(whole) * 0.7)
    assert whole.startswith(cut)


def test_anthropic_results_can_be_cut_and_reset_too(anthropic: Anthropic, control: Control) -> None:
    batch = anthropic.messages.batches.create(requests=messages(30))
    control.advance(DONE_SECONDS)
    control.add_fault("truncated_results")
    with pytest.raises(json.JSONDecodeError):
        list(anthropic.messages.batches.results(batch.id))
    assert len(list(anthropic.messages.batches.results(batch.id))) == 30


def test_a_slow_body_arrives_whole_but_late(
    control: Control, openai: OpenAI, submit: Submit, finish: Finish
) -> None:
    output = finish(submit(chat_lines(50))).output_file_id or ""
    whole = openai.files.content(output).read()
    control.add_fault("slow_body", params={"pieces": 4, "pause_seconds": 0.02})
    before = time.monotonic()
    assert openai.files.content(output).read() == whole
    assert time.monotonic() - before >= 0.06


def test_an_unknown_status_passes_through_to_the_client(
    control: Control, openai: OpenAI, anthropic: Anthropic, submit: Submit
) -> None:
    batch = submit(chat_lines(1))
    message_batch = anthropic.messages.batches.create(requests=messages(1))
    control.add_fault("unknown_status", params={"status": "hibernating"}, times=2)
    assert openai.batches.retrieve(batch.id).status == "hibernating"
    assert anthropic.messages.batches.retrieve(message_batch.id).processing_status == "hibernating"
    assert openai.batches.retrieve(batch.id).status == "validating"


def test_listing_fails_while_retrieving_works(
    control: Control, openai: OpenAI, anthropic: Anthropic, submit: Submit
) -> None:
    batch = submit(chat_lines(1))
    control.add_fault("list_fails", times=-1)
    for _ in range(3):
        with pytest.raises(sdk.InternalServerError):
            openai.batches.list()
    with pytest.raises(anthropic_sdk.InternalServerError):
        anthropic.messages.batches.list()
    assert openai.batches.retrieve(batch.id).id == batch.id
    assert control.struck() == {"list_fails": 4}


def test_a_fault_strikes_only_the_calls_it_matches_and_as_often_as_told(
    control: Control, openai: OpenAI, submit: Submit
) -> None:
    control.add_fault("server_error", times=2, method="GET", path="/v1/files")
    assert openai.models.list().data
    batch = submit(chat_lines(1))
    for _ in range(2):
        with pytest.raises(sdk.InternalServerError):
            openai.files.retrieve(batch.input_file_id)
    assert openai.files.retrieve(batch.input_file_id).id == batch.input_file_id


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "gremlin"},
        {"name": "server_error", "params": {"x": 1}},
        {"name": "server_error", "once": "x"},
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_the_reason(control: Control, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"gremlin|'x'"):
        control.add_fault(**wrong)
    assert control.struck() == {}


def test_no_call_fault_touches_the_control_paths(emulator: Emulator, control: Control) -> None:
    control.add_fault("unreachable", times=-1)
    assert control.state().speed == 1.0
    with pytest.raises(sdk.APIConnectionError):
        OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0).models.list()
