"""Vectors in a DuckDB file: a table for each version, and a view that shows readers one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.embeddings import catalogue
from offpeak.embeddings.nearest import nearest_rows
from offpeak.embeddings.versions import (
    FIRST,
    KEEP,
    Hit,
    Version,
    as_published,
    carry_from,
    checked,
    found,
    published_version,
    refuse_strangers,
    seen_by_readers,
)
from offpeak.tables import merge
from offpeak.tables.columns import quoted, split_table
from offpeak.tables.duckdb import DuckDBTable, OpenDuckDB, duckdb_table
from offpeak.tables.engine import batches_of, first_row, parquet_files
from offpeak.tables.merge import require_whole
from offpeak.tables.table import Layout, Published, Staged

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from offpeak.connections import Connections
    from offpeak.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckDBVectors:
    """The view `table` in the file; each version is the table `<table>__<version>`."""

    database: str
    table: str
    version: str = FIRST
    keep: int = KEEP

    def describe(self) -> str:
        return f"DuckDB vectors {self.table} in {self.database}"

    def problems(self, layout_types: dict[str, str]) -> list[str]:
        return DuckDBTable(database=self.database, table=self.table).problems(layout_types)

    def of_version(self, version: str) -> DuckDBVectors:
        return replace(self, version=version)

    def open(self, store: Store, connections: Connections) -> OpenDuckDBVectors:
        plain = DuckDBTable(database=self.database, table=self.table).open(store, connections)
        assert isinstance(plain, OpenDuckDB)
        return OpenDuckDBVectors(
            path=plain.path,
            table=catalogue.versioned(self.table, self.version),
            view=self.table,
            version=self.version,
            keep=self.keep,
        )


def duckdb_vectors(database: str, name: str, *, keep: int = KEEP) -> DuckDBVectors:
    """A view of vectors in a DuckDB file; SpecError when either cannot be one."""
    checked(FIRST, keep)
    made = duckdb_table(database, name)
    return DuckDBVectors(database=made.database, table=made.table, keep=keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDuckDBVectors(OpenDuckDB):
    """`table` is the one of this version; a publish changes it and the view in one transaction."""

    view: str = ""
    version: str = FIRST
    keep: int = KEEP

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int:
        tables = [self._plain(one.name) for one in self.versions()]
        if len(tables) == 1:
            return tables[0].answered(wanted, layout, into)
        return carry_from(tables, wanted, layout, into)

    def publish(self, staged: Staged) -> Published:
        require_whole(staged)
        with self._told("could not be published; readers keep what they had"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._connected(write=True) as connection:
                connection.begin()
                published = self._replaced(connection, staged)
                connection.commit()
                return published

    def last(self, workload: str) -> Published | None:
        seen = seen_by_readers(self.versions())
        return as_published(seen, self._address) if seen and seen.workload == workload else None

    def head(self, count: int) -> pa.Table:
        seen = seen_by_readers(self.versions())
        return (self._plain(seen.name) if seen else self._plain(self.version)).head(count)

    # -- versions
    def versions(self) -> Sequence[Version]:
        with self._told("could not be read"), self._reading() as connection:
            return self._listed(connection) if connection else ()

    def use(self, version: str | None) -> Version:
        with self._told("could not be changed"):
            there = self.versions()
            chosen = found(there, version or next((one.name for one in there), None), self._address)
            with self._connected(write=True) as connection:
                connection.begin()
                self._show(connection, chosen.name, pinned=version is not None)
                made = self._listed(connection)
                connection.commit()
            return found(made, chosen.name, self._address)

    def scan(self, columns: Sequence[str], version: str | None = None) -> Iterator[pa.RecordBatch]:
        with self._told("could not be read"), self._reading() as connection:
            there = self._listed(connection) if connection else ()
            if connection is None or not there:
                return
            table = self._plain(found(there, version, self._address).name)
            stored = table._stored(connection)
            assert stored is not None
            names = ", ".join(quoted(name) for name in columns)
            query = f"SELECT {names} FROM {table._target} WHERE _outcome = 'answered'"
            yield from batches_of(connection, query, [], stored)

    def nearest(
        self, question: Sequence[float], *, top: int, columns: Sequence[str], version: str | None = None
    ) -> Sequence[Hit]:
        with self._told("could not be searched"), self._reading() as connection:
            there = self._listed(connection) if connection else ()
            table = self._plain(found(there, version, self._address).name)
            assert connection is not None
            return nearest_rows(connection, table._target, question, top=top, columns=columns)

    # -- the transaction
    def _replaced(self, connection: duckdb.DuckDBPyConnection, staged: Staged) -> Published:
        connection.execute(catalogue.create(self._catalogue.side))
        connection.execute(merge.create_publishes(self._side))
        before = self._listed(connection)
        refuse_strangers(before, staged.workload, self._address)
        known: list[object] = [staged.workload, self._name, staged.run_id]
        if self._stored(connection) and (
            published := self._noted(connection, merge.find_publish(self._side), known)
        ):
            return published
        published = self._publish(connection, staged)
        key = quoted(staged.layout.key)
        connection.execute(
            f"DELETE FROM {self._target} WHERE {key} NOT IN (SELECT {key} FROM read_parquet($1))",
            [*parquet_files([staged.path])],
        )
        mine = published_version(self.version, staged, published)
        self._catalogue.published(connection, mine, before, keep=self.keep, show=self._show)
        return published

    def _show(self, session: duckdb.DuckDBPyConnection, version: str, *, pinned: bool) -> None:
        target, note = self._plain(version)._target, self._catalogue
        session.execute(f"CREATE OR REPLACE VIEW {note.view} AS SELECT * FROM {target}")
        session.execute(catalogue.show(note.side), [note.name, version, pinned])

    # -- what is there
    def _listed(self, connection: duckdb.DuckDBPyConnection) -> tuple[Version, ...]:
        query = "SELECT 1 FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2"
        if first_row(connection, query, [self._schema or "main", catalogue.VECTORS]) is None:
            return ()
        return self._catalogue.listed(connection)

    def _plain(self, version: str) -> OpenDuckDB:
        """One version's table by itself."""
        name = catalogue.versioned(self.view, version)
        return OpenDuckDB(path=self.path, table=name, now=self.now, patience_seconds=self.patience_seconds)

    @property
    def _catalogue(self) -> catalogue.Catalogue:
        schema, name = split_table(self.view)
        return catalogue.Catalogue(schema=schema, name=name)
