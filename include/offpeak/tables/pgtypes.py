"""The types of Postgres columns: which one an Arrow type gets, and which one can hold which."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offpeak.tables.copying import is_list, is_nested

if TYPE_CHECKING:
    import pyarrow as pa

_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")

_PLAIN = {
    "string": "text",
    "large_string": "text",
    "string_view": "text",
    "null": "text",
    "bool": "boolean",
    "uint64": "numeric(20,0)",
    "halffloat": "real",
    "float": "real",
    "double": "double precision",
    "binary": "bytea",
    "large_binary": "bytea",
    "date32[day]": "date",
}


def pg_type(kind: pa.DataType) -> str:
    """The type in the words of Postgres's own `format_type`. TypeError for an Arrow type that has none."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return pg_type(kind.value_type)
    if is_nested(kind):
        return "jsonb"
    if is_list(kind):
        return f"{pg_type(kind.value_type)}[]"
    if types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp without time zone"
    if types.is_time(kind):
        return "time without time zone"
    if name := _PLAIN.get(str(kind)):
        return name
    if types.is_integer(kind):
        return "bigint"
    raise TypeError(f"Postgres has no type for Arrow's {kind}")


_ALSO_HOLDS = {
    "character varying": {"text"},
    "double precision": {"real"},
    "double precision[]": {"real[]"},
    "text": {"character varying"},
}


def pg_holds(stored: str, new: str) -> bool:
    """Whether a column of type `stored` keeps every value of type `new`, both in `format_type`'s words."""
    if stored == new or new in _ALSO_HOLDS.get(stored, ()):
        return True
    if stored == "numeric":
        return new == "bigint" or new.startswith("numeric")
    held, coming = _NUMERIC.fullmatch(stored), _NUMERIC.fullmatch(new)
    if held is None:
        return False
    precision, scale = int(held[1]), int(held[2])
    if new == "bigint":
        return precision - scale >= 19
    if coming is None:
        return False
    return scale >= int(coming[2]) and precision - scale >= int(coming[1]) - int(coming[2])
