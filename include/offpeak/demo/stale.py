"""What a run that was killed left behind: its sessions are noted in the home and ended by the next one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from offpeak.demo.child import end_session, members

_FILE = "sessions.json"


def note_sessions(home: Path, sessions: Mapping[str, int]) -> None:
    """Write down which sessions belong to this home."""
    (home / _FILE).write_text(json.dumps(dict(sessions)))


def end_stale(home: Path) -> None:
    """End the noted sessions that still run in this home; a number that was given to others since is left alone."""
    file = home / _FILE
    if not file.exists():
        return
    for session in json.loads(file.read_text() or "{}").values():
        if any(_runs_in(pid, home) for pid in members(session)):
            end_session(session)
    file.unlink()


def _runs_in(pid: int, home: Path) -> bool:
    import psutil  # type: ignore[import-untyped]

    try:
        return Path(psutil.Process(pid).cwd()) == home
    except (psutil.Error, OSError):
        return False
