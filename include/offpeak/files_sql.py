"""SQL over the files of a run: joins and groupings larger than memory, spilled to the work folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "256MB"
"""What the engine may hold before it spills to disk."""


@contextmanager
def files_sql(work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory SQL engine that spills into `work`, uses no extension and reaches no network."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(work / "spill"),
            "threads": 2,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        yield connection
    finally:
        connection.close()


def quoted(name: str) -> str:
    """A column or table name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | Path) -> str:
    """A path or word as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"
