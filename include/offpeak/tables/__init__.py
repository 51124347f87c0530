"""Tables: where answers are published. One file per kind, behind one small protocol."""

from __future__ import annotations

from offpeak.tables.duckdb import duckdb_table
from offpeak.tables.parquet import parquet_table
from offpeak.tables.postgres import postgres_table
from offpeak.tables.table import PROVENANCE, Layout, OpenTable, Published, Staged, Table

__all__ = [
    "PROVENANCE",
    "Layout",
    "OpenTable",
    "Published",
    "Staged",
    "Table",
    "duckdb_table",
    "parquet_table",
    "postgres_table",
]
