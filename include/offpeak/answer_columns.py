"""Answer columns: validated values as Arrow arrays, made without pandas where they are of the common types."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import accumulate, chain
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel

from offpeak.arrays import flags, numbers, texts, with_nulls

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def plain_value(value: Any) -> Any:
    """A validated value as a column takes it. ValueError or OverflowError for a time that names no moment."""
    if isinstance(value, BaseModel):
        return {name: plain_value(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return _sorted([plain_value(item) for item in value])
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError(f"the time {value.isoformat()} has no time zone; give one, such as Z for UTC")
        return value.astimezone(dt.UTC)
    if fields := getattr(type(value), "__struct_fields__", ()):  # of quick_answer
        return {name: plain_value(getattr(value, name)) for name in fields}
    return str(value) if isinstance(value, UUID) else value


def _sorted(items: list[Any]) -> list[Any]:
    """In an order that is the same in every process, which a set's own is not."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=repr)


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Plain values as an array of this type; what Arrow raises for a value that does not fit it."""
    import pyarrow as pa

    for is_kind, types, make in _makers():
        if is_kind(kind) and set(map(type, values)) <= types:
            return make(values, kind)
    return pa.array(values, kind)


Maker = Callable[[Sequence[Any], "pa.DataType"], "pa.Array"]


def _makers() -> tuple[tuple[Callable[[pa.DataType], bool], set[type], Maker], ...]:
    """Which kinds of columns are made here, of which Python types alone, and how."""
    import pyarrow.types as pt

    return (
        (pt.is_string, {str, NoneType}, lambda values, _: texts(values)),
        (pt.is_int64, {int, NoneType}, _numbers),
        (pt.is_float64, {float, NoneType}, _numbers),
        (pt.is_boolean, {bool, NoneType}, _flags),
        (pt.is_timestamp, {dt.datetime, NoneType}, _moments),
        (pt.is_date32, {dt.date, NoneType}, _days),
        (pt.is_list, {list, NoneType}, _lists),
        (pt.is_struct, {dict, NoneType}, _structs),
    )


def _valid(values: Sequence[Any]) -> np.ndarray | None:
    """Which values are not None, None when all are."""
    import numpy as np

    return np.array([value is not None for value in values], bool) if None in values else None


def _numbers(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    valid = _valid(values)
    given = values if valid is None else [0 if value is None else value for value in values]
    dtype = np.dtype(np.int64 if kind == pa.int64() else np.float64)
    return with_nulls(numbers(np.fromiter(given, dtype, len(values))), valid)


def _flags(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import numpy as np

    return with_nulls(flags(np.array([value is True for value in values], bool)), _valid(values))


def _moments(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    one = dt.timedelta(microseconds=1)
    micros = [value and (value - _EPOCH) // one for value in values]
    return column_of(micros, pa.int64()).cast(kind)


def _days(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    days = [value and (value - _EPOCH.date()).days for value in values]
    return column_of(days, pa.int64()).cast(pa.int32()).cast(kind)


def _lists(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    valid = _valid(values)
    given = values if valid is None else [value or [] for value in values]
    ends = np.fromiter(accumulate(map(len, given), initial=0), np.int32, len(values) + 1)
    items = column_of(list(chain.from_iterable(given)), kind.value_type)
    mask = None if valid is None else flags(~valid)
    return pa.ListArray.from_arrays(numbers(ends), items, type=kind, mask=mask)


def _structs(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    valid = _valid(values)
    empty: dict[str, Any] = {}
    parts = [column_of([(value or empty).get(field.name) for value in values], field.type) for field in kind]
    mask = None if valid is None else flags(~valid)
    return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)
