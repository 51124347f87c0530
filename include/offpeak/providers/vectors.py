"""Vectors that come as text: JSON lists of numbers, read into float32 without a Python object for each number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import simdjson

_NO_NUMBERS = (ValueError, TypeError, RuntimeError)
"""What the parser raises for text that is no JSON, for a list of other things, for an integer of more than 64 bits."""


def float_lists(lists: Sequence[bytes]) -> list[bytes | None]:
    """JSON lists of numbers as float32, little-endian; None for one that is no flat list of finite numbers.

    Each number is rounded twice, to the nearest double and that to float32, as numpy does with Python's floats.
    None too for an integer of more than 64 bits: that is left to a slower reader.
    """
    import numpy as np
    import simdjson

    # one for all: it keeps the room that it took for the longest
    parser = simdjson.Parser()
    with np.errstate(over="ignore"):
        return [_float_list(parser, text) for text in lists]


def _float_list(parser: simdjson.Parser, text: bytes) -> bytes | None:
    import numpy as np
    import simdjson

    if text.find(b"[") != text.rfind(b"["):  # the parser would make one list of nested ones
        return None
    try:
        found = parser.parse(text)
        packed = found.as_buffer(of_type="d") if isinstance(found, simdjson.Array) else b""
    except _NO_NUMBERS:
        return None
    numbers = np.frombuffer(packed).astype("<f4")
    return numbers.tobytes() if numbers.size and np.isfinite(numbers).all() else None
