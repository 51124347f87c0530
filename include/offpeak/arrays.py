"""Arrow arrays of numpy arrays and Python lists, made without pandas.

`pa.array` and `pa.scalar` import pandas wherever it is installed, only to ask whether they were given a frame: 50 MB
and a third of a second of every process. What runs in each task makes its arrays here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def numbers(values: np.ndarray) -> pa.Array:
    """The values, a one-dimensional array of numbers, in Arrow's type for them; shared, not copied."""
    import numpy as np
    import pyarrow as pa

    whole = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(whole.dtype)
    return pa.Array.from_buffers(kind, len(whole), [None, pa.py_buffer(whole)])


def flags(values: np.ndarray) -> pa.Array:
    """A boolean array."""
    import numpy as np
    import pyarrow as pa

    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])


def mask_of(booleans: pa.Array) -> np.ndarray:
    """A boolean array without nulls (such as `is_valid` gives) as numpy's, a copy."""
    import numpy as np

    bits = np.frombuffer(booleans.buffers()[1] or b"", np.uint8)
    start, count = booleans.offset, len(booleans)
    return np.unpackbits(bits, count=start + count, bitorder="little")[start:].view(bool)


def texts(values: Iterable[str | None]) -> pa.Array:
    """A string array. UnicodeEncodeError for half a character pair."""
    import pyarrow as pa

    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


@cache
def text(value: str) -> pa.Scalar:
    """One string, for a comparison or to be repeated."""
    return texts([value])[0]
