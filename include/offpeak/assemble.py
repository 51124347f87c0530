"""Assembling: rows, answers and carried answers joined into the one file that is judged and published."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.arrays import dollars, text
from offpeak.errors import ReconcileError
from offpeak.joined import SUMMED, At, Places
from offpeak.layout import layout_of
from offpeak.letters import DEAD_LETTERS, OF_ROW, Letters
from offpeak.memory import give_back
from offpeak.overlap import ahead
from offpeak.results import result_schema, staged_options
from offpeak.row_files import Grouped, RowFiles, Rows, RowsAt, batches
from offpeak.states import Outcome
from offpeak.tables.columns import carried_schema, rows_per_batch, write_rows
from offpeak.tables.table import PROVENANCE
from offpeak.vector_files import VectorFiles

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.tables.table import Layout
    from offpeak.workload import Workload

STAGED = "staged.parquet"
MANY_ROWS = 2_000_000
"""Above it the join holds half as many rows at once."""


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
        with _inputs(workload, site, folder, work) as inputs:
            places = _places(inputs, work, run)
            give_back()
            staged = _write_staged(inputs, places, work, run.run_id)
            _reconcile_staged(run, staged.rows, _placed(inputs))
            _reconcile(run, staged.outcomes)
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
    footer: pq.FileMetaData
    """That of the rows."""
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
            write_rows([], result_schema(workload), results[0])
        footer = pq.read_metadata(files["rows"])
        layout = layout_of(workload, footer.schema.to_arrow_schema())
        yield _Inputs(files=files, footer=footer, results=results, layout=layout)


@dataclass(slots=True)
class _Staged:
    rows: int = 0
    """As written."""
    outcomes: Counter[str | None] = field(default_factory=Counter)
    """Of all rows, the ones that were not written included."""


def _places(inputs: _Inputs, work: Path, run: Run) -> Places:
    places = Places(inputs.files, inputs.results, work)
    if places.too_many:
        raise ReconcileError(
            f"Run {run.run_id}: {places.rows:,} rows went in, and {places.too_many:,} results too many were found: a "
            f"request has more than one of a round. {_KEPT} {run.facts['folder']}; report this as a bug with that "
            "folder."
        )
    return places


def _placed(inputs: _Inputs) -> int:
    """How many rows belong into the table, whatever came back: those with a key of their own."""
    import pyarrow.compute as pc

    key, count = inputs.layout.key, 0
    plan = batches(inputs.files["plan"], ["decision"])
    for (_, rows), (_, decided) in zip(batches(inputs.files["rows"], [key]), plan, strict=True):
        own = pc.not_equal(decided["decision"], text("duplicate"))
        count += pc.and_(own, rows[key].is_valid()).true_count
    return count


def _write_staged(inputs: _Inputs, places: Places, work: Path, run_id: str) -> _Staged:
    """The table's rows, streamed in the order of the input, and the dead letters."""
    import pyarrow.compute as pc

    schema = inputs.layout.schema
    options = staged_options(schema, inputs.layout.key)
    staged = _Staged()
    asked = RowsAt(inputs.files["rows"], OF_ROW, inputs.footer)
    with (
        Grouped(work / STAGED, schema, _group_rows(inputs.layout), **options) as writer,
        Letters(work, asked, inputs.results, inputs.layout.key) as letters,
    ):
        for made, at in ahead(_joined(inputs, places, work, run_id)):
            staged.outcomes.update(_counted(made["_outcome"]))
            placed = pc.and_(
                pc.not_equal(made["_decision"], text("duplicate")), made[inputs.layout.key].is_valid()
            )
            table = _only(made, placed).select(schema.names).cast(schema)
            writer.add(table)
            staged.rows += table.num_rows
            letters.add(made, at)
    return staged


def _joined(inputs: _Inputs, places: Places, work: Path, run_id: str) -> Iterator[tuple[pa.Table, At]]:
    """Every row of the run in the order of the input: the columns of the table and `_decision`, in batches."""
    import pyarrow as pa

    layout = inputs.layout
    own = layout.schema.names[: -len(PROVENANCE) - len(layout.answer)]
    vector = _vector_of(layout)
    elsewhere = {"_fingerprint"} | ({vector.name} if vector else set())
    found = pa.schema([field for field in carried_schema(layout) if field.name not in elsewhere])
    files = [*inputs.results, inputs.files["carried"]]
    rows = Rows(inputs.files["rows"], [*own, "_fingerprint"], inputs.footer)
    plan = Rows(inputs.files["plan"], ["decision"])
    results = RowFiles(files, found, work)
    # of very many rows the footers and the like take 30 MB: then as much less is held of the rows themselves
    held_rows = max(1, _group_rows(layout) // (2 if places.rows > MANY_ROWS else 1))
    with _vectors(vector, files, work) as vectors:
        while count := len((at := places.take(held_rows)).files):
            made = _decided(
                rows.take(count),
                plan.take(count)["decision"],
                results.take(at.files, at.places),
                at.summed,
                run_id,
            )
            yield (made.append_column(vector, vectors.take(at.files, at.places)) if vectors else made), at


def _vector_of(layout: Layout) -> pa.Field | None:
    import pyarrow as pa

    answer = layout.schema.field(layout.answer[0])
    return answer if pa.types.is_fixed_size_list(answer.type) else None


def _group_rows(layout: Layout) -> int:
    """Rows of a batch: one is made while the one before it is written, and vectors take twice their room for that."""
    return max(1, rows_per_batch(layout.schema) // (4 if _vector_of(layout) else 2))


@contextmanager
def _vectors(field: pa.Field | None, paths: Sequence[Path], work: Path) -> Iterator[VectorFiles | None]:
    if field is None:
        yield None
        return
    with VectorFiles(paths, field.name, field.type.list_size, work) as files:
        yield files


def _decided(
    rows: pa.Table,
    decisions: pa.ChunkedArray,
    found: pa.Table,
    summed: Mapping[str, pa.Array],
    run_id: str,
) -> pa.Table:
    """The rows with what was found for them, as their decisions say.

    What was asked is paid for by its first row; an answer found says in which run it was asked, and a row without
    one was asked in this.
    """
    import numpy as np
    import pyarrow.compute as pc

    columns = {name: found[name] for name in found.column_names}
    for name in SUMMED:
        columns[name] = pc.coalesce(summed[name], columns[name])
    asked = pc.equal(decisions, text("ask"))
    columns["_cost_usd"] = pc.if_else(asked, columns["_cost_usd"], dollars(np.zeros(1, np.int64))[0])
    columns["_run"] = pc.coalesce(columns["_run"], text(run_id))
    for decision, outcome in (("bad", Outcome.ERRORED), ("duplicate", Outcome.DUPLICATE)):
        decided = pc.equal(decisions, text(decision))
        columns["_outcome"] = pc.if_else(decided, text(outcome), columns["_outcome"])
    for name, column in ({"_decision": decisions} | columns).items():
        rows = rows.append_column(name, column)
    return rows


def _counted(outcomes: pa.Array) -> dict[str | None, int]:
    return {found["values"]: found["counts"] for found in outcomes.value_counts().to_pylist()}


def _only(table: pa.Table, wanted: pa.ChunkedArray) -> pa.Table:
    """The rows that are wanted; most often that is all of them or none."""
    import pyarrow.compute as pc

    count = pc.sum(wanted).as_py() or 0
    return table.slice(0, count) if count in (0, table.num_rows) else table.filter(wanted)


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


_KEPT = "Nothing was published, and nothing more is billed. The results are kept in"
