"""The three kinds of table, each on something real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.dataset as ds
import pytest

from offpeak.connections import EnvConnections
from offpeak.store import Store
from offpeak.tables import OpenTable, Table, duckdb_table, parquet_table, postgres_table

KINDS = ("parquet", "duckdb", "postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One table under test, and how a reader who does not know Offpeak reads it."""

    kind: str
    spec: Table
    store: Store
    read: Callable[[], list[dict[str, Any]]]

    def open(self) -> OpenTable:
        return self.spec.open(self.store, EnvConnections({}))

    def rows(self) -> dict[Any, dict[str, Any]]:
        return {row["ticket_id"]: row for row in self.read()}

    @property
    def merges(self) -> bool:
        return self.kind != "parquet"


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind = request.param
    store = Store(str(tmp_path / "store"))
    Path(store.root).mkdir()
    if kind == "parquet":
        folder = Path(store.root) / "tickets"
        yield Place(
            kind=kind,
            spec=parquet_table("{store}/tickets"),
            store=store,
            read=lambda: _parquet_rows(folder),
        )
    elif kind == "duckdb":
        file = Path(store.root) / "w.duckdb"
        yield Place(
            kind=kind,
            spec=duckdb_table("{store}/w.duckdb", "tickets"),
            store=store,
            read=lambda: _duckdb_rows(file),
        )
    else:
        url = request.getfixturevalue("postgres_url")
        yield Place(
            kind=kind, spec=postgres_table(url, "tickets"), store=store, read=lambda: _postgres_rows(url)
        )


def _parquet_rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("interval=*/answers.parquet"))
    return [each for file in files for each in ds.dataset(file).to_table().to_pylist()]


def _duckdb_rows(file: Path) -> list[dict[str, Any]]:
    import duckdb

    if not file.exists():
        return []
    with duckdb.connect(file) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            return list(connection.sql("SELECT * FROM tickets").to_arrow_table().to_pylist())
        except duckdb.CatalogException:
            return []


def _postgres_rows(url: str) -> list[dict[str, Any]]:
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain, row_factory=psycopg.rows.dict_row) as connection:
        try:
            return connection.execute("SELECT * FROM tickets").fetchall()
        except psycopg.errors.UndefinedTable:
            return []
