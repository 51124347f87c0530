"""How readers who do not know Offpeak read a table of vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq


def parquet_rows(folder: Path) -> list[dict[str, Any]]:
    """Through the pointer file."""
    pointer = folder / "_current.json"
    if not pointer.exists():
        return []
    file = json.loads(pointer.read_text())["file"]
    rows: list[dict[str, Any]] = pq.ParquetFile(folder / file).read().to_pylist()
    return rows


def duckdb_rows(file: Path, view: str) -> list[dict[str, Any]]:
    import duckdb

    if not file.exists():
        return []
    with duckdb.connect(file) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            return list(connection.sql(f"SELECT * FROM {view}").to_arrow_table().to_pylist())
        except duckdb.CatalogException:
            return []


def postgres_rows(url: str, view: str) -> list[dict[str, Any]]:
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain, row_factory=psycopg.rows.dict_row) as connection:
        try:
            return connection.execute(f"SELECT * FROM {view}".encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return []
