"""Values: the Arrow type of a query's column, from the cursor's word and the first rows, kept to the end.

What one type holds exactly has that type (integers, doubles, booleans, dates, times in UTC, decimals with
a scale that the database states, lists of one of these). Everything else is text: JSON objects as JSON,
decimals of free scale, UUIDs, a column that was null so far, and mixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN: tuple[type, ...] = (bool, int, float, date, time, timedelta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column's type, and how a value gets into it: `fit` raises ValueError or TypeError if it cannot."""

    name: str
    type: pa.DataType
    fit: Callable[[Any], Any]

    def array(self, values: Sequence[object]) -> tuple[pa.Array, dict[int, str]]:
        """The values as an Arrow array; those that do not fit are null there, with the reason by position."""
        import pyarrow as pa

        faults: dict[int, str] = {}
        fitted: list[object] = []
        for index, value in enumerate(values):
            try:
                fitted.append(None if value is None else self._exact(value))
            except (ValueError, TypeError, OverflowError, pa.ArrowException):
                fitted.append(None)
                faults[index] = self._reason(value)
        return pa.array(fitted, self.type), faults

    def _exact(self, value: object) -> object:
        import pyarrow as pa

        fitted = self.fit(value)
        if type(fitted) not in _CERTAIN:
            pa.scalar(fitted, self.type)  # raises for what the type cannot hold exactly
        elif type(fitted) is int and not -(2**63) <= fitted < 2**63:
            raise OverflowError
        elif type(fitted) is str:
            fitted.encode()
        return fitted

    def _reason(self, value: object) -> str:
        if isinstance(value, bytes | bytearray | memoryview):
            return (
                f"the cell {self.name!r} is not valid UTF-8; decode it in the query, or leave the column out"
            )
        return (
            f"the cell {self.name!r} is {_article(value)} and does not fit the type {self.type}, "
            "which the column has by its first rows; cast the column in the query"
        )


_CERTAIN = frozenset({str, int, float, bool})


def column_of(name: str, sample: Sequence[object], scale: tuple[int, int] | None) -> Column:
    """The column for the values of the first rows; `scale` is the decimal precision and scale, if stated."""
    import pyarrow as pa

    kinds = {_kind(value) for value in sample if value is not None}
    if kinds == {Decimal} and scale is not None and 0 <= scale[1] <= scale[0] <= 38:
        return Column(name=name, type=pa.decimal128(*scale), fit=_decimal)
    if kinds == {int, float}:
        kinds = {float}
    if kinds == {list}:
        elements = [element for value in sample if isinstance(value, list) for element in value]
        inner = column_of(name, elements, None)
        return Column(name=name, type=pa.list_(inner.type), fit=_listed(inner.fit))
    kind = next(iter(kinds)) if len(kinds) == 1 else str
    types = {
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
        datetime: pa.timestamp("us"),
        _Aware: pa.timestamp("us", tz="UTC"),
        date: pa.date32(),
        time: pa.time64("us"),
        timedelta: pa.duration("us"),
    }
    return Column(name=name, type=types.get(kind, pa.string()), fit=_FITS.get(kind, as_text))


def _article(value: object) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


class _Aware:
    """Stands for datetimes with a time zone, which Arrow holds as another type."""


def _kind(value: object) -> type:
    if isinstance(value, datetime):
        return _Aware if value.tzinfo else datetime
    return next((kind for kind in (*_PLAIN, Decimal, list) if isinstance(value, kind)), str)


def as_text(value: object) -> str:
    """A value as text: JSON for objects and lists, UTF-8 for bytes (or UnicodeDecodeError)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode()
    if isinstance(value, dict | list | tuple):
        return orjson.dumps(value, default=as_text, option=orjson.OPT_NON_STR_KEYS).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def _of(kind: type) -> Callable[[Any], Any]:
    def fit(value: object) -> object:
        if _kind(value) is not kind:
            raise TypeError
        return value.astimezone(UTC) if kind is _Aware and isinstance(value, datetime) else value

    return fit


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != int(value):
        raise TypeError
    return int(value)


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if isinstance(value, int) and int(float(value)) != value:
        raise ValueError
    return float(value)


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError
    return Decimal(value)


def _listed(fit: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def each(value: object) -> list[object]:
        if not isinstance(value, list):
            raise TypeError
        return [None if element is None else fit(element) for element in value]

    return each


_FITS: dict[type, Callable[[Any], Any]] = {
    int: _integer,
    float: _float,
    **{kind: _of(kind) for kind in (bool, datetime, _Aware, date, time, timedelta)},
}
