"""Writing results: priced, and into one Parquet file as they come."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.answer_columns import column_of
from offpeak.arrays import as_bytes, dollars, float_vectors, listed, numbers, texts, with_nulls
from offpeak.overlap import behind
from offpeak.results import USAGE, Answered, Origin, Result, Tally, result_options, result_schema
from offpeak.rounds import Again, again
from offpeak.states import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.workload import Workload

HELD_ROWS = 8_192
"""Of single results that are held back before they become columns."""
GROUP_ROWS = 32_768
HELD_BYTES = 16 * 1024 * 1024
"""Of columns that are held back before they are written as one row group, whichever of the two is reached first."""


class ResultWriter:
    """Prices results and writes them to one Parquet file as they come, keeping the tally."""

    def __init__(self, workload: Workload, path: Path, tally: Tally, origin: Origin) -> None:
        import pyarrow.parquet as pq

        self._workload = workload
        self._tally = tally
        self._origin = origin
        self._schema = result_schema(workload)
        self._open = ExitStack()
        self._writer = self._open.enter_context(
            pq.ParquetWriter(path, self._schema, **result_options(self._schema))
        )
        self._behind = self._open.enter_context(behind())
        self._rows: list[tuple[Result, Decimal | None]] = []
        self._rows_bytes = 0
        self._columns: list[pa.RecordBatch] = []
        self._columns_rows = self._columns_bytes = 0

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(self, *error: object) -> None:
        with self._open:
            self._flush()
            self._write()

    def add(self, result: Result) -> None:
        """Count the result, price it and write it."""
        origin = self._origin
        spent = self._tally.add(self._workload, result, origin.route)
        how = again(
            result.outcome,
            self._workload.rules,
            transient=result.transient,
            round_number=origin.round,
            rounds=origin.rounds_for(result.outcome, self._workload.rounds),
        )
        if how is not Again.NO:
            self._tally.again[result.fingerprint] = (how, result.reason)
        self._rows.append((result, spent))
        self._rows_bytes += len(result.raw) + 4 * (self._workload.form.form.dimensions or 0)
        if len(self._rows) >= HELD_ROWS or self._rows_bytes >= HELD_BYTES:
            self._flush()

    def add_many(self, found: Answered) -> None:
        """Count many answers, price them and write them."""
        if not len(found.fingerprints):
            return
        spent = self._tally.add_many(self._workload, found, self._origin.route)
        names, dimensions = self._workload.form.schema().names, self._workload.form.form.dimensions
        columns = found.columns if dimensions is None else [as_bytes(found.columns[0], dimensions)]
        self._hold(
            len(found.fingerprints),
            {
                **dict(zip(names, columns, strict=True)),
                "_fingerprint": found.fingerprints,
                "_model": _models(found.models),
                "_outcome": Outcome.ANSWERED.value,
                "_input_tokens": numbers(found.usage[:, USAGE.index("input_tokens")]),
                "_output_tokens": numbers(found.usage[:, USAGE.index("output_tokens")]),
                "_cost_usd": None if spent is None else dollars(spent),
                "_answered_at": self._origin.at,
            },
        )

    def _flush(self) -> None:
        if not self._rows:
            return
        results = [result for result, _ in self._rows]
        at = self._origin.at
        self._hold(
            len(results),
            {
                **_answer_columns(self._workload, results),
                "_fingerprint": texts(r.fingerprint for r in results),
                "_model": texts(r.model or None for r in results),
                "_outcome": texts(r.outcome.value for r in results),
                "_input_tokens": self._made("_input_tokens", [r.usage.input_tokens for r in results]),
                "_output_tokens": self._made("_output_tokens", [r.usage.output_tokens for r in results]),
                "_cost_usd": _amounts([spent for _, spent in self._rows]),
                "_answered_at": self._made(
                    "_answered_at", [at if r.outcome is Outcome.ANSWERED else None for r in results]
                ),
                "_code": texts(r.code or None for r in results),
                "_reason": texts(r.reason or None for r in results),
                "_raw": texts(r.raw or None for r in results),
            },
        )
        self._rows.clear()
        self._rows_bytes = 0

    def _made(self, name: str, values: Sequence[Any]) -> pa.Array:
        return column_of(values, self._schema.field(name).type)

    def _hold(self, count: int, columns: dict[str, Any]) -> None:
        """Keep columns to be written: arrays, or one value that is the same in every row; none is null."""
        import pyarrow as pa

        same = {"_run": self._origin.run_id, "_round": self._origin.round}
        made = [_filled((columns | same).get(field.name), count, field.type) for field in self._schema]
        held = pa.record_batch(made, schema=self._schema)
        self._columns.append(held)
        self._columns_rows += count
        self._columns_bytes += held.nbytes
        if self._columns_rows >= GROUP_ROWS or self._columns_bytes >= HELD_BYTES:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        if self._columns:
            self._behind.call(self._writer.write_table, pa.Table.from_batches(self._columns))
        self._columns.clear()
        self._columns_rows = self._columns_bytes = 0


def _filled(value: Any, count: int, kind: pa.DataType) -> pa.Array:
    """The array, or so many times the one value."""
    import pyarrow as pa

    if value is None:
        return pa.nulls(count, kind)
    return value if isinstance(value, pa.Array) else pa.repeat(column_of([value], kind)[0], count)


def _models(models: pa.Array) -> pa.Array | str | None:
    """As _hold takes them: most files are of one model."""
    named = models.unique().to_pylist()
    if len(named) == 1:
        return named[0] or None
    return texts(model or None for model in listed(models))


def _answer_columns(workload: Workload, results: list[Result]) -> dict[str, pa.Array]:
    import numpy as np

    schema = workload.form.schema()
    dimensions = workload.form.form.dimensions
    if dimensions is None:
        empty: dict[str, Any] = {}
        return {
            field.name: column_of([(r.answer or empty).get(field.name) for r in results], field.type)
            for field in schema
        }
    name = schema.names[0]
    vectors = [(r.answer or {}).get(name) for r in results]
    blank = bytes(4 * dimensions)
    missing = np.array([vector is None for vector in vectors], bool)
    lists = float_vectors(b"".join(v or blank for v in vectors), dimensions, missing)
    return {name: as_bytes(lists, dimensions)}


def _amounts(spent: Sequence[Decimal | None]) -> pa.Array:
    """Dollars to nine digits, as dollars()."""
    import numpy as np

    nanos = dollars(np.array([int((one or Decimal(0)).scaleb(9)) for one in spent], np.int64))
    return with_nulls(nanos, np.array([one is not None for one in spent], bool))
