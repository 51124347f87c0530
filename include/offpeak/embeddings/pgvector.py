"""pgvector where the server has it: its type, its index, its distance; and plain arrays compared exactly where not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from offpeak.embeddings.versions import VECTOR
from offpeak.tables.columns import quoted

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger(__name__)

INDEX_DIMENSIONS = 2_000
"""Longer vectors have no index of pgvector (its README, 0.8)."""
HNSW_SINCE = (0, 5)
ROW_BYTES = 512
"""Of a row in the graph, besides its vector."""
LEAST_BUILD_BYTES, MOST_BUILD_BYTES = 64 << 20, 2 << 30
SEARCHED = (100, 1_000)
"""Candidates that a search of the index looks at: at least, and at most as pgvector allows."""


def of_pgvector(kind: str) -> bool:
    """Whether a type, in the words of `format_type`, is pgvector's."""
    return kind.rpartition(".")[2].startswith("vector(")


def installed(session: psycopg.Connection[Any], place: str) -> bool:
    """Whether this database has pgvector, which is created if the server offers it and we may."""
    import psycopg

    if version(session):
        return True
    offered = session.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").fetchone()
    why = "the server does not offer the extension `vector`"
    if offered:
        try:
            with session.transaction():
                session.execute("CREATE EXTENSION IF NOT EXISTS vector")
            return True
        except psycopg.errors.InsufficientPrivilege:
            why = "this user may not create the extension `vector`; ask its owner to"
    log.warning(
        "%s: without pgvector (%s). The vectors are kept as real[] and searched exactly, without an index.",
        *(place, why),
    )
    return False


def version(session: psycopg.Connection[Any]) -> tuple[int, ...]:
    """Of pgvector in this database; empty without it."""
    found = session.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    return tuple(int(part) for part in str(found[0]).split(".") if part.isdigit()) if found else ()


def create_index(session: psycopg.Connection[Any], table: str, column: str, place: str) -> None:
    """An index for the nearest by cosine, once the table has its rows: HNSW, in an old pgvector IVFFlat."""
    found = session.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass($1) "
        "AND attname = $2",
        [table, column],
    ).fetchone()
    if not found or not of_pgvector(found[0]):
        return
    if (size := int(found[0].partition("(")[2].rstrip(")"))) > INDEX_DIMENSIONS:
        log.warning(
            "%s: vectors of %d dimensions have no index, which takes %d at most; they are searched exactly.",
            *(place, size, INDEX_DIMENSIONS),
        )
        return
    kind = "hnsw" if version(session) >= HNSW_SINCE else "ivfflat"
    counted = session.execute(f"SELECT count(*) FROM {table}").fetchone()
    needed = (counted[0] if counted else 0) * (4 * size + ROW_BYTES)
    # a graph that does not fit into memory while it is built takes many times as long
    memory = min(max(needed, LEAST_BUILD_BYTES), MOST_BUILD_BYTES) // 1024
    session.execute(f"SET LOCAL maintenance_work_mem = '{memory}kB'")
    session.execute(f"CREATE INDEX ON {table} USING {kind} ({quoted(column)} vector_cosine_ops)")


def similarity(
    session: psycopg.Connection[Any],
    table: str,
    kind: str,
    question: Sequence[float],
    *,
    top: int,
    columns: Sequence[str],
) -> list[tuple[float, Sequence[Any]]]:
    """The `top` rows by cosine similarity with their scores; `kind` is the type of the table's vectors."""
    names, vector = ", ".join(quoted(name) for name in columns), quoted(VECTOR)
    given: object = list(question)
    if of_pgvector(kind):
        if version(session) >= HNSW_SINCE:
            looked_at = min(max(SEARCHED[0], 2 * top), SEARCHED[1])
            session.execute(f"SET LOCAL hnsw.ef_search = {looked_at}")
        query = (
            f"SELECT 1 - ({vector} <=> $1::real[]::vector) AS score, {names} FROM {table} "
            f"WHERE _outcome = 'answered' ORDER BY {vector} <=> $1::real[]::vector LIMIT $2"
        )
    else:
        query = (
            "SELECT dot / nullif(sqrt(length) * (SELECT sqrt(sum(q * q)) FROM unnest($1::real[]) AS q), 0) "
            f"AS score, {names} FROM {table}, LATERAL (SELECT sum(v::float8 * q) AS dot, sum(v::float8 * v) "
            f"AS length FROM unnest({vector}, $1::real[]) AS pair(v, q)) AS compared "
            "WHERE _outcome = 'answered' ORDER BY score DESC NULLS LAST LIMIT $2"
        )
    rows = session.execute(query, [given, top]).fetchall()
    return [(float(row[0] or 0.0), row[1:]) for row in rows]
