"""Arrow columns as the text that Postgres's COPY reads, and rows from Postgres as Arrow columns again."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

NUL, REPLACEMENT = "\0", "\ufffd"
"""Postgres text cannot hold a NUL; a million rows must not fail for one, so it becomes U+FFFD."""


class CopyText(NamedTuple):
    """One batch as CSV for `COPY ... (FORMAT csv)`: values quoted, nulls empty."""

    content: bytes
    nul_count: int
    """How many values had a NUL replaced."""


def copy_text(batch: pa.RecordBatch) -> CopyText:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    columns, nul_count = [], 0
    for column in batch.columns:
        if is_nested(column.type):
            text, found = _json_column(column)
        else:
            text = _text(column)
            found = pc.sum(pc.match_substring(text, NUL)).as_py() or 0
            text = pc.replace_substring(text, NUL, REPLACEMENT) if found else text
        columns.append(text)
        nul_count += found
    sink = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="all_valid")
    csv.write_csv(pa.table(columns, [f"c{number}" for number in range(len(columns))]), sink, options)
    return CopyText(sink.getvalue(), nul_count)


def is_nested(kind: pa.DataType) -> bool:
    """Whether values of this type are kept as jsonb: structs, maps, and lists of them or of lists."""
    import pyarrow as pa

    types = pa.types
    if is_list(kind):
        return is_list(kind.value_type) or is_nested(kind.value_type)
    return bool(types.is_struct(kind) or types.is_map(kind))


def is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _text(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        return _text(column.dictionary_decode())
    if is_nested(kind):
        return pa.array(
            [None if value is None else _json(value) for value in column.to_pylist()], pa.string()
        )
    if is_list(kind):
        return _array_literal(column)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return pa.array([None if value is None else "\\x" + value.hex() for value in column.to_pylist()])
    if types.is_float16(kind):
        column = column.cast(pa.float32())
    return column.cast(pa.string())


def _array_literal(column: pa.Array) -> pa.Array:
    """`{"a","b"}`: built column-wise, because vectors have thousands of elements."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = column.cast(pa.list_(column.type.value_type))
    elements = _text(lists.values)
    if not (pa.types.is_floating(lists.type.value_type) or pa.types.is_integer(lists.type.value_type)):
        escaped = pc.replace_substring(pc.replace_substring(elements, "\\", "\\\\"), '"', '\\"')
        elements = pc.binary_join_element_wise('"', escaped, '"', "")
    parts = pa.ListArray.from_arrays(lists.offsets, elements.fill_null("NULL"))
    literal = pc.binary_join_element_wise("{", pc.binary_join(parts, ","), "}", "")
    return pc.if_else(column.is_valid(), literal, pa.scalar(None, pa.string()))


def _json_column(column: pa.Array) -> tuple[pa.Array, int]:
    import pyarrow as pa

    texts: list[str | None] = []
    nul_count = 0
    for value in column.to_pylist():
        text = None if value is None else _json(value)
        # jsonb refuses a NUL in its escaped form too; a backslash before u0000 looks the same and is none
        if text is not None and "\\u0000" in text:
            clean = _json(_without_nul(value))
            nul_count += clean != text
            text = clean
        texts.append(text)
    return pa.array(texts, pa.string()), nul_count


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(_finite(value), default=_worded, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they are written as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(NUL, REPLACEMENT)
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(each) for key, each in value.items()}
    return [_without_nul(each) for each in value] if isinstance(value, list | tuple) else value


def _worded(value: object) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def columns_of(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as Postgres gave them, in the types of `schema`; what was jsonb gets its types back."""
    import pyarrow as pa

    arrays = []
    for number, field in enumerate(schema):
        values: list[Any] = [row[number] for row in rows]
        if is_nested(field.type):
            values = [_typed(value, field.type) for value in values]
        arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _typed(value: Any, kind: pa.DataType) -> Any:
    """A value from JSON as the Python value that Arrow takes for `kind`."""
    import pyarrow as pa

    types = pa.types
    if value is None:
        return None
    if is_list(kind):
        return [_typed(each, kind.value_type) for each in value]
    if types.is_struct(kind):
        return {field.name: _typed(value.get(field.name), field.type) for field in kind}
    if types.is_map(kind):
        return [(_typed(key, kind.key_type), _typed(each, kind.item_type)) for key, each in value]
    if types.is_decimal(kind):
        return Decimal(str(value))
    if types.is_timestamp(kind):
        return datetime.fromisoformat(value)
    if types.is_date(kind):
        return date.fromisoformat(value)
    if types.is_time(kind):
        return time.fromisoformat(value)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return bytes.fromhex(value)
    return float(value) if types.is_floating(kind) else value
