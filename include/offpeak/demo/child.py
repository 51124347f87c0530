"""A program of ours in a session of its own, so that nothing it started can outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 15.0
"""So long a program may take to leave after SIGTERM; afterwards its whole session is killed."""
_BLINK_SECONDS = 0.05


class Child:
    """One running program. Its output goes to the end of `log`.

    Airflow's components put their workers into process groups of their own, but never into another
    session: the session is what is ended.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._begin = output.tell()
            self._process = subprocess.Popen(  # noqa: S603  (the command is ours)
                list(command),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def session(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What it has written since it was started."""
        with self.log.open("rb") as file:
            file.seek(self._begin)
            return file.read().decode("utf-8", "replace")

    def ask_to_stop(self) -> None:
        """Send SIGTERM and return at once."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def end(self, *, patience_seconds: float = STOP_SECONDS) -> None:
        """Return when the program and everything it started are gone."""
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):  # killed with its session then
            self._process.wait(patience_seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the program and to everything it started; return when they are gone."""
        end_session(self.session)
        self._process.wait()


def end_session(session: int) -> None:
    """Kill every process of a session and wait until there is none."""
    while alive := members(session):
        for pid in alive:
            _kill(pid)
        time.sleep(_BLINK_SECONDS)


def members(session: int) -> list[int]:
    """The processes of a session that run. One that has ended but was not fetched by its parent does not count."""
    import psutil  # type: ignore[import-untyped]

    return [pid for pid in psutil.pids() if _session_of(pid) == session and not _is_zombie(pid)]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _is_zombie(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it was quicker
        os.kill(pid, signal.SIGKILL)
