"""The note of a database's versions, in SQL that DuckDB and Postgres both understand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offpeak.embeddings.versions import Version

VECTORS = "_offpeak_vectors"
"""The side table, in the same schema, written in the same transaction as what it tells of."""


def versioned(name: str, version: str) -> str:
    """The table that holds one version; readers use the view `name`."""
    return f"{name}__{version}"


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
