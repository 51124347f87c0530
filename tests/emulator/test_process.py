"""The emulator as a program, its options, and many clients at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from openai import OpenAI

from offpeak.emulator import Control, Emulator
from tests.emulator.making import KEY, chat_lines, jsonl

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def program() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "offpeak.emulator", "--port", "0", "--speed", "60"]
    environment = {"PYTHONPATH": str(ROOT / "include")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_prints_its_address_serves_and_ends_cleanly(
    program: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    process, url = program
    assert url.startswith("http://127.0.0.1:")
    assert Control(url).state().speed == 60
    with OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        assert client.models.list().data
    process.send_signal(number)
    assert process.wait(10) == 0


def test_importing_the_emulator_loads_neither_the_server_nor_numpy() -> None:
    heavy = ["starlette", "uvicorn", "numpy", "openai", "anthropic", "airflow"]
    code = f"import sys, offpeak.emulator; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "include")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


def test_nothing_is_left_behind_when_the_block_ends() -> None:
    before = set(threading.enumerate())
    with Emulator(frozen=True) as emulator:
        url = emulator.url
        assert Control(url).state().batches == ()
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError, match="refused"):
        Control(url).state()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.openai_url


def test_many_clients_are_served_while_a_large_batch_is_worked_on(
    emulator: Emulator, control: Control
) -> None:
    with OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client:
        file = client.files.create(file=("in.jsonl", jsonl(chat_lines(5_000))), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        control.advance(11)

        def embed(number: int) -> int:
            found = client.embeddings.create(model="text-embedding-3-small", input=f"Text {number}")
            return len(found.data)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(embed, range(40))) == 40
        done = client.batches.retrieve(batch.id)
        assert done.request_counts is not None
        assert (done.status, done.request_counts.completed) == ("completed", 5_000)
    assert control.state().realtime["openai"].requests == 40
    assert control.state().billed["openai"].requests == 5_040


def test_a_reset_forgets_everything_but_the_options(emulator: Emulator, control: Control) -> None:
    with OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client:
        client.files.create(file=("in.jsonl", jsonl(chat_lines(1))), purpose="batch")
        control.add_fault("list_fails")
        control.advance(100)
        control.reset()
        assert client.files.list().data == []
        assert client.batches.list().data == []
    assert control.creates() == []
    assert control.struck() == {}
    assert control.state().frozen


def test_a_clock_with_a_speed_finishes_a_batch_by_itself() -> None:
    with Emulator(speed=100_000) as emulator, OpenAI(base_url=emulator.openai_url, api_key=KEY) as client:
        file = client.files.create(file=("in.jsonl", jsonl(chat_lines(3))), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        for _ in range(1_000):
            batch = client.batches.retrieve(batch.id)
            if batch.status == "completed":
                break
        assert batch.status == "completed"
