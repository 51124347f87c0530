"""How the answers of a run are distributed: counts of the closed values, quantiles of the numbers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.files_sql import files_sql, literal, quoted

if TYPE_CHECKING:
    import duckdb

    from offpeak.workload import Workload

TOP_VALUES = 20
_NUMBERS = ("int64", "double", "decimal")


def distribution(workload: Workload, staged: Path) -> dict[str, Any]:
    """By answer column: `counts` (value to rows, the most frequent first), `quantiles` or `lengths`. JSON values."""
    with tempfile.TemporaryDirectory(prefix="offpeak-spread-") as place, files_sql(Path(place)) as sql:
        sql.execute(
            f"CREATE VIEW answers AS SELECT * FROM read_parquet({literal(staged)}) WHERE _outcome = 'answered'"
        )
        return {
            column.name: made
            for column in workload.form.columns
            if (made := _of(sql, column.name, column.type, closed=column.values is not None))
        }


def _of(sql: duckdb.DuckDBPyConnection, name: str, type_text: str, *, closed: bool) -> dict[str, Any]:
    column = quoted(name)
    if closed or type_text == "bool":
        found = sql.execute(
            f"""SELECT {column}::VARCHAR, count(*) AS n FROM answers WHERE {column} IS NOT NULL
                GROUP BY 1 ORDER BY n DESC, 1 LIMIT {TOP_VALUES}"""
        ).fetchall()
        counts = dict(found)
        nulls = sql.execute(f"SELECT count(*) FROM answers WHERE {column} IS NULL").fetchone()
        return {"counts": counts} | ({"nulls": nulls[0]} if nulls and nulls[0] else {})
    if type_text.startswith(_NUMBERS):
        return _quantiles(sql, f"{column}::DOUBLE", "quantiles")
    if type_text == "string":
        return _quantiles(sql, f"length({column})::DOUBLE", "lengths")
    return {}


def _quantiles(sql: duckdb.DuckDBPyConnection, expression: str, name: str) -> dict[str, Any]:
    row = sql.execute(
        f"""SELECT min(x), approx_quantile(x, 0.25), approx_quantile(x, 0.5), approx_quantile(x, 0.75), max(x)
            FROM (SELECT {expression} AS x FROM answers) WHERE isfinite(x)"""
    ).fetchone()
    if row is None or row[0] is None:
        return {}
    return {name: dict(zip(("min", "p25", "p50", "p75", "max"), row, strict=True))}
