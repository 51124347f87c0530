"""Text as it stands inside a JSON string, a whole column at once: what an encoder makes of each value, faster."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from offpeak.arrays import mask_of, offsets_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SHORT = {0x08: b"\\b", 0x09: b"\\t", 0x0A: b"\\n", 0x0C: b"\\f", 0x0D: b"\\r", 0x22: b'\\"', 0x5C: b"\\\\"}
_BACKSLASH = 0x5C


def escape(byte: int) -> bytes:
    """The escape of one byte that cannot stand in a JSON string as it is."""
    return _SHORT.get(byte) or b"\\u%04x" % byte


def escaped(texts: pa.Array) -> pa.Array:
    """The texts, a string array, as the inside of JSON strings: a binary array; a null stays null.

    The same bytes as `json.dumps(text, ensure_ascii=False)` without its quotes.
    """
    import numpy as np
    import pyarrow as pa

    if not len(texts):
        return texts.cast(pa.binary())
    offsets = offsets_of(texts)
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    found = np.flatnonzero((data < 0x20) | (data == 0x22) | (data == _BACKSLASH))
    if not found.size:
        return texts.cast(pa.binary())
    bytes_there = data[found]
    made, longer = data.tobytes(), np.zeros(found.size + 1, np.int64)
    # a backslash first: the other escapes bring new ones
    there = np.flatnonzero(np.bincount(bytes_there)).tolist()
    for byte in sorted(there, key=lambda byte: byte != _BACKSLASH):
        made = made.replace(bytes((byte,)), escape(byte))
    np.cumsum(_more_bytes()[bytes_there], out=longer[1:])
    starts = offsets.astype(np.int64) - offsets[0]
    moved = starts + longer[np.searchsorted(found, starts)]
    if moved[-1] > np.iinfo(np.int32).max:
        raise OverflowError("a slice of texts is larger than 2 GiB when written as JSON; give smaller slices")
    return pa.Array.from_buffers(
        pa.binary(),
        len(texts),
        [_validity(texts), pa.py_buffer(moved.astype(np.int32)), pa.py_buffer(made)],
    )


@cache
def _more_bytes() -> np.ndarray:
    """By byte: how much longer its escape is."""
    import numpy as np

    return np.array([len(escape(byte)) - 1 for byte in range(_BACKSLASH + 1)], np.int64)


def _validity(texts: pa.Array) -> pa.Buffer | None:
    """Which values are null, as a buffer that begins at the first one."""
    import numpy as np
    import pyarrow as pa

    if not texts.null_count:
        return None
    return pa.py_buffer(np.packbits(mask_of(texts.is_valid()), bitorder="little"))
