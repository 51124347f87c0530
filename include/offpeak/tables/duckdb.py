"""A table in a DuckDB file: one transaction merges a run into it by key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.errors import SpecError, TableError
from offpeak.site import utc_now
from offpeak.store import is_remote
from offpeak.tables import merge
from offpeak.tables.columns import (
    can_answer,
    carried_schema,
    clashes,
    quoted,
    settle,
    split_table,
    unholdable,
    write_rows,
)
from offpeak.tables.engine import (
    MEMORY_LIMIT,
    batches_of,
    duck_type,
    first_row,
    limit,
    parquet_files,
    selected,
)
from offpeak.tables.table import Layout, OpenTable, Published, Staged

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from offpeak.connections import Connections
    from offpeak.store import Store

PATIENCE_SECONDS = 120.0
"""How long to wait for a process that has the file open: DuckDB lets one process write, or many read."""

MERGE_MEMORY = "60%"
"""Of the machine or container. DuckDB keeps what a transaction replaces in memory, about 400 bytes a row in
our measurements; where that does not fit, the publish fails with nothing changed."""

_RESERVED = {"rowid": "DuckDB's own name for a row's place"}
_NO_TYPE = ("duration", "month_", "dense_union", "sparse_union", "run_end", "decimal256", "fixed_size_binary")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuckDBTable:
    """`database` is a file, or the id of an Airflow connection whose host (else schema) is the file."""

    database: str
    table: str

    def describe(self) -> str:
        return f"DuckDB table {self.table} in {self.database}"

    def problems(self, layout_types: dict[str, str]) -> list[str]:
        return clashes(layout_types, _RESERVED) + unholdable(layout_types, _NO_TYPE, "DuckDB")

    def open(self, store: Store, connections: Connections) -> OpenTable:
        """SpecError when the connection does not exist or does not name a local file."""
        place = self.database if _is_path(self.database) else _named(self.database, connections)
        place = store.expand(place).removeprefix("file://")
        if is_remote(place):
            raise SpecError(
                f"DuckDB writes only to a local file, and {self.database!r} stands for the remote {place}. "
                "Give a path on a disk that every worker shares, or use parquet_table or postgres_table."
            )
        return OpenDuckDB(path=Path(place).expanduser().absolute(), table=self.table)


def duckdb_table(database: str, table: str) -> DuckDBTable:
    """A table (or `schema.table`) in a DuckDB file; SpecError when either cannot be one."""
    if not database.strip() or database.startswith(":memory:"):
        raise SpecError(
            f'duckdb_table({database!r}, ...) needs a file, e.g. "{{store}}/warehouse.duckdb", or the id of '
            "a connection whose host is the path. A database in memory would be gone with the task."
        )
    if split_table(table)[1].lower() in merge.RESERVED_TABLES:
        raise SpecError(f"The table name {table!r} is kept by Offpeak for itself. Choose another name.")
    return DuckDBTable(database=database, table=table)


def _is_path(database: str) -> bool:
    return "/" in database or "{store}" in database or database.endswith((".duckdb", ".ddb", ".db"))


def _named(connection_id: str, connections: Connections) -> str:
    connection = connections.get(connection_id)
    place = (connection.host or connection.schema) if connection else ""
    if place:
        return place
    found = "names no file in its host" if connection else "does not exist"
    raise SpecError(
        f"The connection {connection_id!r} for a DuckDB table {found}. Add one of type duckdb whose host is "
        'the path of the file, or write the path itself: duckdb_table("{store}/warehouse.duckdb", ...).'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDuckDB:
    """Each verb opens the file and closes it again, because an open file keeps every other process out."""

    path: Path
    table: str
    now: Callable[[], datetime] = utc_now
    patience_seconds: float = PATIENCE_SECONDS

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int:
        schema = carried_schema(layout)
        with self._told("could not be read"), self._reading() as connection:
            stored = self._stored(connection) if connection else None
            if connection is None or stored is None or not can_answer(stored, schema):
                return write_rows([], schema, into)
            query = (
                f"SELECT {selected(schema, 'rows')} FROM {self._target} AS rows WHERE rows.rowid IN ("
                f"SELECT rowid FROM {self._target} WHERE _outcome = 'answered' "
                "AND _fingerprint IN (SELECT _fingerprint FROM read_parquet($1)) QUALIFY 1 = row_number() "
                "OVER (PARTITION BY _fingerprint ORDER BY _answered_at DESC NULLS LAST, rowid DESC))"
            )
            return write_rows(batches_of(connection, query, [*parquet_files([wanted])], schema), schema, into)

    def publish(self, staged: Staged) -> Published:
        merge.require_whole(staged)
        with self._told("could not be published; readers keep what they had"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._connected(write=True) as connection:
                # an error closes the connection before the commit, which undoes everything
                connection.begin()
                published = self._publish(connection, staged)
                connection.commit()
                return published

    def last(self, workload: str) -> Published | None:
        with self._told("could not be read"), self._reading() as connection:
            if connection is None or self._stored(connection) is None:
                return None
            return self._noted(connection, merge.last_publish(self._side), [workload, self._name])

    def head(self, count: int) -> pa.Table:
        """The table after the last publish, from its smallest key on."""
        import pyarrow as pa

        with self._told("could not be read"), self._reading() as connection:
            stored = self._stored(connection) if connection else None
            if connection is None or stored is None:
                return pa.table({})
            query = f"SELECT * FROM {self._target} ORDER BY {self._order(connection)} LIMIT $1"
            batches = list(batches_of(connection, query, [count], stored))
            return pa.Table.from_batches(batches) if batches else stored.empty_table()

    def close(self) -> None:
        """Nothing is held open between verbs."""

    # -- the transaction
    def _publish(self, connection: duckdb.DuckDBPyConnection, staged: Staged) -> Published:
        stored = self._stored(connection)
        if stored is not None:
            connection.execute(merge.create_publishes(self._side))
            known: list[object] = [staged.workload, self._name, staged.run_id]
            if before := self._noted(connection, merge.find_publish(self._side), known):
                return before
        schema = self._prepared(connection, staged.layout, stored)
        source = f"(SELECT {selected(schema, 'rows')} FROM read_parquet($2) AS rows)"
        statement = merge.merge_into(self._target, source, columns=schema.names, key=staged.layout.key)
        connection.execute(statement, [staged.run_id, *parquet_files([staged.path])])
        return self._note(connection, staged)

    def _prepared(
        self, connection: duckdb.DuckDBPyConnection, layout: Layout, stored: pa.Schema | None
    ) -> pa.Schema:
        """Make the table, or add the columns that it lacks; returns the types in which it holds the run."""
        new = layout.schema.remove_metadata()
        if stored is None:
            if self._schema:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._schema)}")
            columns = ", ".join(f"{quoted(field.name)} {duck_type(field.type)}" for field in new)
            connection.execute(f"CREATE TABLE {self._target} ({columns}, PRIMARY KEY ({quoted(layout.key)}))")
            connection.execute(merge.create_publishes(self._side))
            return new
        settled = settle(stored, new, self._address)
        if layout.key not in self._unique(connection):
            raise merge.no_unique_key(self._address, self._target, layout.key)
        for field in settled:
            if stored.get_field_index(field.name) < 0:
                connection.execute(
                    f"ALTER TABLE {self._target} ADD COLUMN {quoted(field.name)} {duck_type(field.type)}"
                )
        return settled

    def _note(self, connection: duckdb.DuckDBPyConnection, staged: Staged) -> Published:
        now = self.now()
        connection.execute(
            merge.note_publish(self._side),
            [staged.workload, self._name, staged.run_id, staged.interval_key, now, staged.row_count],
        )
        return self._seen(staged.run_id, now, staged.row_count)

    # -- what is there
    @property
    def _schema(self) -> str | None:
        return split_table(self.table)[0]

    @property
    def _name(self) -> str:
        return split_table(self.table)[1]

    @property
    def _target(self) -> str:
        return merge.qualified(self._schema, self._name)

    @property
    def _side(self) -> str:
        return merge.qualified(self._schema, merge.PUBLISHES)

    @property
    def _address(self) -> str:
        return f"{self.path}#{self.table}"

    def _stored(self, connection: duckdb.DuckDBPyConnection) -> pa.Schema | None:
        """The table's columns, None when there is no such table."""
        query = "SELECT 1 FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2"
        if first_row(connection, query, [self._schema or "main", self._name]) is None:
            return None
        return connection.sql(f"SELECT * FROM {self._target} LIMIT 0").to_arrow_table().schema

    def _unique(self, connection: duckdb.DuckDBPyConnection) -> set[str]:
        """The columns that a row's value names alone, by a primary key, a constraint or an index."""
        where = [self._schema or "main", self._name]
        constraints = connection.execute(
            "SELECT constraint_column_names FROM duckdb_constraints() WHERE schema_name = $1 "
            "AND table_name = $2 AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')",
            where,
        ).fetchall()
        indexes = connection.execute(
            "SELECT expressions FROM duckdb_indexes() "
            "WHERE schema_name = $1 AND table_name = $2 AND is_unique",
            where,
        ).fetchall()
        names = {columns[0] for (columns,) in constraints if len(columns) == 1}
        return names | {text.strip("[]").strip("'\"") for (text,) in indexes}

    def _order(self, connection: duckdb.DuckDBPyConnection) -> str:
        return ", ".join(quoted(name) for name in sorted(self._unique(connection))) or "rowid"

    def _noted(
        self, connection: duckdb.DuckDBPyConnection, query: str, values: list[object]
    ) -> Published | None:
        found = first_row(connection, query, values)
        return self._seen(*found) if found else None

    def _seen(self, run_id: str, published_at: datetime, row_count: int) -> Published:
        return Published(address=self._address, run_id=run_id, published_at=published_at, row_count=row_count)

    # -- the file
    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        if not self.path.exists():
            yield None
            return
        with self._connected(write=False) as connection:
            yield connection

    @contextmanager
    def _connected(self, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._connect(write=write)
        try:
            limit(connection, MERGE_MEMORY if write else MEMORY_LIMIT)
            yield connection
        finally:
            connection.close()

    def _connect(self, *, write: bool) -> duckdb.DuckDBPyConnection:
        """Wait while another process has the file; TableError with its name when patience ends."""
        import duckdb

        until, pause = time.monotonic() + self.patience_seconds, 0.05
        while True:
            for read_only in (False,) if write else (True, False):
                try:
                    return duckdb.connect(self.path, read_only=read_only)
                except (duckdb.ConnectionException, duckdb.ResourceInUseException) as error:
                    # another thread has it open in the other way, or is opening or closing it: try that
                    held: duckdb.Error = error
                except duckdb.IOException as error:
                    if "lock" not in str(error):
                        raise
                    held = error
            if time.monotonic() >= until:
                raise TableError(
                    f"{self._address} is in use and was not free for {self.patience_seconds:g} s ({held}). "
                    "Nothing was changed; readers keep the last publish. Close the program that has the file "
                    "open (a notebook, a DuckDB shell, another publish), then run this step again."
                ) from held
            time.sleep(pause)
            pause = min(pause * 2, 2.0)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        import duckdb
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException, duckdb.Error) as error:
            raise TableError(
                f"The DuckDB table {self._address} {what}: {str(error).rstrip('.')}. Nothing was changed; "
                "put right what the message names and run the step again."
            ) from error
