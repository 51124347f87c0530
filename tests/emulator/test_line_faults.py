"""Faults that strike the answer of one line, and the table of all faults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI
from openai.types import Batch

from offpeak.emulator import FAULTS, Control
from tests.emulator.making import chat_line, chat_lines, message, messages

Submit = Callable[..., Batch]
Finish = Callable[[Batch], Batch]
LinesOf = Callable[[str | None], list[dict[str, Any]]]
Ended = Callable[[list[Any]], list[Any]]
SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"type": "string", "enum": ["refund", "card_lost"]},
        "summary": {"type": "string"},
    },
    "required": ["intent", "summary"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "ticket", "strict": True, "schema": SCHEMA}}


@pytest.fixture
def answer(submit: Submit, finish: Finish, lines_of: LinesOf) -> Callable[[], dict[str, Any]]:
    """The one choice of a batch of one structured line."""

    def answer() -> dict[str, Any]:
        batch = finish(submit([chat_line("r1-0", response_format=FORMAT)]))
        choice: dict[str, Any] = lines_of(batch.output_file_id)[0]["response"]["body"]["choices"][0]
        return choice

    return answer


Answer = Callable[[], dict[str, Any]]


def test_a_refusal_has_no_content(control: Control, answer: Answer, ended: Ended) -> None:
    control.add_fault("line_refusal", times=2)
    found = answer()["message"]
    assert found["content"] is None
    assert found["refusal"]
    (result,) = ended([message("r1-0")])
    assert (result.result.message.stop_reason, result.result.message.content) == ("refusal", [])


def test_a_truncated_answer_is_a_200_that_is_not_whole(
    control: Control, answer: Answer, ended: Ended
) -> None:
    control.add_fault("line_truncated", times=2)
    found = answer()
    assert found["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(found["message"]["content"])
    (result,) = ended([message("r1-0")])
    assert result.result.message.stop_reason == "max_tokens"


def test_an_answer_may_not_be_json_or_break_the_schema(control: Control, answer: Answer) -> None:
    control.add_fault("line_invalid_json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer()["message"]["content"])
    control.add_fault("line_schema_break")
    assert "intent" not in json.loads(answer()["message"]["content"])
    assert json.loads(answer()["message"]["content"])["intent"] == "card_lost"


def test_separators_stay_inside_their_line(control: Control, answer: Answer, ended: Ended) -> None:
    control.add_fault("line_separators", times=2)
    found = json.loads(answer()["message"]["content"])
    assert found["intent"] == "card_lost"
    assert {"\u2028", "\u2029", "\u0085"} <= set(found["summary"])
    (result,) = ended([message("r1-0")])
    assert "\u2028" in result.result.message.content[0].text


@pytest.mark.parametrize(("name", "status"), [("line_error_500", 500), ("line_error_400", 400)])
def test_a_failed_line_is_in_the_error_file_and_not_billed(
    control: Control, submit: Submit, finish: Finish, lines_of: LinesOf, name: str, status: int
) -> None:
    control.add_fault(name)
    batch = finish(submit(chat_lines(3)))
    (failed,) = lines_of(batch.error_file_id)
    assert failed["response"]["status_code"] == status
    assert len(lines_of(batch.output_file_id)) == 2
    assert control.state().billed["openai"].requests == 2


def test_an_unknown_result_type_reaches_the_client(control: Control, ended: Ended) -> None:
    control.add_fault("unknown_result_type", params={"type": "postponed"}, custom_id="-1$")
    kinds = {result.custom_id: result.result.type for result in ended(messages(3))}
    assert kinds == {"r1-0": "succeeded", "r1-1": "postponed", "r1-2": "succeeded"}


def test_a_share_of_lines_is_struck_by_hash_and_the_same_rows_each_time(
    control: Control, submit: Submit, finish: Finish, lines_of: LinesOf
) -> None:
    control.add_fault("line_error_500", times=-1, share=0.3)
    rounds = []
    for prefix in ("r1", "r2"):
        lines = [chat_line(f"{prefix}-{number}") for number in range(100)]
        failed = lines_of(finish(submit(lines)).error_file_id)
        rounds.append({line["custom_id"].split("-")[1] for line in failed})
    assert 15 <= len(rounds[0]) <= 45
    assert rounds[0] == rounds[1]


@pytest.mark.parametrize("once", ["custom_id", "body"])
def test_a_row_struck_once_is_spared_in_the_next_round(
    control: Control, submit: Submit, finish: Finish, once: str
) -> None:
    control.add_fault("line_error_500", times=-1, once=once)
    rounds = []
    for prefix in ("r1", "r2"):
        lines = [chat_line(f"{prefix}-{number}", f"Text {number}") for number in range(5)]
        counts = finish(submit(lines)).request_counts
        assert counts is not None
        rounds.append((counts.completed, counts.failed))
    assert rounds == [(0, 5), (5, 0)]


def test_realtime_requests_are_struck_too_if_the_path_says_so(
    control: Control, openai: OpenAI, submit: Submit, finish: Finish
) -> None:
    control.add_fault("line_error_500", path="/v1/chat/completions")
    assert finish(submit(chat_lines(1))).error_file_id is None
    asked: Any = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hello"}]}
    with pytest.raises(sdk.InternalServerError):
        openai.chat.completions.create(**asked)
    assert openai.chat.completions.create(**asked).choices


def test_the_table_is_served_and_every_fault_in_it_is_exercised_by_these_tests(control: Control) -> None:
    rows = control.faults()
    assert [row.name for row in rows] == list(FAULTS)
    assert all(row.what.endswith(".") for row in rows)
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*faults.py"))
    used = set(re.findall(r'"([a-z0-9_]+)"', here))
    assert FAULTS.keys() <= used
