"""Holders of leases: `host:pid:random`. Whether the process of one is known to be gone."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def here() -> str:
    """This host, and its process numbering where the system tells: two containers may share a host's name
    but not its process ids, and a live worker in the other must never look dead from here."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace.removeprefix('pid:[').rstrip(']')}"


def is_gone(holder: str) -> bool:
    """True only when the holder was a process of this host that no longer runs; anything else is doubt."""
    host, _, rest = holder.partition(":")
    pid = rest.partition(":")[0]
    if host not in {here(), socket.gethostname()} or not pid.isdecimal() or int(pid) == 0:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return _is_zombie(pid)


def _is_zombie(pid: str) -> bool:
    """Whether the process has ended and only waits for its parent to notice, which may take for ever."""
    try:
        # the state stands after the name, which is in parentheses and may hold any character
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in (b"Z", b"X")
