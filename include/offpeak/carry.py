"""Carry: answers that were paid for before are not asked again, whether they were published or not."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.arrays import as_lists, text
from offpeak.files_sql import files_sql, literal, quoted
from offpeak.layout import layout_of
from offpeak.results import held_type, staged_options
from offpeak.states import Outcome, RunState
from offpeak.tables.columns import carried_schema, rows_per_batch, write_rows
from offpeak.tables.table import PROVENANCE, Layout

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.site import Site
    from offpeak.workload import Workload

UNPUBLISHED = (RunState.REFUSED, RunState.FAILED, RunState.CANCELLED)
LOOK_BACK_RUNS = 20
"""So many of a workload's latest unpublished runs are searched for paid answers."""


def carry(workload: Workload, site: Site, work: Path, *, wanted: Path) -> None:
    """Write carried.parquet: for each wanted request that was answered before, its answer and provenance.

    `wanted` has their fingerprints, as OpenTable.answered takes them; rows.parquet in `work` is the run's. The
    published table comes first, then the results of runs that were paid for but never published. TableError
    when the table cannot be read.
    """
    import pyarrow.parquet as pq

    layout = layout_of(workload, pq.read_schema(work / "rows.parquet"))
    table = workload.into.open(site.store, site.connections)
    try:
        table.answered(wanted, layout, work / "published.parquet")
    finally:
        table.close()
    with ExitStack() as stack:
        files = [
            stack.enter_context(site.store.reading(name)) for name in _unpublished_results(workload, site)
        ]
        schema = carried_schema(layout)
        usable = [path for path in files if _has(pq.read_schema(path), schema)]
        if usable:
            listed = [
                _listed(path, schema, work / f"unpublished-{number}.parquet")
                for number, path in enumerate(usable)
            ]
            with files_sql(work) as sql:
                sql.execute(_union(layout, work, listed, wanted))
        else:
            (work / "published.parquet").rename(work / "carried.parquet")


def carry_nothing(workload: Workload, work: Path) -> None:
    """Write a carried.parquet that carries nothing, for a run that asks everything again."""
    import pyarrow.parquet as pq

    layout = layout_of(workload, pq.read_schema(work / "rows.parquet"))
    write_rows([], carried_schema(layout), work / "carried.parquet")


def _has(found: pa.Schema, wanted: pa.Schema) -> bool:
    """Whether a results file has all wanted columns in the same types: an older answer model's has not."""
    return all(
        field.name in found.names and found.field(field.name).type in (field.type, held_type(field.type))
        for field in wanted
    )


def _listed(results: Path, schema: pa.Schema, into: Path) -> Path:
    """The results file, or if it holds vectors as bytes, its answers in this schema, written `into` another."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(results, pre_buffer=False) as held:
        if not any(map(pa.types.is_fixed_size_binary, held.schema_arrow.types)):
            return results
        with pq.ParquetWriter(into, schema, **staged_options(schema, "_fingerprint")) as writer:
            for batch in held.iter_batches(rows_per_batch(schema), columns=schema.names):
                answers = batch.filter(pc.equal(batch["_outcome"], text(Outcome.ANSWERED)))
                columns = [
                    as_lists(column) if pa.types.is_fixed_size_binary(column.type) else column
                    for column in answers.select(schema.names).columns
                ]
                writer.write_batch(pa.record_batch(columns, schema=schema))
    return into


def _unpublished_results(workload: Workload, site: Site) -> list[str]:
    runs = site.ledger.runs(workload.name, states=UNPUBLISHED, limit=LOOK_BACK_RUNS)
    here = [run for run in runs if run.store == site.store.root and run.facts.get("folder")]
    return [name for run in here for name in site.store.names(f"{run.facts['folder']}/results/*.parquet")]


def _union(layout: Layout, work: Path, unpublished: list[Path], wanted: Path) -> str:
    columns = ", ".join(quoted(name) for name in (*layout.answer, *(name for name, _ in PROVENANCE)))
    query = f"SELECT {columns} FROM read_parquet({literal(work / 'published.parquet')})"
    if unpublished:
        files = ", ".join(literal(path) for path in unpublished)
        query += f"""
            UNION ALL BY NAME
            SELECT {columns} FROM (
                SELECT * FROM read_parquet([{files}], union_by_name = true)
                WHERE _outcome = 'answered'
                QUALIFY row_number() OVER (PARTITION BY _fingerprint ORDER BY _answered_at DESC) = 1
            ) paid
            SEMI JOIN read_parquet({literal(wanted)}) wanted USING (_fingerprint)
            ANTI JOIN read_parquet({literal(work / "published.parquet")}) published USING (_fingerprint)"""
    return f"COPY ({query}) TO {literal(work / 'carried.parquet')} (FORMAT parquet)"
