"""The note of a database's versions, in SQL that DuckDB and Postgres both understand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from offpeak.embeddings.versions import Version, outdated, reader_after
from offpeak.tables import merge

VECTORS = "_offpeak_vectors"
"""The side table, in the same schema, written in the same transaction as what it tells of."""


class Show(Protocol):
    """Makes readers see a version; `pinned` when a person chose it."""

    def __call__(self, session: Any, version: str, *, pinned: bool) -> None: ...


def versioned(name: str, version: str) -> str:
    """The table that holds one version; readers use the view `name`."""
    return f"{name}__{version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Where a view's versions and the note of them lie. A session is a connection of DuckDB or of psycopg."""

    schema: str | None
    name: str
    """The view's."""

    @property
    def view(self) -> str:
        return merge.qualified(self.schema, self.name)

    @property
    def side(self) -> str:
        return merge.qualified(self.schema, VECTORS)

    def listed(self, session: Any) -> tuple[Version, ...]:
        """The versions, the latest publish first. The side table is there."""
        return read(session.execute(listing(self.side), [self.name]).fetchall())

    def published(
        self, session: Any, mine: Version, before: Sequence[Version], *, keep: int, show: Show
    ) -> None:
        """Note a publish into a version, `show` readers the version they see now, and drop what is too old."""
        facts = [mine.workload, mine.run_id, mine.published_at, mine.row_count, mine.key]
        session.execute(note(self.side), [self.name, mine.name, *facts])
        pinned = any(one.pinned for one in before)
        show(session, reader_after(before, mine.name), pinned=pinned)
        for name in outdated(self.listed(session), keep):
            table = merge.qualified(self.schema, versioned(self.name, name))
            session.execute(f"DROP TABLE IF EXISTS {table}")
            session.execute(forget(self.side), [self.name, name])


def create(side: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {side} (table_name TEXT NOT NULL, version TEXT NOT NULL, "
        "workload TEXT NOT NULL, run_id TEXT NOT NULL, published_at TIMESTAMPTZ NOT NULL, "
        "row_count BIGINT NOT NULL, key_column TEXT NOT NULL, is_current BOOLEAN NOT NULL, "
        "is_pinned BOOLEAN NOT NULL, PRIMARY KEY (table_name, version))"
    )


def note(side: str) -> str:
    """$1 table, $2 version, $3 workload, $4 run, $5 when, $6 rows, $7 key."""
    return (
        f"INSERT INTO {side} VALUES ($1, $2, $3, $4, $5, $6, $7, false, false) "
        "ON CONFLICT (table_name, version) DO UPDATE SET workload = excluded.workload, run_id = excluded.run_id, "
        "published_at = excluded.published_at, row_count = excluded.row_count, key_column = excluded.key_column"
    )


def show(side: str) -> str:
    """$1 table, $2 the version that readers see, $3 whether a person chose it."""
    return f"UPDATE {side} SET is_current = (version = $2), is_pinned = (version = $2 AND $3) WHERE table_name = $1"


def forget(side: str) -> str:
    return f"DELETE FROM {side} WHERE table_name = $1 AND version = $2"


def listing(side: str) -> str:
    """The latest publish first."""
    return (
        "SELECT version, workload, run_id, published_at, row_count, key_column, is_current, is_pinned "
        f"FROM {side} WHERE table_name = $1 ORDER BY published_at DESC, version"
    )


def read(rows: Sequence[Sequence[Any]]) -> tuple[Version, ...]:
    """The rows of `listing`."""
    return tuple(
        Version(
            name=name,
            workload=workload,
            run_id=run_id,
            published_at=when,
            row_count=count,
            key=key,
            current=current,
            pinned=pinned,
        )
        for name, workload, run_id, when, count, key, current, pinned in rows
    )
