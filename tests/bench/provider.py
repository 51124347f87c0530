"""The emulator as a process of its own, so that its work is not counted as ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from offpeak.demo.emulated import towards

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 20.0


class Provider:
    """A running emulator."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    def cpu_seconds(self) -> float:
        """User and system time of the emulator so far."""
        used = psutil.Process(self._process.pid).cpu_times()
        return float(used.user + used.system)

    def env(self) -> dict[str, str]:
        """An environment in which every provider is this one, and no site is named."""
        given: Mapping[str, str] = {
            name: value for name, value in os.environ.items() if not name.startswith("OFFPEAK_")
        }
        return {**towards(self.url, given), "PYTHONPATH": str(ROOT)}


@contextmanager
def provider(*options: str) -> Iterator[Provider]:
    """An emulator for the length of the block, started with these options of `python -m offpeak.emulator`."""
    command = [sys.executable, "-m", "offpeak.emulator", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http"), f"the emulator did not start: {url!r}"
            yield Provider(process, url)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
