"""The layout of a workload's table: key, kept columns, answer, provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offpeak.tables.table import PROVENANCE, Layout

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.workload import Workload


def provenance_fields() -> list[pa.Field]:
    """The provenance columns as Arrow fields."""
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "int64": pa.int64(),
        "decimal128(18, 9)": pa.decimal128(18, 9),
        "timestamp[us, tz=UTC]": pa.timestamp("us", tz="UTC"),
    }
    return [pa.field(name, types[text]) for name, text in PROVENANCE]


def layout_of(workload: Workload, rows: pa.Schema) -> Layout:
    """The layout; `rows` is the schema of the run's rows.parquet and gives the key's and kept columns' types."""
    import pyarrow as pa

    own = [rows.field(name) for name in (workload.rows.key, *workload.keep)]
    answer = list(workload.form.schema())
    return Layout(
        schema=pa.schema([*own, *answer, *provenance_fields()]),
        key=workload.rows.key,
        answer=tuple(field.name for field in answer),
    )
