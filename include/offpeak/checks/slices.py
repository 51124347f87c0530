"""The staged file as Great Expectations can take it: pandas frames of some columns, never the whole table.

Great Expectations says "batch" for what it judges; here that is a slice: a batch is the provider's job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from offpeak.checks.expectation import is_nested
from offpeak.errors import CheckBroken
from offpeak.states import Outcome

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SLICE_ROWS = 200_000
SLICE_BYTES = 128 * 1024 * 1024  # long texts make a slice shorter than SLICE_ROWS
READ_ROWS = 16_384
READ_ROWS_NESTED = 1_024  # a vector of 1,536 floats is 6 kB

Gaps = Literal["objects", "floats", "nullable"]
"""Integers with nulls: Python objects (exact), floats (ordered, summed), or pandas' own nullable integers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """One Parquet file in the layout of a table. Opened once; every read streams it anew."""

    path: Path
    schema: pa.Schema
    key: str
    rows: int
    answered: int

    @classmethod
    def open(cls, path: Path, key: str) -> StagedFile:
        """Raises CheckBroken when the file cannot be read, or has no `key` or no `_outcome`."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
                missing = [name for name in (key, "_outcome") if name not in schema.names]
                if missing:
                    raise CheckBroken(
                        f"The staged file {path} has no column {' and no column '.join(missing)}, so it "
                        f"cannot be judged. Nothing was published. It has: {', '.join(schema.names)}."
                    )
                answered = sum(
                    pc.sum(pc.equal(part.column(0).cast(pa.string()), Outcome.ANSWERED.value)).as_py() or 0
                    for part in file.iter_batches(columns=["_outcome"])
                )
        except (OSError, pa.ArrowException) as error:
            raise CheckBroken(
                f"The staged file {path} cannot be read ({error}). Nothing was judged and nothing was "
                "published; what was paid is kept. Run the check step again."
            ) from error
        return cls(path=path, schema=schema, key=key, rows=rows, answered=answered)

    def count(self, *, answered_only: bool) -> int:
        return self.answered if answered_only else self.rows

    def types(self) -> dict[str, str]:
        """Column name to Arrow type text."""
        return {name: str(self.schema.field(name).type) for name in self.schema.names}

    def slices(self, columns: Sequence[str], *, answered_only: bool, rows: int) -> Iterator[pa.Table]:
        """The key and `columns` in the order of the file, at most `rows` rows and about SLICE_BYTES each."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        wanted = [*dict.fromkeys([self.key, *columns])]
        nested = any(is_nested(str(self.schema.field(name).type)) for name in wanted)
        read_rows = min(rows, READ_ROWS_NESTED if nested else READ_ROWS)
        held: list[pa.RecordBatch] = []
        held_rows = held_bytes = 0
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            read = [*dict.fromkeys([*wanted, "_outcome"])]
            for part in file.iter_batches(batch_size=read_rows, columns=read):
                kept = _without_nested(_answered(part) if answered_only else part).select(wanted)
                if held and (held_rows + kept.num_rows > rows or held_bytes > SLICE_BYTES):
                    yield pa.Table.from_batches(held)
                    held, held_rows, held_bytes = [], 0, 0
                if kept.num_rows:
                    held.append(kept)
                    held_rows += kept.num_rows
                    held_bytes += kept.nbytes
        if held:
            yield pa.Table.from_batches(held)

    def hashed(self, columns: Sequence[str], *, answered_only: bool, rows: int) -> Iterator[pa.Table]:
        """The key and `columns` in slices of about `rows` rows; rows of equal `columns` are in one slice."""
        import duckdb

        parts = self.parts(answered_only=answered_only, rows=rows)
        wanted = ", ".join(_quoted(name) for name in dict.fromkeys([self.key, *columns]))
        judged = ", ".join(_quoted(name) for name in columns)
        scope = f"_outcome = '{Outcome.ANSWERED.value}'" if answered_only else "true"
        # names are quoted and the path is bound
        query = f"SELECT {wanted} FROM read_parquet(?) WHERE {scope} AND hash({judged}) % {parts} = ?"
        limits: dict[str, str | bool | int | float | list[str]] = {
            "threads": 2,
            "memory_limit": "1GB",
            "temp_directory": "",
            "autoload_known_extensions": False,
        }
        with duckdb.connect(":memory:", config=limits) as database:
            for part in range(parts):
                yield database.sql(query, params=[_literal(self.path), part]).to_arrow_table()

    def parts(self, *, answered_only: bool, rows: int) -> int:
        """How many slices `hashed` makes."""
        return -(-self.count(answered_only=answered_only) // rows)

    def whole(self, columns: Sequence[str], *, answered_only: bool) -> pa.Table:
        """The key and `columns`, all rows at once."""
        import pyarrow as pa

        found = list(self.slices(columns, answered_only=answered_only, rows=max(self.rows, 1)))
        return pa.concat_tables(found) if found else self.schema.empty_table()


def frame(table: pa.Table, columns: Sequence[str], gaps: Gaps) -> pd.DataFrame:
    """`columns` of `table` as pandas, numbered from 0. Decimals become floats, as bounds of checks are."""
    import pandas as pd
    import pyarrow as pa

    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        **{getattr(pa, f"int{bits}")(): getattr(pd, f"Int{bits}Dtype")() for bits in (8, 16, 32, 64)},
        **{getattr(pa, f"uint{bits}")(): getattr(pd, f"UInt{bits}Dtype")() for bits in (8, 16, 32, 64)},
    }
    made: pd.DataFrame = _comparable(table.select(list(columns))).to_pandas(
        types_mapper=nullable.get if gaps == "nullable" else None,
        integer_object_nulls=gaps == "objects",
    )
    return made


def _comparable(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    for at, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.float64()))
        elif pa.types.is_dictionary(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(field.type.value_type))
    return table


def _answered(part: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    answered = pc.equal(part.column("_outcome").cast(pa.string()), Outcome.ANSWERED.value)
    return part if answered.true_count == part.num_rows else part.filter(answered)  # most often all are


def _without_nested(part: pa.RecordBatch) -> pa.RecordBatch:
    """Vectors, lists and records as true where there is one: only whether they are null is ever asked."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for at, field in enumerate(part.schema):
        if is_nested(str(field.type)):
            there = pc.if_else(part.column(at).is_valid(), True, pa.scalar(None, pa.bool_()))
            part = part.set_column(at, field.name, there)
    return part


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(path: Path) -> str:
    """`path` with nothing in it that the reader would take for a pattern."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in str(path))
