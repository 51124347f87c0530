"""What only Anthropic does: requests inside the create call, no name on a batch, one word for every end."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.blocks import lines_in
from offpeak.errors import ProviderBusy
from offpeak.providers.anthropic_batch import read_batch
from offpeak.providers.anthropic_client import create_body, create_body_bytes
from offpeak.providers.provider import AnswerForm
from offpeak.states import BatchStatus, Outcome
from tests.providers.making import OBJECT, Bench


def now(bench: Bench) -> datetime:
    return datetime.fromtimestamp(bench.emulator.control.state().now, UTC)


def shown(**counts: int) -> Any:
    return read_batch(
        {
            "id": "msgbatch_1",
            "processing_status": "ended",
            "created_at": "2026-11-22T08:00:00Z",
            "ended_at": "2026-11-22T09:00:00Z",
            "results_url": "https://somewhere.else.example/steal/results",
            "request_counts": counts,
        }
    )


def test_a_body_has_the_system_text_as_a_block_and_the_schema_as_output_config(anthropic: Bench) -> None:
    ask = anthropic.ask(OBJECT, params={"output_config": {"effort": "low"}})
    body = anthropic.provider.body(ask, system="S", user="U")
    assert body["system"] == [{"type": "text", "text": "S"}]
    assert body["messages"] == [{"role": "user", "content": "U"}]
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert anthropic.provider.line(ask, "t-1", body) == {"custom_id": "t-1", "params": body}


def test_limits_that_its_grammar_cannot_hold_are_told_in_words(anthropic: Bench) -> None:
    schema = {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "minimum": 1, "maximum": 5, "description": "How urgent."},
            "minimum": {"type": "string"},
        },
        "required": ["score", "minimum"],
        "additionalProperties": False,
    }
    ask = anthropic.ask(replace(OBJECT, schema=schema))
    assert anthropic.provider.problems(ask) == []
    sent = anthropic.provider.body(ask, system="", user="U")["output_config"]["format"]["schema"]
    assert sent["properties"]["score"] == {
        "type": "integer",
        "description": "How urgent. (maximum: 5, minimum: 1)",
    }
    assert sent["properties"]["minimum"] == {"type": "string"}
    assert schema["properties"]["score"]["minimum"] == 1  # type: ignore[index]


@pytest.mark.parametrize("key", ["temperature", "top_p", "top_k"])
def test_sampling_parameters_are_refused_with_the_reason(anthropic: Bench, key: str) -> None:
    (told,) = anthropic.provider.problems(anthropic.ask(params={key: 1}))
    assert "2026-10-21 refuses it" in told


def test_a_schema_that_refers_to_itself_is_a_problem_here(anthropic: Bench) -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["next"],
        "additionalProperties": False,
    }
    ask = anthropic.ask(replace(OBJECT, schema={**node, "$defs": {"Node": node}}))
    (told,) = anthropic.provider.problems(ask)
    assert "#/$defs/Node contains itself" in told


def test_vectors_are_sent_to_a_provider_that_has_them(anthropic: Bench) -> None:
    (told,) = anthropic.provider.problems(anthropic.ask(AnswerForm(kind="vector", dimensions=8)))
    assert "no embedding models" in told


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=40)), min_size=1, max_size=30),
    st.booleans(),
    st.integers(1, 50),
)
def test_a_create_body_holds_every_line_of_the_file_and_nothing_else(
    records: list[dict[str, str]], ended: bool, piece: int
) -> None:
    from offpeak.providers import anthropic_client

    text = b"\n".join(map(orjson.dumps, records)) + b"\n" * ended
    before = anthropic_client._PIECE_BYTES
    anthropic_client._PIECE_BYTES = piece
    try:
        sent = b"".join(create_body(io.BytesIO(text)))
    finally:
        anthropic_client._PIECE_BYTES = before
    assert orjson.loads(sent) == {"requests": records}


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_length_of_a_create_body_is_known_before_it_is_read(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":2}' + end)
    with path.open("rb") as file:
        assert len(b"".join(create_body(file))) == create_body_bytes(path)


@pytest.mark.parametrize(
    ("counts", "status", "completed", "not_completed"),
    [
        ({"succeeded": 3}, BatchStatus.COMPLETED, 3, 0),
        ({"succeeded": 2, "errored": 1}, BatchStatus.COMPLETED, 2, 1),
        ({"succeeded": 1, "expired": 2}, BatchStatus.EXPIRED, 1, 2),
        ({"succeeded": 1, "expired": 1, "canceled": 1}, BatchStatus.CANCELLED, 1, 2),
        ({"processing": 0}, BatchStatus.COMPLETED, 0, 0),
    ],
)
def test_which_end_it_was_is_read_from_the_counts(
    counts: dict[str, int], status: BatchStatus, completed: int, not_completed: int
) -> None:
    batch = shown(**counts)
    assert (batch.status, batch.completed, batch.failed) == (status, completed, not_completed)
    assert batch.total == sum(counts.values())


def test_results_are_only_asked_for_where_the_connection_says() -> None:
    assert shown(succeeded=1).result_files == ("/v1/messages/batches/msgbatch_1/results",)


def test_an_ended_batch_without_results_says_so() -> None:
    gone = read_batch(
        {
            "id": "msgbatch_1",
            "processing_status": "ended",
            "created_at": "2026-10-01T08:00:00Z",
            "archived_at": "2026-10-30T08:00:00Z",
            "results_url": None,
            "request_counts": {"succeeded": 3},
        }
    )
    assert gone is not None
    assert gone.result_files == ()
    assert "29 days" in gone.message


def test_an_unknown_type_of_result_is_no_answer(anthropic: Bench) -> None:
    anthropic.emulator.control.add_fault("unknown_result_type", custom_id="2$", params={"type": "paused"})
    client, _, batch_id = anthropic.created()
    anthropic.emulator.control.advance(60)
    replies = {
        r.custom_id: r for r in map(anthropic.provider.parse, lines_in(client.blocks(client.look(batch_id))))
    }
    assert (replies["a1b2-2"].outcome, replies["a1b2-2"].code) == (Outcome.ERRORED, "unknown_result")
    assert "paused" in replies["a1b2-2"].message


def test_a_live_batch_is_only_possible_and_two_of_them_are_both_told(anthropic: Bench) -> None:
    begun = now(anthropic)
    client, submission, ours = anthropic.created("a1b2")
    _, _, theirs = anthropic.created("ffff")
    anthropic.created("eeee", texts=["one row only"])
    live = client.find(submission, since=begun, owned=frozenset())
    assert live.proven == ()
    assert {batch.id for batch in live.possible} == {ours, theirs}
    assert [b.id for b in client.find(submission, since=begun, owned=frozenset({theirs})).possible] == [ours]
    anthropic.emulator.control.advance(60)
    ended = client.find(submission, since=begun, owned=frozenset())
    assert ([batch.id for batch in ended.proven], ended.possible) == ([ours], ())


def test_a_batch_whose_first_result_cannot_be_read_is_not_taken_for_anothers(anthropic: Bench) -> None:
    begun = now(anthropic)
    client, submission, _ = anthropic.created()
    anthropic.emulator.control.advance(60)
    anthropic.emulator.control.add_fault("truncated_results", times=-1, params={"share": 0.05})
    with pytest.raises(ProviderBusy):
        client.find(submission, since=begun, owned=frozenset())


def test_there_is_nothing_to_upload(anthropic: Bench) -> None:
    client, submission = anthropic.client(), anthropic.shard()
    assert client.upload(submission) is None
    assert client.find_upload(submission, since=now(anthropic)) is None
    client.discard_upload("none")
    assert anthropic.emulator.control.requests() == []
