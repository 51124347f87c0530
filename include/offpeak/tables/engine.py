"""DuckDB as the engine that reads and joins Parquet in bounded memory, whatever the kind of table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.tables.columns import quoted, rows_per_batch

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY_LIMIT = "1GB"
"""Above this DuckDB writes to its temporary folder instead."""


@contextmanager
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of our own in memory, with a temporary folder that goes away with it."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="offpeak-duckdb-") as folder:
        connection = duckdb.connect(":memory:")
        try:
            connection.execute("SET temp_directory = ?", [folder])
            limit(connection)
            yield connection
        finally:
            connection.close()


def engine_errors() -> tuple[type[Exception], ...]:
    """What the engine raises. Asked for where an error is told: whoever needs no engine does not import it."""
    import duckdb

    return (duckdb.Error,)


def limit(connection: duckdb.DuckDBPyConnection, memory: str = MEMORY_LIMIT) -> None:
    """Bounded memory, UTC, and nothing loaded from elsewhere."""
    connection.execute(f"SET memory_limit = '{memory}'")
    # keeping the order of rows would hold whole result sets back; no promise here needs it
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET TimeZone = 'UTC'")


def batches_of(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[object], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Stream a query's rows; the query selects the columns of `schema`, which decides the batch size."""
    # a relation streams; the result of execute() would first be held whole
    relation: Any = connection.sql(query, params=values)
    yield from relation.to_arrow_reader(rows_per_batch(schema))


def first_row(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[object]
) -> tuple[Any, ...] | None:
    """The first row, with the result read to its end: DuckDB refuses the next query while one is open."""
    rows = connection.execute(query, values).fetchall()
    return rows[0] if rows else None


def selected(schema: pa.Schema, origin: str, instead: Mapping[str, str] | None = None) -> str:
    """The columns of `schema` from the relation `origin`, or what stands `instead`, in their DuckDB types."""
    return ", ".join(
        f"CAST({(instead or {}).get(field.name) or f'{origin}.{quoted(field.name)}'} "
        f"AS {duck_type(field.type)}) AS {quoted(field.name)}"
        for field in schema
    )


def parquet_files(paths: list[Path] | list[str]) -> list[str]:
    """Paths as `read_parquet` takes them, with its wildcards made literal."""
    return [_literal(str(path)) for path in paths]


def _literal(path: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def duck_type(kind: pa.DataType) -> str:
    """The DuckDB type that holds every value of an Arrow type. TypeError for one that has none."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return duck_type(kind.value_type)
    if types.is_fixed_size_list(kind):
        return f"{duck_type(kind.value_type)}[{kind.list_size}]"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"{duck_type(kind.value_type)}[]"
    if types.is_struct(kind):
        return "STRUCT(" + ", ".join(f"{quoted(f.name)} {duck_type(f.type)}" for f in kind) + ")"
    if types.is_map(kind):
        return f"MAP({duck_type(kind.key_type)}, {duck_type(kind.item_type)})"
    if types.is_decimal(kind) and kind.precision <= 38:
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if types.is_timestamp(kind):
        return "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    if name := _PLAIN.get(str(kind)):
        return name
    raise TypeError(f"DuckDB has no type for Arrow's {kind}")


_PLAIN = {
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "string_view": "VARCHAR",
    "null": "VARCHAR",
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "halffloat": "FLOAT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "binary": "BLOB",
    "large_binary": "BLOB",
    "date32[day]": "DATE",
    "time32[s]": "TIME",
    "time32[ms]": "TIME",
    "time64[us]": "TIME",
}
