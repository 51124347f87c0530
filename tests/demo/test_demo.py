"""`make demo` and `make up` as a newcomer meets them: interrupted, run to the end, kept up."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.xdist_group("airflow")

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 400.0


class Screen:
    """A command of the newcomer's, and what it shows."""

    def __init__(self, project: Path, *arguments: str, **variables: str) -> None:
        self._project = project
        self._shown = project / "shown.txt"
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "OFFPEAK_"))
        }
        with self._shown.open("wb") as shown:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "offpeak.demo", *arguments],
                cwd=project,
                env={**env, **variables},
                stdout=shown,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        return self._shown.read_text(errors="replace")

    def until(self, phrase: str) -> None:
        self._wait(phrase, lambda: re.search(phrase, self.text) is not None)

    def end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self._process.send_signal(number)
        self._wait("its end", lambda: self._process.poll() is not None)
        return self._process.returncode

    def left_running(self) -> list[str]:
        """Whatever still works in the project's folder."""
        return [" ".join(process.cmdline()) for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return Path(process.cwd()).is_relative_to(self._project)
        except (psutil.Error, OSError):
            return False

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > until:
                self._process.terminate()
                pytest.fail(f"{what}: not within {SECONDS:.0f} s. The screen:\n{self.text}")
            if self._process.poll() is not None and what != "its end":
                pytest.fail(f"{what}: the command ended before with {self._process.returncode}:\n{self.text}")
            time.sleep(0.1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an odd name and the example's DAG."""
    folder = tmp_path_factory.mktemp("my projéct")
    shutil.copytree(ROOT / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def interrupted(project: Path) -> Screen:
    """A demo that was ended while its batch was at the provider."""
    screen = Screen(project, "run", "--nights", "1", OPENAI_API_KEY="sk-real-key-of-the-newcomer")
    screen.until(r"running · .* 0/\d batches ended")
    assert screen.end(signal.SIGTERM) == 130
    return screen


@pytest.mark.slow
def test_an_interrupted_demo_leaves_nothing_running(interrupted: Screen) -> None:
    assert "everything that was started has been ended" in interrupted.text
    assert interrupted.left_running() == []


@pytest.mark.slow
def test_the_demo_says_that_it_leaves_a_real_key_aside(interrupted: Screen) -> None:
    assert "never asks a real provider: OPENAI_API_KEY in your environment is left aside" in interrupted.text
    assert "sk-real-key" not in interrupted.text


def test_the_demo_shows_table_verdict_labels_money_and_report(project: Path) -> None:
    screen = Screen(project, "run", "--nights", "1")
    assert screen.end() == 0, screen.text
    shown = screen.text
    assert "(6,000 rows: 6,000 answered)" in shown
    assert len(re.findall(r"^T0000\d\d  ", shown, re.M)) == 10
    assert "The verdict of the checks: yes" in shown
    assert len(re.findall(r"^  ok  ", shown, re.M)) >= 5
    assert re.search(
        r"Against the known labels of 6,000 rows: intent \d\d\.\d% right, urgency \d\d\.\d% right", shown
    )
    assert re.search(
        r"ticket_triage: 5,\d\d\d requests for 6,000 rows .* in 3 batches: \$0\.\d+ at the prices of gpt-5-mini; "
        r"the same in realtime: \$0\.\d+",
        shown,
    )
    assert "Simulated money" in shown
    report = re.search(r"^The report: (.*)$", shown, re.M)
    assert report is not None
    assert Path(report[1]).is_file()
    assert "nothing is left running" in shown
    assert screen.left_running() == []


@pytest.mark.slow
def test_a_demo_that_fails_says_where_and_why_and_leaves_nothing_running(
    project: Path, interrupted: Screen
) -> None:
    rows = project / ".demo" / "store" / "tickets" / "sample.parquet"
    good = rows.read_bytes()
    rows.write_bytes(b"this is no parquet file")
    try:
        screen = Screen(project, "run", "--nights", "1")
        assert screen.end() == 1
    finally:
        rows.write_bytes(good)
    assert "of ticket_triage failed" in screen.text
    assert "sample.parquet" in screen.text.partition("of ticket_triage failed")[2]
    assert "task_id=plan" in screen.text
    assert screen.left_running() == []


@pytest.mark.slow
def test_up_keeps_airflow_up_until_ctrl_c(project: Path, interrupted: Screen) -> None:
    screen = Screen(project, "up")
    screen.until("Ctrl-C ends everything")
    address = re.search(r"Airflow: (\S+)   user admin   password \S+", screen.text)
    assert address is not None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address[1]}/api/v2/monitor/health", timeout=30) as answer:
        assert answer.status == 200
    assert "Asks:    the emulator" in screen.text
    assert screen.end(signal.SIGINT) == 0
    assert screen.left_running() == []


@pytest.mark.slow
def test_up_names_the_real_providers_that_it_would_ask(project: Path) -> None:
    screen = Screen(project, "up", OPENAI_API_KEY="sk-real-key-of-the-newcomer")
    screen.until("Ctrl-C ends everything")
    assert "REAL PROVIDERS, by OPENAI_API_KEY: runs cost money" in screen.text
    assert f"Store:   {project}/.up/store" in screen.text
    assert "sk-real-key" not in screen.text
    assert not list(project.glob(".up/emulator*"))
    assert screen.end(signal.SIGINT) == 0
    assert screen.left_running() == []
