"""Items: the source read once a night, and what later stages need of it laid into the store.

    items.parquet    the night's items, each once, in the order of their groups
    numbers.parquet  per group: counts, the usual, the trend, shares; made by SQL (see numbers.py)
    left_out.json    what was not used, and why

Every stage and the page read the same files, so an item that arrives while the night is under way changes nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.digest.night import Night, night_of
from offpeak.digest.numbers import write_numbers
from offpeak.digest.windows import Room
from offpeak.errors import InputError
from offpeak.files_sql import files_sql, literal, quoted
from offpeak.rows.source import Opening, RowSource

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from offpeak.site import Interval
    from offpeak.store import Store

NO_GROUP = "(none)"
ALL = "all"
EXAMPLES = 3
ITEMS, NUMBERS, LEFT_OUT = "items.parquet", "numbers.parquet", "left_out.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What of a digest decides its items and windows."""

    name: str
    items: RowSource
    text: str
    group: str | None
    time: str | None
    category: str | None
    zone: str
    room: Room

    @property
    def group_column(self) -> str:
        """What the group is called in the tables."""
        return self.group or "part"

    def columns(self) -> tuple[str, ...]:
        named = (self.items.key, self.text, self.group, self.time, self.category)
        return tuple(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What is not in the digest although the source has it; every number is on the page."""

    unreadable: int = 0
    """Records of the source that could not be read."""
    undated: int = 0
    """Items whose time is missing or is none."""
    repeated: int = 0
    """Further items of the night under a key that had one."""
    textless: int = 0
    """Items of the night without a text: counted, but there is nothing to read."""
    examples: tuple[str, ...] = field(default_factory=tuple)
    """The first unreadable ones, in words."""


def folder_of(name: str, interval: Interval) -> str:
    """Where a night's files lie in the store."""
    return f"digests/{name}/nights/{interval.key}"


def gather(recipe: Recipe, opening: Opening) -> None:
    """Read the source and lay the night's files into the store, in place of those that are there.

    InputError when the source cannot be read, or when no item at all has a time.
    """
    night = night_of(opening.interval, recipe.zone)
    with tempfile.TemporaryDirectory(prefix="offpeak-digest-") as place:
        work = Path(place)
        read = _stream(recipe, opening, work / "all.parquet")
        with files_sql(work) as sql:
            sql.execute(f"SET TimeZone = {literal(recipe.zone)}")
            _views(sql, recipe, night, work / "all.parquet", read.schema)
            left_out = _left_out(sql, recipe, read)
            sql.execute(
                f"COPY (SELECT * FROM night ORDER BY grp, moment, item) TO {literal(work / ITEMS)} (FORMAT parquet)"
            )
            write_numbers(sql, night, work / NUMBERS, dated=recipe.time is not None)
        (work / LEFT_OUT).write_text(json.dumps(asdict(left_out)))
        folder = folder_of(recipe.name, opening.interval)
        for name in (LEFT_OUT, NUMBERS, ITEMS):  # the items last: once they are there, all is
            opening.store.put(work / name, f"{folder}/{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    schema: pa.Schema
    unreadable: int
    examples: tuple[str, ...]


def _stream(recipe: Recipe, opening: Opening, path: Path) -> _Read:
    """The wanted columns of every record, one batch after the other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = recipe.columns()
    unreadable = 0
    examples: list[str] = []
    schema = pa.schema([pa.field(name, pa.string()) for name in wanted])
    with ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for batch in recipe.items.batches(replace(opening, columns=wanted)):
            unreadable += len(batch.problems)
            for problem in batch.problems[: EXAMPLES - len(examples)]:
                examples.append(f"{problem.origin}, {problem.number}: {problem.reason}")
            records = _only(batch.records, wanted, batch.origin)
            if writer is None:
                schema = records.schema
                writer = stack.enter_context(pq.ParquetWriter(path, schema, compression="lz4"))
            writer.write_batch(records.cast(schema))
        if writer is None:
            pq.write_table(schema.empty_table(), path)
    return _Read(schema=schema, unreadable=unreadable, examples=tuple(examples))


def _only(records: pa.RecordBatch, wanted: tuple[str, ...], origin: str) -> pa.RecordBatch:
    missing = [name for name in wanted if name not in records.schema.names]
    if missing:
        raise InputError(
            f"{origin} has no column {', '.join(map(repr, missing))}. Nothing was sent. "
            f"It has: {', '.join(map(repr, records.schema.names[:50]))}."
        )
    return records.select(list(wanted))


def _views(
    sql: duckdb.DuckDBPyConnection, recipe: Recipe, night: Night, path: Path, schema: pa.Schema
) -> None:
    """`items`: every record, with its time as a moment; `night`: those of the night, each key once."""
    group = "NULL" if recipe.group is None else quoted(recipe.group)
    category = "NULL" if recipe.category is None else quoted(recipe.category)
    nameless = ALL if recipe.group is None else NO_GROUP
    moment = "NULL::TIMESTAMPTZ" if recipe.time is None else _moment(recipe.time, schema)
    sql.execute(
        f"""CREATE VIEW items AS
            SELECT {quoted(recipe.items.key)}::VARCHAR AS item,
                   coalesce(nullif(trim({group}::VARCHAR), ''), {literal(nameless)}) AS grp,
                   {quoted(recipe.text)}::VARCHAR AS text, {moment} AS moment,
                   nullif(trim({category}::VARCHAR), '') AS category
            FROM read_parquet({literal(path)})"""
    )
    inside = "true"
    if recipe.time is not None:
        inside = f"moment >= {literal(night.start.isoformat())} AND moment < {literal(night.end.isoformat())}"
    sql.execute(f"CREATE VIEW inside AS SELECT * FROM items WHERE {inside}")
    sql.execute(
        """CREATE VIEW night AS SELECT * FROM inside
           QUALIFY row_number() OVER (PARTITION BY item ORDER BY moment, grp, text) = 1"""
    )


def _moment(column: str, schema: pa.Schema) -> str:
    """SQL of the time column as a moment; null where it is none. InputError for a column that holds no times."""
    import pyarrow as pa

    kind = schema.field(column).type
    if pa.types.is_timestamp(kind):
        return f"{quoted(column)}::TIMESTAMPTZ"  # one without a zone is read in the digest's
    if pa.types.is_date(kind):
        return f"{quoted(column)}::TIMESTAMP::TIMESTAMPTZ"
    if pa.types.is_string(kind):
        return f"TRY_CAST(trim({quoted(column)}) AS TIMESTAMPTZ)"
    raise InputError(
        f"The time column {column!r} is of type {kind}, which is no time. Nothing was sent. Give a column of "
        "timestamps, dates, or texts such as 2026-11-22T08:15:00Z, or time=None to take all rows."
    )


def _left_out(sql: duckdb.DuckDBPyConnection, recipe: Recipe, read: _Read) -> LeftOut:
    def number(query: str) -> int:
        ((found,),) = sql.execute(query).fetchall()
        return int(found)

    undated = 0
    if recipe.time is not None:
        total, undated = (
            number("SELECT count(*) FROM items"),
            number("SELECT count(*) FROM items WHERE moment IS NULL"),
        )
        if total and undated == total:
            raise InputError(
                f"Digest {recipe.name}: none of the {total:,} items has a time in the column {recipe.time!r}. "
                "Nothing was sent. Name the column that says when an item came, or time=None to take all rows."
            )
    return LeftOut(
        unreadable=read.unreadable,
        undated=undated,
        repeated=number("SELECT count(*) FROM inside") - number("SELECT count(*) FROM night"),
        textless=number("SELECT count(*) FROM night WHERE trim(coalesce(text, '')) = ''"),
        examples=read.examples,
    )


def read_left_out(store: Store, folder: str) -> LeftOut:
    """What `gather` noted."""
    said = json.loads(store.read_bytes(f"{folder}/{LEFT_OUT}"))
    return LeftOut(**{**said, "examples": tuple(said["examples"])})


@contextmanager
def night_sql(store: Store, folder: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """SQL over the night's files: the views `items` and `numbers`."""
    with tempfile.TemporaryDirectory(prefix="offpeak-digest-") as place, ExitStack() as stack:
        sql = stack.enter_context(files_sql(Path(place)))
        sql.execute("SET TimeZone = 'UTC'")
        for view, name in (("items", ITEMS), ("numbers", NUMBERS)):
            path = stack.enter_context(store.reading(f"{folder}/{name}"))
            sql.execute(f"CREATE VIEW {view} AS SELECT * FROM read_parquet({literal(path)})")
        yield sql
