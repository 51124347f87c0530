"""Memory: which allocator Arrow takes in a process of ours, and when nothing looks for garbage."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"


def keep_little() -> None:
    """Have Arrow give back what it frees. Called first of all in a process, since Arrow reads it when it is imported.

    Its own choice (mimalloc) held 70 MB more at its peak while rows streamed by. Whoever sets the variable
    decides.
    """
    on_linux = (
        platform.system() == "Linux" and platform.machine() == "x86_64"
    )  # where every build of Arrow has it
    os.environ.setdefault(_VARIABLE, "jemalloc" if on_linux else "system")


def give_back() -> None:
    """Have the C library return what it holds and nothing uses, between two steps that need room of other sizes.

    It kept 20 MB otherwise; where it is not glibc nothing is done.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without looks for cyclic garbage, for work that makes many objects and no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
