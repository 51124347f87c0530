"""The merge of a run into a table of a database, and the note of it: one rule for DuckDB and Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from offpeak.errors import TableError
from offpeak.tables.columns import quoted

if TYPE_CHECKING:
    from offpeak.tables.table import Staged

PUBLISHES = "_offpeak_publishes"
"""The side table, in the same schema and written in the same transaction: it makes a publish idempotent."""

RESERVED_TABLES = frozenset({PUBLISHES, "_offpeak_staging"})


def qualified(schema: str | None, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)


def merge_into(target: str, source: str, *, columns: Sequence[str], key: str) -> str:
    """Every row of `source` replaces the row of `target` with the same key; the others stay. `$1` is the run.

    DuckDB's words for it: a join, which goes to disk where ON CONFLICT looks up row by row and does not.
    """
    names = ", ".join(quoted(column) for column in columns)
    values = ", ".join(f"excluded.{quoted(column)}" for column in columns)
    sets, changed = _replacing(columns, key)
    return (
        f"MERGE INTO {target} AS kept USING {source} AS excluded "
        f"ON kept.{quoted(key)} = excluded.{quoted(key)} "
        f"WHEN MATCHED AND ({changed}) THEN UPDATE SET {sets} "
        f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )


def insert_or_update(target: str, source: str, *, columns: Sequence[str], key: str) -> str:
    """The same in Postgres's words, which hold against writers that do not take our lock."""
    names = ", ".join(quoted(column) for column in columns)
    sets, changed = _replacing(columns, key)
    return (
        f"INSERT INTO {target} AS kept ({names}) SELECT {names} FROM {source} "
        f"ON CONFLICT ({quoted(key)}) DO UPDATE SET {sets} WHERE {changed}"
    )


def _replacing(columns: Sequence[str], key: str) -> tuple[str, str]:
    """The assignments of a replaced row, and whether they change anything: most rows of most days do not.

    A carried row (asked in another run) whose answer the table already has keeps the table's cost and run,
    because in this run it cost nothing: so the sum of `_cost_usd` stays what was paid for the rows.
    """
    same = (
        'excluded."_run" IS DISTINCT FROM $1 AND kept."_outcome" = excluded."_outcome" '
        'AND kept."_fingerprint" = excluded."_fingerprint"'
    )
    becomes = {
        name: f"CASE WHEN {same} THEN kept.{name} ELSE excluded.{name} END"
        if name in {'"_cost_usd"', '"_run"'}
        else f"excluded.{name}"
        for name in (quoted(column) for column in columns if column != key)
    }
    sets = ", ".join(f"{name} = {value}" for name, value in becomes.items())
    return sets, " OR ".join(f"kept.{name} IS DISTINCT FROM {value}" for name, value in becomes.items())


def create_publishes(side: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {side} (workload TEXT NOT NULL, table_name TEXT NOT NULL, "
        "run_id TEXT NOT NULL, interval_key TEXT NOT NULL, published_at TIMESTAMPTZ NOT NULL, "
        "row_count BIGINT NOT NULL, PRIMARY KEY (workload, table_name, run_id))"
    )


def note_publish(side: str) -> str:
    """The run may be noted already, when its table was dropped since."""
    return (
        f"INSERT INTO {side} VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workload, table_name, run_id) "
        "DO UPDATE SET published_at = excluded.published_at, row_count = excluded.row_count"
    )


def find_publish(side: str) -> str:
    return (
        f"SELECT run_id, published_at, row_count FROM {side} "
        "WHERE workload = $1 AND table_name = $2 AND run_id = $3"
    )


def last_publish(side: str) -> str:
    return (
        f"SELECT run_id, published_at, row_count FROM {side} WHERE workload = $1 AND table_name = $2 "
        "ORDER BY published_at DESC LIMIT 1"
    )


def require_whole(staged: Staged) -> None:
    """TableError unless the staged file has exactly the rows that the run counted."""
    import pyarrow.parquet as pq

    found = pq.read_metadata(staged.path).num_rows
    if found != staged.row_count:
        raise TableError(
            f"The staged file {staged.path} has {found} rows, but the run counted {staged.row_count}. "
            "Nothing was published; readers keep the last publish. Stage the run again."
        )


def no_unique_key(address: str, table: str, key: str) -> TableError:
    return TableError(
        f"{address}: the table has no primary key or unique index on {quoted(key)} alone, so rows cannot be "
        "merged by it. Nothing was changed. Add one "
        f"(CREATE UNIQUE INDEX ON {table} ({quoted(key)})) or publish into a new table."
    )
