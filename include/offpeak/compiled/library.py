"""The compiled code: where it lies, and how it is called. Without it all is done in Python, with the same results.

`make install` compiles it (see compile.py) for this environment. Its name tells of which source it was made, so that
what an older source says is never loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

UNITS = tuple(Path(__file__).with_name(name) for name in ("reader.c", "requests.c"))
SOURCES = (
    *UNITS,
    *(Path(__file__).with_name(name) for name in ("vectors.h", "scan.h", "blake2b.h", "lanes.h")),
)
SWITCH = "OFFPEAK_COMPILED"
"""Environment variable: `no` leaves the compiled code unused, a path names another file of it."""


class NodeOfC(ctypes.Structure):
    """Node in reader.c."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("kind", "flags", "child", "children", "name", "name_bytes")),
        *((name, ctypes.c_int32) for name in ("column", "unused")),
        *((name, ctypes.c_int64) for name in ("low", "high")),
        *((name, ctypes.c_double) for name in ("real_low", "real_high")),
    )


class ColumnOfC(ctypes.Structure):
    """Column in reader.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("values", "ends", "valid")),
        *((name, ctypes.c_int64) for name in ("count", "used")),
    )


class PartOfC(ctypes.Structure):
    """Part in requests.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("data", "ends")),
        *((name, ctypes.c_int64) for name in ("bytes", "is_escaped")),
    )


def place() -> Path:
    """Where this environment has what these sources make, whether it is there or not."""
    source = hashlib.blake2b(b"\0".join(path.read_bytes() for path in SOURCES), digest_size=8).hexdigest()
    name = f"offpeak-{sys.platform}-{platform.machine()}-{source}.so"
    return Path(sys.prefix) / "lib" / "offpeak" / name


@cache
def library() -> ctypes.CDLL | None:
    """The compiled code, None where there is none, or where it is switched off."""
    named = os.environ.get(SWITCH, "")
    if named == "no" or sys.byteorder != "little":
        return None
    return loaded(Path(named) if named else place())


def loaded(path: Path) -> ctypes.CDLL | None:
    """The compiled code in this file, None where there is none that this system runs."""
    if not path.exists():
        return None
    try:
        found = ctypes.CDLL(str(path))
        for name, arguments in _FUNCTIONS.items():
            function = getattr(found, name)
            function.restype, function.argtypes = ctypes.c_int64, arguments
    except (OSError, AttributeError):
        return None
    return found


_AT, _COUNT, _BYTES = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p
_FUNCTIONS = {
    "offpeak_read": (_AT, _AT, _AT, _COUNT, _AT, _BYTES, _AT, _COUNT, _AT),
    "offpeak_line_feeds": (_AT, _COUNT, _AT),
    "offpeak_fingerprints": (_BYTES, _COUNT, _AT, _AT, _AT, _AT, _COUNT, _AT, ctypes.c_int32),
    "offpeak_escaped_sizes": (_AT, _AT, _COUNT, _AT),
    "offpeak_lines": (_AT, _COUNT, _COUNT, _AT, _COUNT),
}


def line_feeds(data: np.ndarray) -> np.ndarray:
    """Where the line feeds are in an array of bytes, as int64."""
    import numpy as np

    compiled = library()
    if compiled is None:
        return np.flatnonzero(data == ord("\n"))
    places = np.empty(compiled.offpeak_line_feeds(data.ctypes.data, len(data), None), np.int64)
    compiled.offpeak_line_feeds(data.ctypes.data, len(data), places.ctypes.data)
    return places
