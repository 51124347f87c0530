"""Faults that strike a whole batch, decided when it is created."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import anthropic as anthropic_sdk
import openai as sdk
import pytest
from anthropic import Anthropic
from openai import OpenAI
from openai.types import Batch

from offpeak.emulator import Control
from tests.emulator.making import chat_lines, messages

Submit = Callable[..., Batch]
Finish = Callable[[Batch], Batch]
LinesOf = Callable[[str | None], list[dict[str, Any]]]
Ended = Callable[[list[Any]], list[Any]]
DAY_SECONDS = 86_400


def first_error(batch: Batch) -> Any:
    assert batch.status == "failed"
    assert batch.errors is not None
    return (batch.errors.data or [])[0]


def ids_of(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(line["custom_id"] for line in lines)


def test_a_new_batch_may_be_unknown_for_a_while(
    control: Control, openai: OpenAI, anthropic: Anthropic, submit: Submit
) -> None:
    control.add_fault("not_found_early", params={"for_seconds": 30}, times=2)
    batch, other = submit(chat_lines(1)), anthropic.messages.batches.create(requests=messages(1))
    with pytest.raises(sdk.NotFoundError):
        openai.batches.retrieve(batch.id)
    with pytest.raises(anthropic_sdk.NotFoundError):
        anthropic.messages.batches.retrieve(other.id)
    control.advance(30)
    assert openai.batches.retrieve(batch.id).status == "completed"
    assert anthropic.messages.batches.retrieve(other.id).processing_status == "ended"


def test_a_new_batch_may_show_up_late_in_the_list(
    control: Control, openai: OpenAI, anthropic: Anthropic, submit: Submit
) -> None:
    control.add_fault("late_in_list", times=2)
    batch, other = submit(chat_lines(1)), anthropic.messages.batches.create(requests=messages(1))
    assert openai.batches.retrieve(batch.id).id == batch.id
    assert openai.batches.list().data == []
    assert anthropic.messages.batches.list().data == []
    control.advance(60)
    assert [found.id for found in openai.batches.list()] == [batch.id]
    assert [found.id for found in anthropic.messages.batches.list()] == [other.id]


def test_a_clean_batch_may_have_an_empty_error_file_id(
    control: Control, submit: Submit, finish: Finish
) -> None:
    control.add_fault("empty_error_file_id")
    assert finish(submit(chat_lines(1))).error_file_id == ""
    assert finish(submit(chat_lines(1))).error_file_id is None


def test_a_batch_whose_lines_all_fail_completes_without_an_output_file(
    control: Control, submit: Submit, finish: Finish, lines_of: LinesOf, ended: Ended
) -> None:
    control.add_fault("all_failed", times=2)
    batch = finish(submit(chat_lines(4)))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert [line["response"]["status_code"] for line in lines_of(batch.error_file_id)] == [500] * 4
    assert control.state().billed["openai"].requests == 0
    assert {result.result.type for result in ended(messages(3))} == {"errored"}


def test_lines_may_be_missing_doubled_or_foreign(
    control: Control, submit: Submit, finish: Finish, lines_of: LinesOf, ended: Ended
) -> None:
    for name, lines in (("missing_line", 2), ("duplicated_line", 1), ("foreign_line", 1)):
        control.add_fault(name, params={"lines": lines}, times=2)
    sent = {line["custom_id"] for line in chat_lines(10)}
    found = Counter(line["custom_id"] for line in lines_of(finish(submit(chat_lines(10))).output_file_id))
    assert len(sent - found.keys()) == 2
    assert [custom_id for custom_id, times in found.items() if times > 1] != []
    assert found.keys() - sent == {"foreign-1"}
    results = Counter(result.custom_id for result in ended(messages(10)))
    assert (len(sent - results.keys()), max(results.values())) == (2, 2)
    assert results.keys() - sent == {"foreign-1"}


def test_the_inputs_order_can_be_asked_for(
    control: Control, submit: Submit, finish: Finish, lines_of: LinesOf
) -> None:
    control.add_fault("input_order")
    found = lines_of(finish(submit(chat_lines(20))).output_file_id)
    assert [line["custom_id"] for line in found] == [f"r1-{number}" for number in range(20)]


def test_the_token_limit_and_an_unreadable_file_fail_one_batch_and_not_the_next(
    control: Control, submit: Submit, finish: Finish
) -> None:
    control.add_fault("token_limit_exceeded")
    limit = first_error(finish(submit(chat_lines(1))))
    assert (limit.code, limit.line, limit.param) == ("token_limit_exceeded", None, None)
    assert limit.message.startswith("Enqueued token limit reached for gpt-4.1-mini")
    control.add_fault("file_not_accessible")
    batch = submit(chat_lines(1))
    access = first_error(finish(batch))
    assert (access.code, access.param) == ("invalid_request", "file_id")
    assert access.message.startswith(f"Cannot find file {batch.input_file_id}")
    assert finish(submit(chat_lines(1))).status == "completed"


def test_a_batch_can_fail_with_any_code(control: Control, submit: Submit, finish: Finish) -> None:
    control.add_fault("batch_failed")
    assert first_error(finish(submit(chat_lines(1)))).code == "billing_hard_limit_reached"
    control.add_fault("batch_failed", params={"code": "new_code", "message": "Why."})
    assert first_error(finish(submit(chat_lines(1)))).message == "Why."


@pytest.mark.parametrize("generic", [False, True])
def test_a_batch_may_expire_with_a_share_of_its_lines_done(
    control: Control, openai: OpenAI, submit: Submit, lines_of: LinesOf, generic: bool
) -> None:
    control.add_fault("expired_partial", params={"share": 0.3})
    if generic:
        control.add_fault("generic_expiry_error")
    batch = submit(chat_lines(10))
    control.advance(DAY_SECONDS)
    batch = openai.batches.retrieve(batch.id)
    assert batch.status == "expired"
    done, rest = lines_of(batch.output_file_id), lines_of(batch.error_file_id)
    assert ids_of(done + rest) == sorted(line["custom_id"] for line in chat_lines(10))
    assert len(done) == pytest.approx(3, abs=1)
    assert {line["error"]["code"] for line in rest} == {"server_error" if generic else "batch_expired"}
    assert all(line["response"] is None for line in rest)
    assert control.state().billed["openai"].requests == len(done)


@pytest.mark.parametrize(("generic", "kind"), [(False, "expired"), (True, "errored")])
def test_anthropic_batches_expire_in_part_too(
    control: Control, anthropic: Anthropic, generic: bool, kind: str
) -> None:
    control.add_fault("expired_partial")
    if generic:
        control.add_fault("generic_expiry_error")
    batch = anthropic.messages.batches.create(requests=messages(10))
    control.advance(DAY_SECONDS)
    found = Counter(result.result.type for result in anthropic.messages.batches.results(batch.id))
    assert found.keys() == {"succeeded", kind}
    assert found["succeeded"] == pytest.approx(5, abs=1)


@pytest.mark.parametrize("stage", ["validating", "in_progress"])
def test_a_stuck_batch_stays_where_it_is_until_it_expires_or_is_cancelled(
    control: Control, openai: OpenAI, submit: Submit, stage: str
) -> None:
    control.add_fault("stuck", params={"stage": stage}, times=2)
    left, cancelled = submit(chat_lines(2)), submit(chat_lines(2))
    control.advance(DAY_SECONDS / 2)
    assert openai.batches.retrieve(left.id).status == stage
    openai.batches.cancel(cancelled.id)
    control.advance(DAY_SECONDS / 2)
    assert openai.batches.retrieve(left.id).status == "expired"
    assert openai.batches.retrieve(cancelled.id).status == "cancelled"
    assert control.state().billed["openai"].requests == 0
