"""One emulator for the whole folder, fresh for each test, with a clock that the test turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI
from openai.types import Batch

from offpeak.emulator import Control, Emulator
from tests.emulator.making import DONE_SECONDS, KEY, START, jsonl


@pytest.fixture(scope="session")
def server() -> Iterator[Emulator]:
    with Emulator(frozen=True, start=START) as running:
        yield running


@pytest.fixture
def emulator(server: Emulator) -> Emulator:
    server.control.reset()
    return server


@pytest.fixture
def control(emulator: Emulator) -> Control:
    return emulator.control


@pytest.fixture
def openai(emulator: Emulator) -> Iterator[OpenAI]:
    with OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def anthropic(emulator: Emulator) -> Iterator[Anthropic]:
    with Anthropic(base_url=emulator.anthropic_url, api_key=KEY, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def submit(openai: OpenAI) -> Callable[..., Batch]:
    """Uploads lines and creates a batch of them."""

    def submit(lines: list[Any], endpoint: Any = "/v1/chat/completions", **options: Any) -> Batch:
        file = openai.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
        return openai.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", **options
        )

    return submit


@pytest.fixture
def finish(openai: OpenAI, control: Control) -> Callable[[Batch], Batch]:
    """Turns the clock until a batch is done, and retrieves it."""

    def finish(batch: Batch) -> Batch:
        control.advance(DONE_SECONDS)
        return openai.batches.retrieve(batch.id)

    return finish


@pytest.fixture
def lines_of(openai: OpenAI) -> Callable[[str | None], list[dict[str, Any]]]:
    """The lines of a result file, split on line feeds only."""

    def lines_of(file_id: str | None) -> list[dict[str, Any]]:
        if not file_id:
            return []
        return [json.loads(line) for line in openai.files.content(file_id).read().split(b"\n") if line]

    return lines_of


@pytest.fixture
def ended(anthropic: Anthropic, control: Control) -> Callable[[list[Any]], list[Any]]:
    """Runs requests as a batch to its end and gives the results."""

    def ended(requests: list[Any]) -> list[Any]:
        batch = anthropic.messages.batches.create(requests=requests)
        control.advance(DONE_SECONDS)
        return list(anthropic.messages.batches.results(batch.id))

    return ended
