"""The emulator as a process beside Airflow, and the connections that lead to it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from offpeak.demo.child import Child
from offpeak.demo.stale import end_stale, note_sessions
from offpeak.errors import OffpeakError

START_SECONDS = 60.0
RUNNING_SECONDS = 14
"""With two seconds before and after it, a batch takes about 18 seconds: enough to see it wait."""
KEY = "the-emulator-takes-any-key"
_BLINK_SECONDS = 0.1

CREDENTIALS = (
    *("AIRFLOW_CONN_OPENAI_DEFAULT", "AIRFLOW_CONN_ANTHROPIC_DEFAULT"),
    *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
)
"""Any of these, set, says that a user wants a real provider."""


@contextmanager
def emulator(home: Path, *, speed: float = 1.0) -> Iterator[str]:
    """The address of an emulator that runs for the length of the block."""
    home.mkdir(parents=True, exist_ok=True)
    end_stale(home)
    command = (
        *(sys.executable, "-m", "offpeak.emulator", "--port", "0"),
        *("--speed", str(speed), "--running-seconds", str(RUNNING_SECONDS)),
    )
    child = Child("emulator", command, log=home / "emulator.log", env=os.environ, cwd=home)
    note_sessions(home, {"emulator": child.session})
    try:
        yield _address(child)
    finally:
        child.end()
        note_sessions(home, {})


def _address(child: Child) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and child.exit_code is None:
        said = child.output()
        if said.startswith("http") and said.endswith("\n"):
            return said.splitlines()[0]
        time.sleep(_BLINK_SECONDS)
    raise OffpeakError(f"The emulator did not start. Its log {child.log}:\n{child.output()[-2_000:]}")


def towards(url: str, env: Mapping[str, str], *, key: str = KEY) -> dict[str, str]:
    """`env` with every provider replaced by the emulator at `url`: nothing in it leads to a real one."""
    clean = {
        name: value
        for name, value in env.items()
        if not name.startswith(("OPENAI_", "ANTHROPIC_", "AIRFLOW_CONN_"))
    }
    return {
        **clean,
        "AIRFLOW_CONN_OPENAI_DEFAULT": _connection("openai", f"{url}/v1", key),
        "AIRFLOW_CONN_ANTHROPIC_DEFAULT": _connection("anthropic", url, key),
    }


def _connection(kind: str, host: str, key: str) -> str:
    return json.dumps({"conn_type": kind, "host": host, "password": key})


def named_credentials(env: Mapping[str, str]) -> list[str]:
    """The variables in `env` that name a real provider's account."""
    return [name for name in CREDENTIALS if env.get(name, "").strip()]
