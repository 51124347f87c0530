"""A table in Postgres: staged by COPY, then merged by key in the same transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.errors import SpecError, TableError
from offpeak.site import utc_now
from offpeak.tables import merge
from offpeak.tables.columns import (
    cannot_hold,
    carried_schema,
    clashes,
    quoted,
    rows_per_batch,
    split_table,
    unholdable,
    write_rows,
)
from offpeak.tables.copying import columns_of, copy_text
from offpeak.tables.pgconnect import connect, is_url, parameters
from offpeak.tables.pgtypes import pg_holds, pg_type
from offpeak.tables.table import Layout, OpenTable, Published, Staged

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

    from offpeak.connections import Connections
    from offpeak.store import Store

log = logging.getLogger(__name__)

NAME_BYTES = 63
"""Longer names are cut by Postgres, so that two of them may become one. (NAMEDATALEN - 1, all versions)"""
COLUMN_COUNT = 1600
STAGING = '"_offpeak_staging"'

_SYSTEM = "a system column of Postgres"
_RESERVED = dict.fromkeys(("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"), _SYSTEM)
_NO_TYPE = ("duration", "month_", "dense_union", "sparse_union", "run_end", "fixed_size_binary")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresTable:
    """`connection` is the id of an Airflow connection, or a URL; `table` may be `schema.table`.

    A NUL in a text becomes U+FFFD, because Postgres has no text with NUL; the log says how many did.
    """

    connection: str = field(repr=False)
    table: str

    def describe(self) -> str:
        # everything before the last @, and the query, may hold a password
        place = self.connection.rpartition("@")[2].partition("?")[0]
        return f"Postgres table {self.table} at {place}"

    def problems(self, layout_types: dict[str, str]) -> list[str]:
        found = [
            f"The column {name!r} has a name of {len(name.encode())} bytes, and Postgres cuts names after "
            f"{NAME_BYTES}. Shorten it."
            for name in layout_types
            if len(name.encode()) > NAME_BYTES
        ]
        if len(layout_types) > COLUMN_COUNT:
            found.append(
                f"The table would have {len(layout_types)} columns, and Postgres holds {COLUMN_COUNT}. "
                "Keep fewer columns, or nest the answer's fields."
            )
        return clashes(layout_types, _RESERVED) + found + unholdable(layout_types, _NO_TYPE, "Postgres")

    def open(self, store: Store, connections: Connections) -> OpenTable:
        """SpecError when the connection does not exist. The server is first asked by a verb."""
        return OpenPostgres(
            parameters=parameters(self.connection, connections), table=self.table, place=self.describe()
        )


def postgres_table(connection: str, table: str) -> PostgresTable:
    """A table in the database of a connection id or a URL; SpecError when either cannot be one."""
    if not connection.strip() or (is_url(connection) and not connection.startswith("postgres")):
        raise SpecError(
            "postgres_table(...) needs the id of an Airflow connection, or a URL that begins with "
            "postgresql://."
        )
    schema, name = split_table(table)
    if name in merge.RESERVED_TABLES or max(len(part.encode()) for part in (schema or "", name)) > NAME_BYTES:
        raise SpecError(
            f"The table name {table!r} is kept by Offpeak for itself, or longer than the {NAME_BYTES} bytes "
            "that Postgres keeps of a name. Choose another name."
        )
    return PostgresTable(connection=connection, table=table)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPostgres:
    """Each verb is one session and one transaction."""

    parameters: dict[str, Any] = field(repr=False)
    table: str
    place: str
    now: Callable[[], datetime] = utc_now

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int:
        schema = carried_schema(layout)
        with self._session("could not be read") as session:
            stored = self._stored(session)
            if not all(
                each.name in stored and pg_holds(pg_type(each.type), stored[each.name]) for each in schema
            ):
                return write_rows([], schema, into)
            session.execute("CREATE TEMP TABLE _offpeak_wanted (fingerprint text) ON COMMIT DROP")
            self._copy(session, wanted, "_offpeak_wanted", ["_fingerprint"])
            session.execute("ANALYZE _offpeak_wanted")
            return write_rows(self._latest(session, schema), schema, into)

    def publish(self, staged: Staged) -> Published:
        merge.require_whole(staged)
        with self._session("could not be published; readers keep what they had") as session:
            self._lock(session, self._name)
            stored = self._stored(session)
            if stored and (before := self._published_before(session, staged)):
                return before
            columns = self._settled(session, staged.layout, stored)
            self._stage(session, staged, columns)
            self._prepare(session, staged.layout, stored, columns)
            statement = merge.insert_or_update(
                self._target, STAGING, columns=list(columns), key=staged.layout.key
            )
            session.execute(statement, [staged.run_id])
            return self._note(session, staged)

    def last(self, workload: str) -> Published | None:
        with self._session("could not be read") as session:
            if not self._stored(session) or not self._exists(session, self._side):
                return None
            found = session.execute(merge.last_publish(self._side), [workload, self._name]).fetchone()
            return self._seen(*found) if found else None

    def head(self, count: int) -> pa.Table:
        """The table after the last publish, from its smallest key on."""
        import pyarrow as pa

        with self._session("could not be read") as session:
            stored = self._stored(session)
            if not stored:
                return pa.table({})
            order = ", ".join(quoted(name) for name in sorted(self._unique(session))) or "ctid"
            cursor = session.execute(f"SELECT * FROM {self._target} ORDER BY {order} LIMIT $1", [count])
            columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(stored)
            return pa.table([_inferred(values) for values in columns], list(stored))

    def close(self) -> None:
        """Nothing is held open between verbs."""

    # -- the transaction
    def _settled(
        self, session: psycopg.Connection[Any], layout: Layout, stored: dict[str, str]
    ) -> dict[str, str]:
        """Each column of the run with its type in the table; TableError when the table cannot hold it."""
        if stored and layout.key not in self._unique(session):
            raise merge.no_unique_key(self.place, self._target, layout.key)
        columns = {each.name: pg_type(each.type) for each in layout.schema}
        for each in layout.schema:
            held = stored.get(each.name)
            if held is None:
                continue
            if not pg_holds(held, columns[each.name]):
                raise cannot_hold(self.place, each.name, held, columns[each.name])
            self._check_length(session, each)
            columns[each.name] = held
        return columns

    def _check_length(self, session: psycopg.Connection[Any], column: pa.Field) -> None:
        """A vector's length is no part of `real[]`, so it is compared with a vector that is there."""
        import pyarrow as pa

        if not pa.types.is_fixed_size_list(column.type):
            return
        name, kind = quoted(column.name), pg_type(column.type)
        query = f"SELECT cardinality({name}::{kind}) FROM {self._target} WHERE {name} IS NOT NULL LIMIT 1"
        found = session.execute(query).fetchone()
        if found and found[0] != column.type.list_size:
            raise cannot_hold(
                self.place, column.name, f"vectors of {found[0]}", f"vectors of {column.type.list_size}"
            )

    def _stage(self, session: psycopg.Connection[Any], staged: Staged, columns: dict[str, str]) -> None:
        held = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
        session.execute(f"CREATE TEMP TABLE {STAGING} ({held}) ON COMMIT DROP")
        nul_count = self._copy(session, staged.path, STAGING, list(columns))
        if nul_count:
            log.warning(
                "%s: %d values of run %s held a NUL, which Postgres cannot store; it was replaced by U+FFFD.",
                *(self.place, nul_count, staged.run_id),
            )

    def _prepare(
        self,
        session: psycopg.Connection[Any],
        layout: Layout,
        stored: dict[str, str],
        columns: dict[str, str],
    ) -> None:
        """Make the table, or add the columns it lacks. After staging, so that readers hardly wait for it."""
        if not self._exists(session, self._side):
            self._lock(session, merge.PUBLISHES)
            if self._schema:
                session.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._schema)}")
            session.execute(merge.create_publishes(self._side))
        if not stored:
            held = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
            session.execute(f"CREATE TABLE {self._target} ({held}, PRIMARY KEY ({quoted(layout.key)}))")
            return
        for name, kind in columns.items():
            if name not in stored:
                session.execute(f"ALTER TABLE {self._target} ADD COLUMN {quoted(name)} {kind}")

    def _copy(self, session: psycopg.Connection[Any], path: Path, table: str, names: list[str]) -> int:
        """Stream a Parquet file into a table of this session; returns how many values had a NUL."""
        import pyarrow.parquet as pq

        nul_count = 0
        file = pq.ParquetFile(path)
        # positional: the table was made with the same columns in the same order
        with session.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv)") as copy:
            for batch in file.iter_batches(rows_per_batch(file.schema_arrow), columns=names):
                text = copy_text(batch.select(names))
                copy.write(text.content)
                nul_count += text.nul_count
        return nul_count

    def _latest(self, session: psycopg.Connection[Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import psycopg

        # as the type that was staged: what is kept of a vector may be another type that casts to it
        names = ", ".join(f"t.{quoted(each.name)}::{pg_type(each.type)}" for each in schema)
        with psycopg.RawServerCursor(session, "offpeak_answered") as cursor:
            # the narrow sort picks the rows; only those are then read whole
            cursor.execute(
                f"WITH picked AS (SELECT DISTINCT ON (_fingerprint) ctid FROM {self._target} "
                "WHERE _outcome = 'answered' AND _fingerprint IN (SELECT fingerprint FROM _offpeak_wanted) "
                "ORDER BY _fingerprint, _answered_at DESC NULLS LAST) "
                f"SELECT {names} FROM {self._target} AS t "
                "WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM picked))",
                binary=True,
            )
            while rows := cursor.fetchmany(rows_per_batch(schema)):
                yield columns_of(rows, schema)

    def _note(self, session: psycopg.Connection[Any], staged: Staged) -> Published:
        now = self.now()
        session.execute(
            merge.note_publish(self._side),
            [staged.workload, self._name, staged.run_id, staged.interval_key, now, staged.row_count],
        )
        return self._seen(staged.run_id, now, staged.row_count)

    def _published_before(self, session: psycopg.Connection[Any], staged: Staged) -> Published | None:
        if not self._exists(session, self._side):
            return None
        known = [staged.workload, self._name, staged.run_id]
        found = session.execute(merge.find_publish(self._side), known).fetchone()
        return self._seen(*found) if found else None

    def _lock(self, session: psycopg.Connection[Any], name: str) -> None:
        """One publish at a time into a table; held to the end of the transaction."""
        session.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended("
            "'offpeak ' || coalesce($1::text, current_schema()) || '.' || $2::text, 0))",
            [self._schema, name],
        )

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

    def _stored(self, session: psycopg.Connection[Any]) -> dict[str, str]:
        """The table's columns with their types, in order; empty when there is no such table."""
        found = session.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [self._target],
        )
        return dict(found.fetchall())

    def _unique(self, session: psycopg.Connection[Any]) -> set[str]:
        """The columns that have a unique index of their own, without a condition."""
        found = session.execute(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = i.indkey[0] WHERE i.indrelid = to_regclass($1) AND i.indisunique "
            "AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL",
            [self._target],
        )
        return {name for (name,) in found.fetchall()}

    def _exists(self, session: psycopg.Connection[Any], table: str) -> bool:
        found = session.execute("SELECT to_regclass($1) IS NOT NULL", [table]).fetchone()
        return bool(found and found[0])

    def _seen(self, run_id: str, published_at: datetime, row_count: int) -> Published:
        return Published(address=self.place, run_id=run_id, published_at=published_at, row_count=row_count)

    @contextmanager
    def _session(self, what: str) -> Iterator[psycopg.Connection[Any]]:
        """One transaction: committed at the end of the block, undone by any error in it."""
        import psycopg
        import pyarrow as pa

        try:
            with connect(self.parameters, self.place) as session:
                yield session
        except (OSError, pa.ArrowException, psycopg.Error) as error:
            # the primary message alone: the detail would repeat rows
            said = (isinstance(error, psycopg.Error) and error.diag.message_primary) or str(error)
            raise TableError(
                f"{self.place} {what}: {said}. Nothing was changed; put right what the message names and run "
                "the step again."
            ) from None


def _inferred(values: Sequence[Any]) -> pa.Array:
    """A column of rows to be shown: in its own type, or as text where Arrow finds no single type for it."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])
