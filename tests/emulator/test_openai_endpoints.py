"""OpenAI's own client, on every endpoint, against the emulator."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Batch
from pydantic import BaseModel

from offpeak.emulator import Control, Emulator
from tests.emulator.making import KEY, START, chat_line, chat_lines, jsonl

Submit = Callable[..., Batch]
Finish = Callable[[Batch], Batch]
LinesOf = Callable[[str | None], list[dict[str, Any]]]


def upload(openai: OpenAI, lines: list[Any], **options: Any) -> Any:
    return openai.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch", **options)


def test_an_uploaded_file_can_be_retrieved_listed_read_and_deleted(openai: OpenAI) -> None:
    lines = chat_lines(3)
    file = upload(openai, lines, expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.id.startswith("file-")
    assert file.bytes == len(jsonl(lines))
    assert file.expires_at == int(START) + 3600
    assert openai.files.retrieve(file.id) == file
    assert [found.id for found in openai.files.list(purpose="batch")] == [file.id]
    assert list(openai.files.list(purpose="vision")) == []
    assert openai.files.content(file.id).read() == jsonl(lines)
    assert openai.files.delete(file.id).deleted
    with pytest.raises(sdk.NotFoundError):
        openai.files.retrieve(file.id)


def test_files_are_listed_in_pages_newest_first(openai: OpenAI) -> None:
    ids = [upload(openai, chat_lines(1)).id for _ in range(5)]
    assert [file.id for file in openai.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in openai.files.list(limit=2, order="asc")] == ids


def test_a_file_is_gone_when_its_time_is_up(openai: OpenAI, control: Control) -> None:
    file = upload(openai, chat_lines(1), expires_after={"anchor": "created_at", "seconds": 3600})
    control.advance(3601)
    with pytest.raises(sdk.NotFoundError):
        openai.files.content(file.id)


def test_a_batch_is_answered_line_by_line_and_its_usage_is_their_sum(
    submit: Submit, finish: Finish, lines_of: LinesOf
) -> None:
    batch = finish(submit(chat_lines(20), metadata={"run": "r1"}))
    assert batch.status == "completed"
    assert batch.metadata == {"run": "r1"}
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed) == (20, 20)
    assert batch.error_file_id is None
    lines = lines_of(batch.output_file_id)
    bodies = {line["custom_id"]: line["response"]["body"] for line in lines}
    assert bodies.keys() == {f"r1-{number}" for number in range(20)}
    assert all(f"number {cid[3:]} " in b["choices"][0]["message"]["content"] for cid, b in bodies.items())
    assert batch.usage is not None
    assert batch.usage.total_tokens == sum(body["usage"]["total_tokens"] for body in bodies.values())
    assert batch.model == "emulated/gpt-4.1-mini"


def test_every_key_of_a_batch_is_on_the_wire(openai: OpenAI, submit: Submit) -> None:
    raw = openai.batches.with_raw_response.retrieve(submit(chat_lines(1)).id)
    found = json.loads(raw.text)
    assert found.keys() == set(Batch.model_fields)
    assert raw.headers["x-offpeak-emulator"] == "1"
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["content-type"] == "application/json"


def test_results_come_in_an_order_that_is_not_the_inputs_and_is_the_same_again(
    control: Control, submit: Submit, finish: Finish, lines_of: LinesOf
) -> None:
    first = [line["custom_id"] for line in lines_of(finish(submit(chat_lines(30))).output_file_id)]
    control.reset()
    again = [line["custom_id"] for line in lines_of(finish(submit(chat_lines(30))).output_file_id)]
    assert first != [f"r1-{number}" for number in range(30)]
    assert first == again


def test_batches_are_listed_newest_first_and_in_pages(openai: OpenAI, submit: Submit) -> None:
    ids = [submit(chat_lines(1)).id for _ in range(5)]
    assert [batch.id for batch in openai.batches.list(limit=2)] == ids[::-1]
    page = openai.batches.list(limit=2, after=ids[2])
    assert [batch.id for batch in page.data] == [ids[1], ids[0]]
    assert page.has_more is False


def test_an_unknown_batch_is_not_found(openai: OpenAI) -> None:
    with pytest.raises(sdk.NotFoundError, match="No batch found"):
        openai.batches.retrieve("batch_nobody")
    with pytest.raises(sdk.NotFoundError, match="No batch found"):
        openai.batches.cancel("batch_nobody")


def test_a_deleted_input_file_does_not_hurt_a_batch_that_has_it(
    openai: OpenAI, submit: Submit, finish: Finish
) -> None:
    batch = submit(chat_lines(2))
    openai.files.delete(batch.input_file_id)
    assert finish(batch).status == "completed"


def test_results_stream_to_a_file_with_their_length_announced(
    openai: OpenAI, submit: Submit, finish: Finish, tmp_path: Path
) -> None:
    output = finish(submit(chat_lines(500))).output_file_id
    assert output
    with openai.files.with_streaming_response.content(output) as response:
        assert int(response.headers["content-length"]) == openai.files.retrieve(output).bytes
        response.stream_to_file(tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == 500


def test_responses_and_embeddings_run_in_batches_too(
    submit: Submit, finish: Finish, lines_of: LinesOf
) -> None:
    responses = {"custom_id": "a-1", "method": "POST", "url": "/v1/responses"}
    batch = finish(
        submit([{**responses, "body": {"model": "gpt-5-mini", "input": "A card."}}], "/v1/responses")
    )
    body = lines_of(batch.output_file_id)[0]["response"]["body"]
    assert body["output"][-1]["content"][0]["text"] == "A card."
    assert body["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    vectors = {"custom_id": "a-1", "method": "POST", "url": "/v1/embeddings"}
    asked = {"model": "text-embedding-3-small", "input": ["one", "two"], "dimensions": 8}
    batch = finish(submit([{**vectors, "body": asked}], "/v1/embeddings"))
    data = lines_of(batch.output_file_id)[0]["response"]["body"]["data"]
    assert [(item["index"], len(item["embedding"])) for item in data] == [(0, 8), (1, 8)]


class Ticket(BaseModel):
    topic: str
    urgent: bool


def test_chat_answers_fit_the_schema_and_name_an_emulated_model(openai: OpenAI) -> None:
    found = openai.chat.completions.parse(
        model="gpt-5-mini", messages=[{"role": "user", "content": "It is urgent."}], response_format=Ticket
    )
    assert found.model == "emulated/gpt-5-mini"
    assert found.choices[0].message.parsed == Ticket(topic="It is urgent.", urgent=True)
    details = found.usage and found.usage.completion_tokens_details
    assert details is not None
    assert details.reasoning_tokens


def test_responses_answers_fit_the_schema(openai: OpenAI) -> None:
    found = openai.responses.parse(model="gpt-4.1-mini", input="Not now.", text_format=Ticket)
    assert found.output_parsed == Ticket(topic="Not now.", urgent=False)


def test_an_answer_over_its_token_limit_is_cut_and_says_so(openai: OpenAI) -> None:
    text = "A long sentence about a card that was lost in the street on a Monday."
    chat = openai.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": text}], max_completion_tokens=3
    )
    assert chat.choices[0].finish_reason == "length"
    assert chat.usage is not None
    assert chat.usage.completion_tokens == 3
    response = openai.responses.create(model="gpt-4.1-mini", input=text, max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


def test_embeddings_are_the_same_as_floats_and_as_base64(openai: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "text-embedding-3-small", "input": "a lost card", "dimensions": 16}
    floats = openai.embeddings.create(**asked, encoding_format="float").data[0].embedding
    default = openai.embeddings.create(**asked).data[0].embedding  # the client asks for base64
    assert floats == pytest.approx(default)
    assert sum(number**2 for number in floats) == pytest.approx(1.0)


def test_a_repeated_long_prefix_is_reported_as_cached_in_steps_of_128(openai: OpenAI) -> None:
    long = "The rules of the bank are as follows. " * 200
    asked: dict[str, Any] = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": long}]}
    cached = []
    for _ in range(2):
        usage = openai.chat.completions.create(**asked).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        cached.append(usage.prompt_tokens_details.cached_tokens or 0)
    assert cached[0] == 0
    assert cached[1] >= 1_024
    assert cached[1] % 128 == 0


def test_models_are_listed_for_each_client_in_its_own_shape(openai: OpenAI) -> None:
    assert all(model.id.startswith("emulated/") for model in openai.models.list())


def test_a_missing_key_is_refused(emulator: Emulator) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(emulator.openai_url + "/models")


def test_the_async_client_goes_the_same_way(emulator: Emulator, control: Control) -> None:
    async def go() -> list[dict[str, Any]]:
        async with AsyncOpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client:
            file = await client.files.create(file=("in.jsonl", jsonl(chat_lines(3))), purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            assert [found.id async for found in client.batches.list()] == [batch.id]
            await asyncio.to_thread(control.advance, 11)
            batch = await client.batches.retrieve(batch.id)
            content = await client.files.content(batch.output_file_id or "")
            vectors = await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
            assert len(vectors.data) == 2
            return [json.loads(line) for line in content.read().split(b"\n") if line]

    assert {line["custom_id"] for line in asyncio.run(go())} == {"r1-0", "r1-1", "r1-2"}


def test_lines_with_bad_parameters_fail_alone_while_the_batch_goes_on(
    submit: Submit, finish: Finish, lines_of: LinesOf
) -> None:
    batch = finish(submit([chat_line("a-1"), chat_line("a-2", temperature=9)]))
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    (failed,) = lines_of(batch.error_file_id)
    assert failed["error"] is None
    assert failed["response"]["status_code"] == 400
    assert failed["response"]["body"]["error"]["param"] == "temperature"
