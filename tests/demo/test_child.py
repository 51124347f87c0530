"""Programs of ours, and that none of them outlives us."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from offpeak.demo.child import Child, members
from offpeak.demo.stale import end_stale, note_sessions

STUBBORN = """
import os, signal, subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
"""Ignores SIGTERM, and has a child in a process group of its own, as Airflow's supervisors do."""


@pytest.fixture
def stubborn(tmp_path: Path) -> Child:
    child = Child(
        "stubborn", [sys.executable, "-c", STUBBORN], log=tmp_path / "log", env=os.environ, cwd=tmp_path
    )
    _until(lambda: "ready" in child.output())
    return child


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "not within 30 s"
        time.sleep(0.02)


def test_ending_a_program_also_ends_what_it_put_into_other_process_groups(stubborn: Child) -> None:
    assert len(members(stubborn.session)) == 2
    stubborn.end(patience_seconds=0.1)
    assert members(stubborn.session) == []
    assert stubborn.exit_code == -9


def test_a_program_that_leaves_when_asked_is_not_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('hello')"]
    child = Child("willing", command, log=tmp_path / "log", env=os.environ, cwd=tmp_path)
    _until(lambda: child.exit_code is not None)
    child.end()
    assert (child.exit_code, child.output()) == (0, "hello\n")


def test_what_a_killed_demo_left_behind_is_ended_by_the_next_one(stubborn: Child, tmp_path: Path) -> None:
    note_sessions(tmp_path, {"stubborn": stubborn.session})
    end_stale(tmp_path)
    assert members(stubborn.session) == []


def test_a_session_that_runs_elsewhere_is_left_alone(stubborn: Child, tmp_path: Path) -> None:
    other = tmp_path / "other home"
    other.mkdir()
    note_sessions(other, {"scheduler": stubborn.session})
    end_stale(other)
    assert len(members(stubborn.session)) == 2
    stubborn.kill()
