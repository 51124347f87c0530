"""Columns: how their names are quoted, which types hold which, and how rows are written as the carry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.errors import SpecError, TableError
from offpeak.tables.table import PROVENANCE, Layout

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16_384
BATCH_CELLS = 4_000_000
"""Vectors count by their length, so that a batch of wide rows is not larger than one of narrow rows."""


def quoted(name: str) -> str:
    """The one way an identifier gets into SQL, for DuckDB and Postgres. SpecError on an impossible one."""
    if not name or "\0" in name:
        raise SpecError(f"{name!r} cannot be the name of a table or column. Choose another name.")
    return '"' + name.replace('"', '""') + '"'


def split_table(table: str) -> tuple[str | None, str]:
    """`schema.table` in its two parts; the schema is None when only the table is named."""
    schema, dot, name = table.rpartition(".")
    if not name.strip() or (dot and not schema.strip()) or "." in schema or "\0" in table:
        raise SpecError(f'{table!r} does not name a table. Write "table" or "schema.table".')
    return (schema if dot else None), name


def without_login(address: str) -> str:
    """The address as it may be shown: a user name and password before the host are left out."""
    if "://" not in address:
        return address
    scheme, rest = address.split("://", 1)
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}" if "@" in authority else address


def clashes(names: Iterable[str], reserved: Mapping[str, str]) -> list[str]:
    """Columns that two readers would take for one, or that the table keeps for itself, each with its cure."""
    found: list[str] = []
    seen: dict[str, str] = {}
    for name in names:
        folded = name.lower()
        if not name.strip() or "\0" in name:
            found.append(f"The column name {name!r} is empty or holds a NUL. Rename the column.")
        elif folded in seen:
            found.append(
                f"The columns {seen[folded]!r} and {name!r} differ only in case, and most readers take them "
                "for one. Rename one of them."
            )
        elif folded in reserved:
            found.append(f"The column {name!r} is {reserved[folded]}. Rename the column.")
        seen[folded] = name
    return found


def carried_schema(layout: Layout) -> pa.Schema:
    """What `answered` writes: the answer's columns, then the provenance."""
    import pyarrow as pa

    names = [*layout.answer, *(name for name, _ in PROVENANCE)]
    return pa.schema([layout.schema.field(name) for name in names])


def can_answer(stored: pa.Schema, schema: pa.Schema) -> bool:
    """Whether what is stored has every column of the carry; an older layout, or another's table, has not."""
    types = {field.name: field.type for field in stored}
    return all(field.name in types and holds(field.type, types[field.name]) for field in schema)


def write_rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema, into: Path) -> int:
    """Stream batches into one Parquet file in exactly this schema; returns the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(into, schema, compression="zstd") as writer:
        for batch in batches:
            table = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
            writer.write_table(table)
            count += table.num_rows
    return count


def rows_per_batch(schema: pa.Schema) -> int:
    """How many rows of this schema are held at once."""
    import pyarrow as pa

    cells = sum(field.type.list_size if pa.types.is_fixed_size_list(field.type) else 1 for field in schema)
    return max(1, min(BATCH_ROWS, BATCH_CELLS // max(1, cells)))


def settle(stored: pa.Schema, new: pa.Schema, address: str) -> pa.Schema:
    """The new columns, each in the type the table already has for it; TableError if that cannot hold it."""
    import pyarrow as pa

    fields = []
    for field in new:
        at = stored.get_field_index(field.name)
        if at >= 0:
            held = stored.field(at).type
            if not holds(held, field.type):
                raise cannot_hold(address, field.name, str(held), str(field.type))
            field = field.with_type(held)
        fields.append(field)
    return pa.schema(fields)


def cannot_hold(address: str, column: str, stored: str, new: str) -> TableError:
    return TableError(
        f"{address}: the column {column!r} is {stored} in the table, but this run has {new} for it. "
        "Nothing was changed; readers keep the last publish. Give the answer's column another name, publish "
        "into another table, or change the column's type in the table, then run the publish again."
    )


def holds(stored: pa.DataType, new: pa.DataType) -> bool:
    """Whether every value of `new` can be kept in a column of `stored` without loss."""
    import pyarrow as pa

    types = pa.types
    if stored.equals(new) or types.is_null(new):
        return True
    if types.is_dictionary(new):
        return holds(stored, new.value_type)
    if _is_text(stored):
        return _is_text(new)
    if types.is_floating(stored):
        return _fits_float(stored, new)
    if types.is_integer(stored):
        return types.is_integer(new) and _fits_integer(stored, new)
    if types.is_decimal(stored):
        return types.is_decimal(new) and _fits_decimal(stored, new)
    if types.is_timestamp(stored):
        return types.is_timestamp(new) and (stored.tz is None) == (new.tz is None)
    if _is_list(stored) and _is_list(new):
        same_length = not types.is_fixed_size_list(stored) or (
            types.is_fixed_size_list(new) and stored.list_size == new.list_size
        )
        return same_length and holds(stored.value_type, new.value_type)
    return types.is_struct(stored) and types.is_struct(new) and _fits_struct(stored, new)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _fits_integer(stored: pa.DataType, new: pa.DataType) -> bool:
    import pyarrow as pa

    signed, new_signed = (pa.types.is_signed_integer(kind) for kind in (stored, new))
    if signed == new_signed:
        return bool(stored.bit_width >= new.bit_width)
    return bool(signed and stored.bit_width > new.bit_width)


def _fits_float(stored: pa.DataType, new: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_floating(new):
        return bool(stored.bit_width >= new.bit_width)
    # a double counts exactly to 2^53: every integer of 32 bits fits, one of 64 may not
    return bool(pa.types.is_integer(new) and stored.bit_width > new.bit_width)


def _fits_decimal(stored: pa.DataType, new: pa.DataType) -> bool:
    whole = stored.precision - stored.scale >= new.precision - new.scale
    return bool(whole and stored.scale >= new.scale)


def _fits_struct(stored: pa.DataType, new: pa.DataType) -> bool:
    held = {field.name: field.type for field in stored}
    coming = {field.name: field.type for field in new}
    return list(held) == list(coming) and all(holds(held[name], coming[name]) for name in held)


def unholdable(layout_types: Mapping[str, str], kinds: Iterable[str], table: str) -> list[str]:
    """The columns whose Arrow type text, or one nested in it, begins with one of `kinds`."""
    pattern = re.compile(rf"(?:^|: )(?:{'|'.join(re.escape(kind) for kind in kinds)})")
    return [
        f"The column {name!r} is {kind}, which {table} has no type for. Give the answer's field a number, a "
        "text or a time instead."
        for name, kind in layout_types.items()
        if pattern.search(kind)
    ]
