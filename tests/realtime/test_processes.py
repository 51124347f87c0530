"""Workers in processes of their own, killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from offpeak.quota import RealtimeLimits
from offpeak.realtime import replies
from offpeak.realtime.segments import FLUSH_ANSWERS
from offpeak.states import Outcome, ShardState
from tests.realtime.making import Bench, bench, whole
from tests.run.making import Place

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


@contextmanager
def working(made: Bench, number: int = 1) -> Iterator[subprocess.Popen[str]]:
    """A process that asks the shard; killed at the end, if it still lives."""
    told = {
        "folder": str(made.place.folder),
        "url": made.place.emulator.url,
        "provider": made.place.provider,
        "ledger_url": made.place.ledger_url,
        "env": made.place.env,
        "shard_requests": made.workload.shard_requests,
        "run_id": made.run_id,
        "number": number,
    }
    command = [sys.executable, "-m", "tests.realtime.child", json.dumps(told)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for what the emulator sees, while the process lives."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def slow(made: Bench) -> None:
    """Each answer is billed a moment before it arrives."""
    params = {"pieces": 2, "pause_seconds": 0.1}
    made.place.emulator.control.add_fault("slow_body", path=made.path, times=-1, params=params)


@pytest.mark.parametrize(
    "killed_at", [pytest.param(1, marks=pytest.mark.slow), 75, pytest.param(200, marks=pytest.mark.slow)]
)
def test_after_a_kill_no_more_is_paid_twice_than_was_under_way_or_not_written_down(
    place: Place, killed_at: int
) -> None:
    made = bench(place, 300)
    slow(made)
    with working(made) as process:
        until(lambda: place.billed() >= killed_at, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    place.emulator.control.clear_faults()
    site = place.site()
    (shard,) = made.shards()
    assert shard.state is ShardState.SUBMITTING, "nobody let it go"
    before = {reply.custom_id for reply in replies(site, shard)}
    at_risk = RealtimeLimits().concurrency + FLUSH_ANSWERS
    billed = place.billed()
    assert billed - len(before) <= at_risk
    found = made.answer(site)  # at once: the dead process on this host holds nothing
    assert whole(found, made.ids(), shard.tag)
    assert all(reply.outcome is Outcome.ANSWERED for reply in found)
    assert place.billed() == billed + 300 - len(before) <= 300 + at_risk
