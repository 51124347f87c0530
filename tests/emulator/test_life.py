"""A batch's life as a function of the clock, at the wire and alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI
from openai.types import Batch

from offpeak.emulator import Control, Draw, Emulator, FixedLatency, Phases
from offpeak.emulator.clock import Clock
from offpeak.emulator.life import Life, Stage
from tests.emulator.making import KEY, START, chat_lines, jsonl

Submit = Callable[..., Batch]
LinesOf = Callable[[str | None], list[dict[str, Any]]]
DAY_SECONDS = 86_400


def counts(batch: Batch) -> tuple[int, int, int]:
    assert batch.request_counts is not None
    found = batch.request_counts
    return found.total, found.completed, found.failed


def looked_at(openai: OpenAI, batch: Batch, done: int) -> Batch:
    """The batch as soon as so many of its lines are answered in fact, too; the clock stands still meanwhile."""
    until = time.monotonic() + 20
    while True:
        batch = openai.batches.retrieve(batch.id)
        if counts(batch)[1] >= done or time.monotonic() > until:
            return batch


def test_a_batch_passes_through_its_stages_as_the_clock_is_turned(
    openai: OpenAI, control: Control, submit: Submit
) -> None:
    batch = submit(chat_lines(12))
    seen = [(batch.status, *counts(batch))]
    for seconds, done in ((2, 0), (3, 6), (3, 12), (2, 12)):
        control.advance(seconds)
        batch = looked_at(openai, batch, done)
        seen.append((batch.status, *counts(batch)))
    assert seen == [
        ("validating", 0, 0, 0),
        ("in_progress", 12, 0, 0),
        ("in_progress", 12, 6, 0),
        ("finalizing", 12, 12, 0),
        ("completed", 12, 12, 0),
    ]
    moments = (
        batch.created_at,
        batch.in_progress_at,
        batch.finalizing_at,
        batch.completed_at,
        batch.expires_at,
    )
    start = int(START)
    assert moments == (start, start + 2, start + 8, start + 10, start + DAY_SECONDS)


def test_a_cancelled_batch_keeps_its_finished_lines_and_no_others(
    openai: OpenAI, control: Control, submit: Submit, lines_of: LinesOf
) -> None:
    batch = submit(chat_lines(10))
    control.advance(5)
    batch = openai.batches.cancel(batch.id)
    assert (batch.status, batch.cancelling_at) == ("cancelling", int(START) + 5)
    assert batch.output_file_id is None
    control.advance(2)
    batch = openai.batches.retrieve(batch.id)
    assert (batch.status, batch.cancelled_at) == ("cancelled", int(START) + 7)
    assert counts(batch) == (10, 5, 0)
    assert len(lines_of(batch.output_file_id)) == 5
    assert openai.batches.cancel(batch.id).status == "cancelled"


def test_a_batch_that_ended_cannot_be_cancelled(openai: OpenAI, control: Control, submit: Submit) -> None:
    done, bad = submit(chat_lines(1)), submit([{**chat_lines(1)[0], "url": "/v1/responses"}])
    control.advance(11)
    for batch, status in ((done, "completed"), (bad, "failed")):
        with pytest.raises(sdk.ConflictError) as caught:
            openai.batches.cancel(batch.id)
        assert caught.value.body == {
            "message": f"Cannot cancel a batch with status '{status}'.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }


def test_a_batch_cancelled_while_validating_answers_nothing(
    openai: OpenAI, control: Control, submit: Submit
) -> None:
    batch = openai.batches.cancel(submit(chat_lines(4)).id)
    control.advance(10)
    batch = openai.batches.retrieve(batch.id)
    assert (batch.status, batch.output_file_id, counts(batch)) == ("cancelled", None, (4, 0, 0))


def test_a_slow_batch_expires_after_a_day_with_what_it_has(openai: OpenAI) -> None:
    slow = FixedLatency(validating_seconds=0, running_seconds=DAY_SECONDS * 2)
    with (
        Emulator(frozen=True, latency=slow) as emulator,
        OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client,
    ):
        file = client.files.create(file=("in.jsonl", jsonl(chat_lines(10))), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        emulator.control.advance(DAY_SECONDS - 1)
        assert client.batches.retrieve(batch.id).status == "in_progress"
        emulator.control.advance(1)
        batch = client.batches.retrieve(batch.id)
        assert (batch.status, counts(batch)) == ("expired", (10, 5, 5))
        assert client.files.content(batch.output_file_id or "").text.count("\n") == 5
        assert client.files.content(batch.error_file_id or "").text.count("batch_expired") == 5
        billed = emulator.control.state().billed["openai"]
        assert billed.requests == 5


def test_result_files_are_kept_for_their_time_and_no_longer(
    openai: OpenAI, control: Control, submit: Submit
) -> None:
    batch = submit(chat_lines(1), output_expires_after={"anchor": "created_at", "seconds": 3600})
    control.advance(11)
    output = openai.batches.retrieve(batch.id).output_file_id or ""
    assert openai.files.retrieve(output).expires_at == int(START) + 10 + 3600
    control.advance(3600)
    with pytest.raises(sdk.NotFoundError):
        openai.files.content(output)


class Lottery:
    """Every second batch is stuck: a latency of a test's own."""

    def phases(self, draw: Draw) -> Phases:
        running = math.inf if draw.number % 2 == 0 else 1.0
        return Phases(
            validating_seconds=0, running_seconds=running, finalizing_seconds=0, cancelling_seconds=0
        )


def test_latency_is_an_object_that_can_be_swapped_and_is_asked_once_a_batch() -> None:
    with (
        Emulator(frozen=True, latency=Lottery()) as emulator,
        OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client,
    ):
        file = client.files.create(file=("in.jsonl", jsonl(chat_lines(1))), purpose="batch")
        asked: Any = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        ids = [client.batches.create(input_file_id=file.id, **asked).id for _ in range(4)]
        emulator.control.advance(5)
        found = [client.batches.retrieve(batch_id).status for batch_id in ids]
        assert found == ["completed", "in_progress", "completed", "in_progress"]


PHASES = Phases(validating_seconds=2, running_seconds=6, finalizing_seconds=2, cancelling_seconds=2)


@pytest.mark.parametrize(
    ("now", "stage", "finished"),
    [(0, Stage.VALIDATING, 0), (2, Stage.IN_PROGRESS, 0), (5, Stage.IN_PROGRESS, 3), (8, Stage.FINALIZING, 6),
     (10, Stage.COMPLETED, 6), (10**9, Stage.COMPLETED, 6)],
)  # fmt: skip
def test_the_stage_follows_from_the_time_alone(now: float, stage: Stage, finished: int) -> None:
    life = Life(created_at=0, phases=PHASES, window_seconds=100, requests=6)
    assert (life.stage(now), life.finished(now)) == (stage, finished)


def test_a_clock_runs_at_its_speed_stands_still_and_jumps() -> None:
    real = [0.0]
    clock = Clock(start=100, speed=60, tick=lambda: real[0])
    real[0] = 1
    assert clock.now() == 160
    clock.freeze()
    real[0] = 50
    assert clock.now() == 160
    clock.advance(5)
    assert clock.now() == 165
    clock.freeze(False)
    clock.set_speed(2)
    real[0] = 51
    assert clock.now() == 167
    with pytest.raises(ValueError, match="advanced"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="positive"):
        clock.set_speed(0)
