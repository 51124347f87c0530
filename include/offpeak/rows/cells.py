"""Cells: from whatever Arrow type a column has to the one that prompts and tables are promised.

Text of every kind (dictionary-encoded, large, view, binary as UTF-8, UUID) is `string`; times finer than a
microsecond are cut to it, because Python has no finer; nested columns stay as they are. A cell that is too
large or does not fit is a fault of its row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The promised type for a column of type `kind`."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if kind.extension_name == "arrow.uuid" else plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_null(kind) or _is_text(kind) or _is_binary(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", tz=kind.tz)
    if kind == pa.time64("ns"):
        return pa.time64("us")
    return pa.duration("us") if kind == pa.duration("ns") else kind


def bad_elements(array: pa.Array, attempt: Callable[[pa.Array], object]) -> list[int]:
    """The positions at which `attempt` fails on the single element, found by halving."""
    import pyarrow as pa

    found: list[int] = []
    spans = [(0, len(array))]
    while spans:
        start, stop = spans.pop()
        try:
            attempt(array.slice(start, stop - start))
        except (pa.ArrowException, ValueError, OverflowError, TypeError):
            if stop - start == 1:
                found.append(start)
            else:
                middle = (start + stop) // 2
                spans += [(middle, stop), (start, middle)]
    return found


def collect_faults(column: pa.Array, field: pa.Field, limit_bytes: int, faults: dict[int, str]) -> None:
    """Add the rows whose cell of this column is too large or does not fit the column's type."""
    import pyarrow as pa

    for index in _oversized(column, limit_bytes):
        faults.setdefault(index, f"the cell {field.name!r} is larger than {limit_bytes} bytes; shorten it")
    try:
        _checked(column, field.type)
    except (pa.ArrowException, ValueError, OverflowError):
        for index in bad_elements(column, lambda part: _checked(part, field.type)):
            faults.setdefault(index, _misfit(column, index, field))


def _misfit(column: pa.Array, index: int, field: pa.Field) -> str:
    if _is_text(column.type) or _is_binary(_value_type(column.type)):
        return (
            f"the cell {field.name!r} is not valid UTF-8; convert it to UTF-8 text, or leave the column out"
        )
    return f"the cell {field.name!r} does not fit the column's type {field.type} ({column.type} here)"


def _value_type(kind: pa.DataType) -> pa.DataType:
    """The type of a dictionary's values; any other type as it is."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _checked(column: pa.Array, target: pa.DataType) -> pa.Array:
    array = to_plain(column, target)
    array.validate(full=True)
    _check_calendar(array)
    return array


def to_plain(column: pa.Array, target: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        if column.type.extension_name == "arrow.uuid":
            return pa.array(
                [None if value is None else str(value) for value in column.to_pylist()], pa.string()
            )
        column = column.storage
    if pa.types.is_dictionary(column.type):
        # checked before decoding: an index outside the dictionary would otherwise be read from anywhere
        column.validate(full=True)
        column = column.dictionary_decode()
    if pa.types.is_fixed_size_binary(column.type):
        column = column.cast(pa.binary())
    if column.type == target:
        return column
    finer = pa.types.is_temporal(column.type) and pa.types.is_temporal(target)
    if pa.types.is_decimal(column.type) and pa.types.is_string(target):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], target)
    return column.cast(target, safe=not finer)


def _check_calendar(array: pa.Array) -> None:
    """OverflowError for a date that Python cannot hold (year 0, year 10000): no template could show it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if (
        not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type))
        or len(array) == array.null_count
    ):
        return
    if pa.types.is_date(array.type):
        low, high = pa.scalar(date(MINYEAR, 1, 1)), pa.scalar(date(MAXYEAR, 12, 31))
        low, high = low.cast(array.type), high.cast(array.type)
    else:
        zone = UTC if array.type.tz else None
        # a day off either end leaves room for the zone in which it is shown
        low = pa.scalar(datetime(MINYEAR, 1, 2, tzinfo=zone), array.type)
        high = pa.scalar(datetime(MAXYEAR, 12, 30, 23, 59, 59, tzinfo=zone), array.type)
    within = pc.and_(pc.greater_equal(array, low), pc.less_equal(array, high))
    if not pc.all(within).as_py():
        raise OverflowError("a date outside the years 1 to 9999")


def _oversized(column: pa.Array, limit_bytes: int) -> list[int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = pa.types.is_dictionary(column.type)
    if max(column.nbytes, column.dictionary.nbytes if encoded else 0) <= limit_bytes:
        return []
    if pa.types.is_primitive(column.type):
        return []
    if _is_text(column.type) or _is_binary(column.type):
        lengths = pc.fill_null(pc.binary_length(_wide(column)), 0)
        return [int(index) for index in pc.indices_nonzero(pc.greater(lengths, limit_bytes)).to_pylist()]
    return [index for index in range(len(column)) if _cell_bytes(column, index) > limit_bytes]


def _cell_bytes(column: pa.Array, index: int) -> int:
    value = column[index].as_py() if hasattr(column, "dictionary") else None
    return len(value) if isinstance(value, str | bytes) else int(column.slice(index, 1).nbytes)


def _wide(column: pa.Array) -> pa.Array:
    """Views have no length function: as the plain kind with 64-bit offsets."""
    import pyarrow as pa

    if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    return column


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    named = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return bool(named or pa.types.is_fixed_size_binary(kind))
