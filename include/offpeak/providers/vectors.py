"""Vectors that come as text: JSON lists of numbers, which a server sends that does not know base64."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

_decode = msgspec.json.Decoder(list[float]).decode


def float_lists(lists: Sequence[bytes]) -> list[bytes | None]:
    """JSON lists of numbers as float32, little-endian; None for one that is no flat list of finite numbers.

    Each number is rounded twice, to the nearest double and that to float32, as numpy does with Python's floats.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        return [_float_list(text) for text in lists]


def _float_list(text: bytes) -> bytes | None:
    import numpy as np

    try:
        found = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    numbers = np.fromiter(found, np.float64, len(found)).astype("<f4")
    return numbers.tobytes() if numbers.size and np.isfinite(numbers).all() else None
