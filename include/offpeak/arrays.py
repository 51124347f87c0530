"""Arrow arrays of numpy arrays and Python lists, made without pandas.

`pa.array` and `pa.scalar` import pandas wherever it is installed, only to ask whether they were given a frame: 50 MB
and a third of a second of every process. What runs in each task makes its arrays here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
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


def positions(places: Iterable[int]) -> pa.Array:
    """Places in an array, as `take` wants them."""
    import numpy as np

    return numbers(np.fromiter(places, np.int64))


def flags(values: np.ndarray) -> pa.Array:
    """A boolean array."""
    import numpy as np
    import pyarrow as pa

    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])


def with_nulls(array: pa.Array, valid: np.ndarray | None) -> pa.Array:
    """A new array of numbers or flags, null where `valid`, a bool for each, is False; as it is for None."""
    import pyarrow as pa

    if valid is None:
        return array
    return pa.Array.from_buffers(array.type, len(array), [flags(valid).buffers()[1], array.buffers()[1]])


def only(good: pa.Array, column: pa.Array) -> pa.Array:
    """The column, null where `good`, a boolean array, is false."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.DictionaryArray):
        return pa.DictionaryArray.from_arrays(only(good, column.indices), column.dictionary)
    return pc.if_else(good, column, pa.nulls(1, column.type)[0])


def float_vectors(data: bytes, dimensions: int, missing: np.ndarray | None = None) -> pa.Array:
    """Vectors of so many float32, one after the other in `data`, as lists of fixed size; null where `missing`."""
    import pyarrow as pa

    floats = pa.Array.from_buffers(pa.float32(), len(data) // 4, [None, pa.py_buffer(data)])
    mask = None if missing is None else flags(missing)
    return pa.FixedSizeListArray.from_arrays(floats, dimensions, mask=mask)


def as_bytes(vectors: pa.Array, dimensions: int) -> pa.FixedSizeBinaryArray:
    """Vectors of so many float32, lists of any kind or bytes already, each as its little-endian bytes.

    Nulls stay. Lists of fixed size are shared, not copied. ArrowException for a vector of another length.
    """
    import pyarrow as pa

    kind = pa.binary(4 * dimensions)
    if pa.types.is_fixed_size_binary(vectors.type):
        return vectors.cast(kind)
    lists = vectors.cast(pa.list_(pa.float32(), dimensions))
    values = lists.values
    data = (values.buffers()[1] or pa.py_buffer(b"")).slice(4 * values.offset)
    return pa.Array.from_buffers(kind, len(lists), [lists.buffers()[0], data], offset=lists.offset)


def as_lists(vectors: pa.FixedSizeBinaryArray) -> pa.FixedSizeListArray:
    """What `as_bytes` made as lists of float32; shared, not copied."""
    import pyarrow as pa

    dimensions = vectors.type.byte_width // 4
    valid, data = vectors.buffers()
    values = pa.Array.from_buffers(pa.float32(), dimensions * (vectors.offset + len(vectors)), [None, data])
    kind = pa.list_(pa.float32(), dimensions)
    return pa.Array.from_buffers(kind, len(vectors), [valid], offset=vectors.offset, children=[values])


def dollars(nanos: np.ndarray) -> pa.Array:
    """Billionths of a dollar as decimal128(18, 9): two little-endian words a value, none below zero."""
    import numpy as np
    import pyarrow as pa

    words = np.zeros((len(nanos), 2), "<i8")
    words[:, 0] = nanos
    return pa.Array.from_buffers(pa.decimal128(18, 9), len(nanos), [None, pa.py_buffer(words)])


def nanos_of(amounts: pa.Array) -> np.ndarray:
    """Dollars as `dollars` makes them in billionths, anything where they are null. Shape (count,), int64."""
    import numpy as np

    words = np.frombuffer(amounts.buffers()[1] or b"", "<i8", 2 * len(amounts), 16 * amounts.offset)
    return words[::2]


def mask_of(booleans: pa.Array) -> np.ndarray:
    """A boolean array without nulls (such as `is_valid` gives) as numpy's, a copy."""
    import numpy as np

    bits = np.frombuffer(booleans.buffers()[1] or b"", np.uint8)
    start, count = booleans.offset, len(booleans)
    return np.unpackbits(bits, count=start + count, bitorder="little")[start:].view(bool)


def integers(whole: pa.Array) -> np.ndarray:
    """An int64 array without nulls as numpy's, shared. ValueError for another."""
    import numpy as np
    import pyarrow as pa

    if whole.type != pa.int64() or whole.null_count:
        raise ValueError(f"{whole.null_count:,} nulls among {whole.type}, not whole numbers alone")
    return np.frombuffer(whole.buffers()[1] or b"", np.int64, len(whole), 8 * whole.offset)


def texts(values: Iterable[str | None]) -> pa.Array:
    """A string array. UnicodeEncodeError for half a character pair."""
    import pyarrow as pa

    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


def fixed_texts(data: bytes, width: int) -> pa.Array:
    """A string array of texts that are all `width` bytes long, one after the other in `data`; shared, not copied."""
    import numpy as np
    import pyarrow as pa

    ends = pa.py_buffer(np.arange(0, len(data) + 1, width, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), len(data) // width, [None, ends, pa.py_buffer(data)])


def offsets_of(texts: pa.Array) -> np.ndarray:
    """Where each value of a string or binary array begins in its data buffer, and the end of the last one.

    Shape (n + 1,), int32 as Arrow holds them, a view.
    """
    import numpy as np

    whole = np.frombuffer(texts.buffers()[1], np.int32)
    return whole[texts.offset : texts.offset + len(texts) + 1]


def listed(texts: pa.Array) -> list[str]:
    """The values of a string array without nulls, several times as fast as its own `to_pylist`."""
    ends = offsets_of(texts)
    start = int(ends[0])
    whole = bytes(memoryview(texts.buffers()[2] or b"")[start : int(ends[-1])])
    if not whole.isascii():
        return [one or "" for one in texts.to_pylist()]
    held, places = whole.decode(), (ends - start).tolist()
    return [held[begin:end] for begin, end in pairwise(places)]


@lru_cache(maxsize=64)
def text(value: str) -> pa.Scalar:
    """One string, for a comparison or to be repeated."""
    return texts([value])[0]


def blob(value: bytes) -> pa.Scalar:
    """Some bytes, to be joined to each value of a column."""
    import numpy as np
    import pyarrow as pa

    ends = pa.py_buffer(np.array([0, len(value)], np.int32))
    return pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(value)])[0]
