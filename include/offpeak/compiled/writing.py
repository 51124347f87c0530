"""Fingerprints and lines of many requests at once, by the compiled code. Only where `library()` is."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

from offpeak.arrays import fixed_texts, offsets_of
from offpeak.compiled.library import PartOfC, library

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

DIGITS = 32
"""Of a fingerprint."""
WIDEST = 2
"""See `vectors` in lanes.h."""


def fingerprints(
    decides: bytes, systems: pa.Array | None, users: pa.Array, *, widest: int = WIDEST
) -> pa.Array:
    """The BLAKE2b hash of each row as strings of 32 hexadecimal digits; a null counts as an empty text.

    It is of `decides`, of the system text behind its length (8 bytes, little-endian) where there are `systems`,
    and of the user text. Both are string arrays. Vectors no wider than `widest` are used: 0 for none.
    """
    made = bytearray(DIGITS * len(users))
    out = (ctypes.c_uint8 * len(made)).from_buffer(made)
    before = (None, None) if systems is None else _places(systems)
    given = (decides, len(decides), *before, *_places(users), len(users))
    _library().offpeak_fingerprints(*given, out, widest)
    return fixed_texts(bytes(made), DIGITS)


def escaped_sizes(texts: pa.Array) -> np.ndarray:
    """How many bytes each string has inside a JSON string, int64."""
    import numpy as np

    sizes = np.empty(len(texts), np.int64)
    _library().offpeak_escaped_sizes(*_places(texts), len(texts), sizes.ctypes.data)
    return sizes


def lines(parts: Sequence[bytes | pa.Array], count: int, size: int) -> pa.Buffer:
    """So many lines of `size` bytes in all: in each the parts, of which strings are escaped and bytes are not."""
    import pyarrow as pa

    made = pa.allocate_buffer(size)
    given = (PartOfC * len(parts))(*map(_part, parts))
    written = _library().offpeak_lines(given, len(parts), count, made.address, size)
    assert written == size, f"{written:,} bytes of lines (-1: too many) in room for {size:,}"
    return made


def _part(part: bytes | pa.Array) -> PartOfC:
    import pyarrow as pa

    if isinstance(part, bytes):
        return PartOfC(ctypes.cast(ctypes.c_char_p(part), ctypes.c_void_p), None, len(part), 0)
    return PartOfC(*_places(part), 0, part.type == pa.string())


def _places(column: pa.Array) -> tuple[int | None, int]:
    """Where the bytes and the ends of a string or binary array lie; the array must outlive their use."""
    data = column.buffers()[2]
    return None if data is None else data.address, offsets_of(column).ctypes.data


def _library() -> ctypes.CDLL:
    found = library()
    assert found is not None, "the caller looks for it first"
    return found
