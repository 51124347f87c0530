"""The nearest rows by DuckDB's own exact functions: every vector is compared, none is missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from offpeak.embeddings.versions import VECTOR, Hit
from offpeak.tables.columns import quoted

if TYPE_CHECKING:
    import duckdb


def nearest_rows(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    question: Sequence[float],
    *,
    top: int,
    columns: Sequence[str],
    file: str = "",
) -> list[Hit]:
    """The `top` answered rows of `source` (a table, or `read_parquet($1)` of `file`) by cosine similarity."""
    size = len(question)
    names = ", ".join(quoted(name) for name in columns)
    values: list[object] = [file] if file else []
    at = len(values)
    query = (
        f"SELECT array_cosine_similarity({quoted(VECTOR)}::FLOAT[{size}], ${at + 1}::FLOAT[{size}]) AS _score, "
        f"{names} FROM {source} WHERE _outcome = 'answered' AND NOT isnan(_score) "
        f"ORDER BY _score DESC, {names} LIMIT ${at + 2}"
    )
    found = connection.execute(query, [*values, list(question), top]).fetchall()
    return [Hit(float(score), dict(zip(columns, row, strict=True))) for score, *row in found]
