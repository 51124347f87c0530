"""Assembling: rows, answers and carried answers joined into the one file that is judged and published."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.arrays import integers
from offpeak.errors import ReconcileError
from offpeak.files_sql import files_sql, literal
from offpeak.joined import (
    DEAD,
    DEAD_COLUMNS,
    FILE,
    ORDINAL,
    PLACE,
    PLACED,
    dead_letters_query,
    joined_query,
    open_files,
    places,
)
from offpeak.layout import layout_of
from offpeak.results import parquet_options, result_schema
from offpeak.tables.columns import rows_per_batch
from offpeak.vector_files import VectorFiles

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.tables.table import Layout
    from offpeak.workload import Workload

STAGED = "staged.parquet"
DEAD_LETTERS = "dead_letters.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The whole run, row by row."""

    rows: int
    """Rows of the table: those with a key of their own."""
    outcomes: Mapping[str, int]
    """Of every input row, the ones without a place in the table included."""
    dead_letters: int


def assemble(workload: Workload, site: Site, run: Run) -> Assembled:
    """Write `staged.parquet` and `dead_letters.parquet` into the run's folder.

    ReconcileError when input rows and outcomes do not add up; then neither is there.
    """
    folder = str(run.facts["folder"])
    with tempfile.TemporaryDirectory(prefix="offpeak-assemble-") as place:
        work = Path(place)
        with _inputs(workload, site, folder, work) as inputs, files_sql(work) as sql:
            open_files(sql, inputs.files, inputs.results)
            staged = _write_staged(sql, inputs, work, run.run_id)
            _reconcile_staged(run, staged.rows, places(sql, inputs.layout.key))
            _reconcile(run, staged.outcomes)
            _write_dead_letters(sql, workload.rows.key, work)
        for name in (STAGED, DEAD_LETTERS):
            site.store.put(work / name, f"{folder}/{name}")
    outcomes = {str(name): count for name, count in staged.outcomes.items()}
    return Assembled(
        rows=staged.rows, outcomes=outcomes, dead_letters=sum(outcomes.values()) - outcomes.get("answered", 0)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    files: Mapping[str, Path]
    """rows, plan and carried."""
    results: Sequence[Path]
    layout: Layout


@contextmanager
def _inputs(workload: Workload, site: Site, folder: str, work: Path) -> Iterator[_Inputs]:
    """The run's files on this disk. A run of which nothing came back has one of no results."""
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        files = {
            name: stack.enter_context(site.store.reading(f"{folder}/{name}.parquet"))
            for name in ("rows", "plan", "carried")
        }
        names = site.store.names(f"{folder}/results/*.parquet")
        results = [stack.enter_context(site.store.reading(name)) for name in names]
        if not results:
            results = [work / "no_results.parquet"]
            pq.write_table(result_schema(workload).empty_table(), results[0])
        yield _Inputs(files=files, results=results, layout=layout_of(workload, pq.read_schema(files["rows"])))


@dataclass(slots=True)
class _Staged:
    rows: int = 0
    """As written."""
    outcomes: Counter[str | None] = field(default_factory=Counter)
    """Of all rows, the ones that were not written included."""


def _write_staged(sql: duckdb.DuckDBPyConnection, inputs: _Inputs, work: Path, run_id: str) -> _Staged:
    """The table's rows, streamed in the order of the input; the ones without an answer are noted in `work`, too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = inputs.layout.schema
    staged = _Staged()
    notes = pa.schema([(name, pa.int64() if name == ORDINAL else pa.string()) for name in DEAD_COLUMNS])
    with (
        pq.ParquetWriter(work / STAGED, schema, **parquet_options(schema)) as writer,
        pq.ParquetWriter(work / _DEAD, notes, compression="zstd") as dead,
    ):
        for batch in _joined(sql, inputs, work, run_id):
            staged.outcomes.update(_counted(batch["_outcome"]))
            placed = _only(batch, PLACED)
            writer.write_table(pa.Table.from_batches([placed.select(schema.names)]).cast(schema))
            staged.rows += placed.num_rows
            if (without := _only(batch, DEAD)).num_rows:
                dead.write_table(pa.Table.from_batches([without.select(notes.names)]).cast(notes))
    return staged


def _joined(
    sql: duckdb.DuckDBPyConnection, inputs: _Inputs, work: Path, run_id: str
) -> Iterator[pa.RecordBatch]:
    """Every row of the run, with the columns of the table and of `joined_query`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    layout = inputs.layout
    carried = inputs.files["carried"]
    answer = layout.schema.field(layout.answer[0])
    vectors = pa.types.is_fixed_size_list(answer.type)
    query = joined_query(layout, run_id, carries=pq.read_metadata(carried).num_rows > 0, vectors=vectors)
    # a relation streams; the result of execute() would first be held whole
    held_rows = rows_per_batch(layout.schema)  # vectors take four times their room while they are written
    batches = sql.sql(query).to_arrow_reader(held_rows // 4 if vectors else held_rows)
    if not vectors:
        yield from batches
        return
    with VectorFiles([*inputs.results, carried], answer.name, answer.type.list_size, work) as files:
        for batch in batches:
            yield batch.append_column(answer.name, files.take(integers(batch[FILE]), integers(batch[PLACE])))


def _counted(outcomes: pa.Array) -> dict[str | None, int]:
    return {found["values"]: found["counts"] for found in outcomes.value_counts().to_pylist()}


def _only(batch: pa.RecordBatch, flag: str) -> pa.RecordBatch:
    """The rows whose `flag` is set; most often that is all of them or none."""
    count = batch[flag].true_count
    if count in (0, batch.num_rows):
        return batch.slice(0, count)
    return batch.filter(batch[flag])


def _write_dead_letters(sql: duckdb.DuckDBPyConnection, key: str, work: Path) -> None:
    """Every row without an answer, with what is needed to look into it and to ask it again."""
    sql.execute(
        f"""COPY ({dead_letters_query(key, work / _DEAD)})
            TO {literal(work / DEAD_LETTERS)} (FORMAT parquet, COMPRESSION zstd)"""
    )


def _reconcile(run: Run, outcomes: Mapping[str | None, int]) -> None:
    """Rows in = outcomes out, each with exactly one."""
    expected = int(run.facts["rows"])
    counted = {str(name): number for name, number in outcomes.items() if name is not None}
    if None in outcomes or sum(counted.values()) != expected:
        raise ReconcileError(
            f"Run {run.run_id}: {expected:,} rows went in, but {sum(counted.values()):,} have an outcome "
            f"({counted}). {_KEPT} {run.facts['folder']}; report this as a bug with that folder."
        )


def _reconcile_staged(run: Run, rows: int, placed: int) -> None:
    if rows != placed:
        raise ReconcileError(
            f"Run {run.run_id}: {placed:,} rows belong into the table, but {rows:,} were written for it. "
            f"{_KEPT} {run.facts['folder']}; report this as a bug with that folder."
        )


_DEAD = "dead.parquet"
"""Which rows have no answer, of DEAD_COLUMNS."""
_KEPT = "Nothing was published, and nothing more is billed. The results are kept in"
