"""What only OpenAI does: files, metadata, two result files, batches that fail after they were accepted."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from offpeak.blocks import lines_in
from offpeak.errors import ProviderBusy, ProviderRefused
from offpeak.providers.openai_batch import read_batch
from offpeak.providers.provider import AnswerForm
from offpeak.states import BatchStatus, Outcome
from tests.providers.making import OBJECT, Bench

VECTOR = AnswerForm(kind="vector", dimensions=8)


def now(bench: Bench) -> datetime:
    return datetime.fromtimestamp(bench.emulator.control.state().now, UTC)


def shown(**changes: Any) -> Any:
    return read_batch({"id": "batch_1", "status": "completed", "created_at": 1_790_000_000, **changes})


def failed(*errors: dict[str, Any]) -> Any:
    return shown(status="failed", failed_at=1_790_000_009, errors={"object": "list", "data": list(errors)})


# -- requests


def test_each_endpoint_has_its_own_form_limit_and_address(openai: Bench) -> None:
    made = openai.provider
    responses = made.body(openai.ask(OBJECT), system="S", user="U")
    assert responses["text"]["format"]["strict"] is True
    assert (responses["instructions"], responses["input"], responses["max_output_tokens"]) == ("S", "U", 500)
    ask = openai.ask(OBJECT, endpoint="chat")
    chat = made.body(ask, system="S", user="U")
    assert chat["response_format"]["json_schema"]["name"] == "Label"
    assert chat["messages"] == [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    assert chat["max_completion_tokens"] == 500
    assert made.line(ask, "t-1", chat)["url"] == "/v1/chat/completions"
    vectors = openai.ask(VECTOR, model="text-embedding-3-small")
    assert made.body(vectors, system="", user="U") == {
        "model": "text-embedding-3-small",
        "input": "U",
        "encoding_format": "base64",
        "dimensions": 8,
    }


def test_a_parameter_beside_the_form_is_kept(openai: Bench) -> None:
    ask = openai.ask(OBJECT, params={"text": {"verbosity": "low"}, "reasoning": {"effort": "minimal"}})
    assert openai.provider.problems(ask) == []
    body = openai.provider.body(ask, system="", user="U")
    assert body["text"]["verbosity"] == "low"
    assert body["text"]["format"]["type"] == "json_schema"
    assert body["reasoning"] == {"effort": "minimal"}


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"params": {"text": {"format": {}}}}, "set by Offpeak from the workload"),
        ({"params": {"service_tier": "flex"}}, "not documented"),
        ({"params": {"max_tokens": 5}}, "max_output_tokens instead"),
        ({"max_output_tokens": 0}, "Allow at least 1"),
        ({"model": " "}, "The model is empty"),
        ({"endpoint": "embeddings"}, "cannot answer with a object. Use the endpoint responses or chat"),
        (
            {"form": AnswerForm(kind="vector", dimensions=4000), "model": "text-embedding-3-large"},
            "1 to 3072",
        ),
        (
            {"form": AnswerForm(kind="vector", dimensions=8), "model": "text-embedding-ada-002"},
            "1536 dimensions only",
        ),
        ({"form": replace(OBJECT, name="a b")}, "Rename it"),
    ],
)
def test_what_openai_would_refuse_is_named_with_its_cure(
    openai: Bench, changes: dict[str, Any], phrase: str
) -> None:
    told = openai.provider.problems(openai.ask(**{"form": OBJECT, **changes}))
    assert len(told) == 1
    assert phrase in told[0]


@pytest.mark.parametrize("endpoint", ["responses", "chat"])
def test_both_text_endpoints_run_as_batches(openai: Bench, endpoint: str) -> None:
    client, _, batch_id = openai.created(ask=openai.ask(OBJECT, endpoint=endpoint))
    openai.emulator.control.advance(60)
    replies = [openai.provider.parse(line) for line in lines_in(client.blocks(client.look(batch_id)))]
    assert [reply.outcome for reply in replies] == [Outcome.ANSWERED] * 3


def test_vectors_come_as_float32_in_batch_and_realtime_alike(openai: Bench) -> None:
    ask = openai.ask(VECTOR, model="text-embedding-3-small")
    client, _, batch_id = openai.created(ask=ask, texts=["My card is lost."])
    openai.emulator.control.advance(60)
    (batched,) = [openai.provider.parse(line) for line in lines_in(client.blocks(client.look(batch_id)))]
    body = openai.provider.body(ask, system="Sort.", user="My card is lost.")
    live = client.ask(ask, "t-1", body)
    assert batched.vector == live.vector
    numbers = struct.unpack("<8f", batched.vector or b"")
    assert math.isclose(sum(x * x for x in numbers), 1, rel_tol=1e-3)
    assert batched.usage.input_tokens > 0


# -- the batch object


def test_an_empty_error_file_id_is_no_file(openai: Bench) -> None:
    assert shown(output_file_id="file-1", error_file_id="").result_files == ("file-1",)
    assert shown(output_file_id=None, error_file_id="file-2").result_files == ("file-2",)
    openai.emulator.control.add_fault("empty_error_file_id")
    client, _, batch_id = openai.created()
    openai.emulator.control.advance(60)
    batch = client.look(batch_id)
    assert len(batch.result_files) == 1
    assert len(list(lines_in(client.blocks(batch)))) == 3


def test_both_result_files_are_read(openai: Bench) -> None:
    openai.emulator.control.add_fault("line_error_500", custom_id="2$")
    client, _, batch_id = openai.created()
    openai.emulator.control.advance(60)
    batch = client.look(batch_id)
    assert (len(batch.result_files), batch.completed, batch.failed) == (2, 2, 1)
    assert len(list(lines_in(client.blocks(batch)))) == 3


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        ({"code": "token_limit_exceeded", "message": "Enqueued token limit reached for gpt-5"}, True),
        ({"code": "invalid_request", "param": "file_id", "message": "Cannot find file file-1, or ..."}, True),
        ({"code": "server_error", "message": "m"}, True),
        ({"code": "duplicate_custom_id", "line": 7, "message": "m"}, False),
        ({"code": "a_new_code", "message": "m"}, False),
        ({"code": "billing_hard_limit_reached", "message": "m"}, False),
    ],
)
def test_a_failed_batch_may_be_submitted_again_only_when_its_file_is_not_to_blame(
    error: dict[str, Any], transient: bool
) -> None:
    batch = failed(error)
    assert (batch.status, batch.transient, batch.code) == (BatchStatus.FAILED, transient, error["code"])
    assert not failed(error, {"code": "invalid_json_line", "line": 3, "message": "x"}).transient


def test_a_failed_batch_says_which_line_and_how_many_more() -> None:
    errors = [{"code": "invalid_url", "line": n, "param": "url", "message": "bad"} for n in range(1, 9)]
    batch = failed(*errors)
    assert batch.message.startswith("line 1: invalid_url (url): bad; line 2:")
    assert batch.message.endswith("and 3 more")
    assert failed().message == "The provider gave no reason."


def test_an_object_that_lacks_what_a_batch_has_is_no_batch() -> None:
    assert read_batch({"id": "batch_1", "status": "completed"}) is None
    assert read_batch({"status": "completed", "created_at": 1}) is None
    assert shown(request_counts=None, errors=None).total == 0
    assert shown(status=7) is None


def test_a_full_queue_fails_the_batch_for_now_and_a_duplicate_id_for_good(openai: Bench) -> None:
    openai.emulator.control.add_fault("token_limit_exceeded")
    client, submission, batch_id = openai.created()
    openai.emulator.control.advance(60)
    assert client.look(batch_id).transient
    text = submission.path.read_text().replace("a1b2-2", "a1b2-1")
    submission.path.write_text(text)
    again = client.create(openai.uploaded(submission, client))
    openai.emulator.control.advance(60)
    seen = client.look(again.id)
    assert (seen.status, seen.transient, seen.code) == (BatchStatus.FAILED, False, "duplicate_custom_id")
    assert "line 2" in seen.message


def test_a_full_queue_told_at_the_create_is_busy(openai: Bench) -> None:
    client = openai.client()
    submission = openai.uploaded(openai.shard(), client)
    told = {"status": 400, "message": "Enqueued token limit reached for gpt-5-mini"}
    openai.emulator.control.add_fault("http_error", params=told, method="POST")
    with pytest.raises(ProviderBusy, match="Enqueued token limit"):
        client.create(submission)


# -- files and finding


def test_a_batch_carries_what_finds_it_again(openai: Bench) -> None:
    client = openai.client()
    submission = replace(openai.uploaded(openai.shard(), client), run_id="r" * 600)
    client.create(submission)
    metadata = openai.emulator.control.creates()[0].metadata or {}
    assert (metadata["tag"], metadata["shard"], metadata["round"]) == ("a1b2", "3", "1")
    assert len(metadata["run_id"]) == 512
    assert metadata["run_id"].startswith("rrr")


def test_a_batch_is_also_found_by_the_file_it_was_made_from(openai: Bench) -> None:
    client, submission, batch_id = openai.created()
    other = replace(submission, tag="0000")
    assert [batch.id for batch in client.find(other, since=now(openai), owned=frozenset()).proven] == [
        batch_id
    ]
    other = replace(other, upload_id=None)
    assert client.find(other, since=now(openai), owned=frozenset()).proven == ()


def test_an_upload_that_was_not_recorded_is_found_by_name_and_size(openai: Bench) -> None:
    client, submission = openai.client(), openai.shard()
    file_id = client.upload(submission)
    assert client.find_upload(submission, since=now(openai)) == file_id
    assert client.find_upload(replace(submission, size_bytes=1), since=now(openai)) is None
    assert client.find_upload(replace(submission, tag="0000"), since=now(openai)) is None


def test_a_file_is_deleted_once_and_deleting_it_again_is_fine(openai: Bench) -> None:
    client, submission = openai.client(), openai.shard()
    file_id = client.upload(submission) or ""
    client.discard_upload(file_id)
    assert openai.emulator.control.state().files == 0
    client.discard_upload(file_id)
    assert client.find_upload(submission, since=now(openai)) is None


def test_a_create_without_an_upload_is_refused_before_anything_is_sent(openai: Bench) -> None:
    with pytest.raises(ProviderRefused, match="Upload it first"):
        openai.client().create(openai.shard())
    assert openai.emulator.control.count("POST", "/v1/batches") == 0
