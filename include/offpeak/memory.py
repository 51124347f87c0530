"""Memory: which allocator Arrow takes in a process of ours."""

from __future__ import annotations

import os
import platform

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
