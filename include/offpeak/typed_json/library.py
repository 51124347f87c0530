"""The compiled reader: where it lies, and how it is called. Without it all is read in Python, with the same results.

`make install` compiles it (see compile.py) for this environment. Its name tells of which source it was made, so that
a reader of an older source is never loaded.
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

SOURCES = tuple(Path(__file__).with_name(name) for name in ("reader.c", "vectors.h", "scan.h"))
SWITCH = "OFFPEAK_READER"
"""Environment variable: `python` leaves the compiled reader unused, a path names another one."""


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


def place() -> Path:
    """Where this environment has the reader of these sources, whether it is there or not."""
    source = hashlib.blake2b(b"\0".join(path.read_bytes() for path in SOURCES), digest_size=8).hexdigest()
    name = f"reader-{sys.platform}-{platform.machine()}-{source}.so"
    return Path(sys.prefix) / "lib" / "offpeak" / name


@cache
def library() -> ctypes.CDLL | None:
    """The compiled reader, None where there is none, or where it is switched off."""
    named = os.environ.get(SWITCH, "")
    if named == "python" or sys.byteorder != "little":
        return None
    return loaded(Path(named) if named else place())


def loaded(path: Path) -> ctypes.CDLL | None:
    """The reader in this file, None where there is none that this system runs."""
    if not path.exists():
        return None
    try:
        found = ctypes.CDLL(str(path))
        found.offpeak_read.restype = ctypes.c_int64
        found.offpeak_line_feeds.restype = ctypes.c_int64
    except (OSError, AttributeError):
        return None
    found.offpeak_line_feeds.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    found.offpeak_read.argtypes = [
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64),
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
    ]
    return found


def line_feeds(data: np.ndarray) -> np.ndarray:
    """Where the line feeds are in an array of bytes, as int64."""
    import numpy as np

    compiled = library()
    if compiled is None:
        return np.flatnonzero(data == ord("\n"))
    places = np.empty(len(data), np.int64)  # room that is not written to costs nothing
    count = compiled.offpeak_line_feeds(data.ctypes.data, len(data), places.ctypes.data)
    return places[:count].copy()
