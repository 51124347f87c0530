"""Vectors in Postgres: a table for each version and a view for readers, with pgvector where the server has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.embeddings import catalogue
from offpeak.embeddings.pgvector import create_index, installed, of_pgvector, similarity
from offpeak.embeddings.versions import (
    FIRST,
    KEEP,
    VECTOR,
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
from offpeak.errors import SpecError
from offpeak.tables import merge
from offpeak.tables.columns import quoted, rows_per_batch, split_table
from offpeak.tables.copying import columns_of
from offpeak.tables.postgres import NAME_BYTES, STAGING, OpenPostgres, PostgresTable, postgres_table
from offpeak.tables.table import Layout, Published, Staged

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

    from offpeak.connections import Connections
    from offpeak.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresVectors:
    """The view `table`; each version is the table `<table>__<version>`, with an index where pgvector has one."""

    connection: str = field(repr=False)
    table: str
    version: str = FIRST
    keep: int = KEEP

    def describe(self) -> str:
        return self._plain.describe().replace("table", "vectors", 1)

    def problems(self, layout_types: dict[str, str]) -> list[str]:
        return self._plain.problems(layout_types)

    def of_version(self, version: str) -> PostgresVectors:
        return replace(self, version=version)

    def open(self, store: Store, connections: Connections) -> OpenPostgresVectors:
        plain = self._plain.open(store, connections)
        assert isinstance(plain, OpenPostgres)
        return OpenPostgresVectors(
            parameters=plain.parameters,
            place=self.describe(),
            table=catalogue.versioned(self.table, self.version),
            view=self.table,
            version=self.version,
            keep=self.keep,
        )

    @property
    def _plain(self) -> PostgresTable:
        return PostgresTable(connection=self.connection, table=self.table)


def postgres_vectors(connection: str, name: str, *, keep: int = KEEP) -> PostgresVectors:
    """A view of vectors in the database of a connection id or a URL; SpecError when either cannot be one."""
    checked(FIRST, keep)
    made = postgres_table(connection, name)
    room = NAME_BYTES - 18
    if len(split_table(name)[1].encode()) > room:
        raise SpecError(
            f"The table name {name!r} is longer than the {room} bytes that leave room for a version."
        )
    return PostgresVectors(connection=made.connection, table=made.table, keep=keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPostgresVectors(OpenPostgres):
    """`table` is the one of this version. Rows are merged and deleted in one transaction, so that readers keep the
    old ones until its end and the index takes in only what is new. The view is replaced when it changes."""

    view: str = ""
    version: str = FIRST
    keep: int = KEEP

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int:
        tables = [_Alone(table=self._of(one.name)) for one in self.versions()]
        if len(tables) == 1:
            return tables[0].answered(wanted, layout, into)
        return carry_from(tables, wanted, layout, into)

    def publish(self, staged: Staged) -> Published:
        merge.require_whole(staged)
        with self._session("could not be published; readers keep what they had") as session:
            self._lock(session, self._catalogue.name)
            if not self._exists(session, self._catalogue.side):
                self._lock(session, catalogue.VECTORS)
                self._create_schema(session)
                session.execute(catalogue.create(self._catalogue.side))
            before = self._listed(session)
            refuse_strangers(before, staged.workload, self.place)
            stored = self._stored(session)
            if stored and (known := self._published_before(session, staged)):
                return known
            columns = self._settled(session, staged.layout, stored)
            self._stage(session, staged, columns)
            self._prepare(session, staged.layout, stored, self._own_types(session, staged.layout, columns))
            self._merge(session, staged, columns)
            published = self._note(session, staged)
            if not stored:
                create_index(session, self._target, VECTOR, self.place)
            mine = published_version(self.version, staged, published)
            self._catalogue.published(session, mine, before, keep=self.keep, show=self._show)
            return published

    def last(self, workload: str) -> Published | None:
        seen = seen_by_readers(self.versions())
        return as_published(seen, self.place) if seen and seen.workload == workload else None

    def head(self, count: int) -> pa.Table:
        seen = seen_by_readers(self.versions())
        return OpenPostgres.head(self._of(seen.name) if seen else self, count)

    # -- versions
    def versions(self) -> Sequence[Version]:
        with self._session("could not be read") as session:
            return self._listed(session)

    def use(self, version: str | None) -> Version:
        with self._session("could not be changed") as session:
            self._lock(session, self._catalogue.name)
            there = self._listed(session)
            chosen = found(there, version or next((one.name for one in there), None), self.place)
            self._show(session, chosen.name, pinned=version is not None)
            return found(self._listed(session), chosen.name, self.place)

    def scan(self, columns: Sequence[str], version: str | None = None) -> Iterator[pa.RecordBatch]:
        import psycopg

        with self._session("could not be read") as session:
            there = self._listed(session)
            if not there:
                return
            table = self._of(found(there, version, self.place).name)
            schema = _schema(session, table._target, columns)
            with psycopg.RawServerCursor(session, "offpeak_scan") as cursor:
                names = ", ".join(quoted(name) + ("::real[]" if name == VECTOR else "") for name in columns)
                query = f"SELECT {names} FROM {table._target} WHERE _outcome = 'answered'"
                cursor.execute(query, binary=True)
                while rows := cursor.fetchmany(rows_per_batch(schema)):
                    yield columns_of(rows, schema)

    def nearest(
        self, question: Sequence[float], *, top: int, columns: Sequence[str], version: str | None = None
    ) -> Sequence[Hit]:
        with self._session("could not be searched") as session:
            table = self._of(found(self._listed(session), version, self.place).name)
            kind = OpenPostgres._stored(table, session).get(VECTOR, "")
            found_rows = similarity(session, table._target, kind, question, top=top, columns=columns)
        return [Hit(score, dict(zip(columns, row, strict=True))) for score, row in found_rows]

    # -- the transaction
    def _own_types(
        self, session: psycopg.Connection[Any], layout: Layout, columns: dict[str, str]
    ) -> dict[str, str]:
        """The columns as the table has them: pgvector's type for the vector, where the server has pgvector."""
        import pyarrow as pa

        kind = layout.schema.field(VECTOR).type if VECTOR in layout.schema.names else None
        if kind is None or not pa.types.is_fixed_size_list(kind) or not installed(session, self.place):
            return columns
        return {**columns, VECTOR: f"vector({kind.list_size})"}

    def _merge(self, session: psycopg.Connection[Any], staged: Staged, columns: dict[str, str]) -> None:
        key = quoted(staged.layout.key)
        statement = merge.insert_or_update(
            self._target, STAGING, columns=list(columns), key=staged.layout.key
        )
        session.execute(statement, [staged.run_id])
        session.execute(f"CREATE INDEX ON {STAGING} ({key})")
        session.execute(f"ANALYZE {STAGING}")
        session.execute(
            f"DELETE FROM {self._target} AS kept WHERE NOT EXISTS "
            f"(SELECT 1 FROM {STAGING} AS new WHERE new.{key} = kept.{key})"
        )

    def _show(self, session: psycopg.Connection[Any], version: str, *, pinned: bool) -> None:
        target, note = self._of(version), self._catalogue
        stored = OpenPostgres._stored(target, session)
        seen = seen_by_readers(self._listed(session))
        viewed = OpenPostgres._stored(replace(self, table=self.view), session)
        # left alone while it is right: replacing a view waits for everybody who reads it
        if seen is None or seen.name != version or viewed != stored:
            session.execute(f"DROP VIEW IF EXISTS {note.view}")
            session.execute(f"CREATE VIEW {note.view} AS SELECT * FROM {target._target}")
        session.execute(catalogue.show(note.side), [note.name, version, pinned])

    def _create_schema(self, session: psycopg.Connection[Any]) -> None:
        if self._schema:
            session.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._schema)}")

    # -- what is there
    def _stored(self, session: psycopg.Connection[Any]) -> dict[str, str]:
        """A vector of pgvector takes and gives real[], so the base sees it as that."""
        found_types = OpenPostgres._stored(self, session)
        return {name: "real[]" if of_pgvector(kind) else kind for name, kind in found_types.items()}

    def _listed(self, session: psycopg.Connection[Any]) -> tuple[Version, ...]:
        if not self._exists(session, self._catalogue.side):
            return ()
        return self._catalogue.listed(session)

    def _of(self, version: str) -> OpenPostgresVectors:
        return replace(self, version=version, table=catalogue.versioned(self.view, version))

    @property
    def _catalogue(self) -> catalogue.Catalogue:
        schema, name = split_table(self.view)
        return catalogue.Catalogue(schema=schema, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alone:
    """One version's table by itself."""

    table: OpenPostgresVectors

    def answered(self, wanted: Path, layout: Layout, into: Path) -> int:
        return OpenPostgres.answered(self.table, wanted, layout, into)


def _schema(session: psycopg.Connection[Any], table: str, columns: Sequence[str]) -> pa.Schema:
    """The Arrow types of some columns: the vector's with its length, integers, and text for the rest."""
    import pyarrow as pa

    names = ", ".join(quoted(name) for name in columns)
    described = session.execute(f"SELECT {names} FROM {table} LIMIT 0").description or []
    kinds = {20: pa.int64(), 23: pa.int64()}
    fields = [pa.field(one.name, kinds.get(one.type_code, pa.string())) for one in described]
    if VECTOR in columns:
        query = f"SELECT cardinality({quoted(VECTOR)}::real[]) FROM {table} WHERE {quoted(VECTOR)} IS NOT NULL LIMIT 1"
        size = session.execute(query).fetchone()
        fields[list(columns).index(VECTOR)] = pa.field(VECTOR, pa.list_(pa.float32(), size[0] if size else 1))
    return pa.schema(fields)
