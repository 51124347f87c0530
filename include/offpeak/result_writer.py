"""Writing results: priced, and into one Parquet file as they come."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.results import USAGE, Answered, Origin, Result, Tally, parquet_options, result_schema
from offpeak.rounds import Again, again
from offpeak.states import Outcome

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from offpeak.workload import Workload

HELD_ROWS = 8_192
HELD_BYTES = 16 * 1024 * 1024
"""Of single results that are held back before they are written, whichever of the two is reached first."""


class ResultWriter:
    """Prices results and writes them to one Parquet file as they come, keeping the tally."""

    def __init__(self, workload: Workload, path: Path, tally: Tally, origin: Origin) -> None:
        import pyarrow.parquet as pq

        self._workload = workload
        self._tally = tally
        self._origin = origin
        self._schema = result_schema(workload)
        self._writer = pq.ParquetWriter(path, self._schema, **parquet_options(self._schema))
        self._rows: list[tuple[Result, Decimal | None]] = []
        self._held_bytes = 0

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._flush()
        finally:
            self._writer.close()

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
        self._held_bytes += len(result.raw) + 4 * (self._workload.form.form.dimensions or 0)
        if len(self._rows) >= HELD_ROWS or self._held_bytes >= HELD_BYTES:
            self._flush()

    def add_many(self, found: Answered) -> None:
        """Count many answers, price them and write them."""
        import numpy as np
        import pyarrow as pa

        count, origin, schema = len(found.fingerprints), self._origin, self._schema
        if not count:
            return
        spent = self._tally.add_many(self._workload, found, origin.route)

        def repeated(name: str, value: Any) -> pa.Array:
            return pa.repeat(pa.scalar(value, schema.field(name).type), count)

        usage = np.ascontiguousarray(found.usage.T)
        columns = {
            **dict(zip(self._workload.form.schema().names, found.columns, strict=True)),
            "_fingerprint": pa.array(found.fingerprints, pa.string()),
            "_model": pa.array([model or None for model in found.models], pa.string()),
            "_run": repeated("_run", origin.run_id),
            "_outcome": repeated("_outcome", Outcome.ANSWERED.value),
            "_input_tokens": pa.array(usage[USAGE.index("input_tokens")]),
            "_output_tokens": pa.array(usage[USAGE.index("output_tokens")]),
            "_cost_usd": repeated("_cost_usd", None) if spent is None else _decimals(spent),
            "_answered_at": repeated("_answered_at", origin.at),
            "_round": repeated("_round", origin.round),
            **{name: repeated(name, None) for name in ("_code", "_reason", "_raw")},
        }
        made = [columns[field.name].cast(field.type) for field in schema]
        self._writer.write_batch(pa.record_batch(made, schema=schema))

    def _flush(self) -> None:
        if not self._rows:
            return
        import pyarrow as pa

        results = [result for result, _ in self._rows]
        origin, count = self._origin, len(results)
        answered_at = [origin.at if r.outcome is Outcome.ANSWERED else None for r in results]
        columns = {
            "_fingerprint": [r.fingerprint for r in results],
            "_model": [r.model or None for r in results],
            "_run": [origin.run_id] * count,
            "_outcome": [r.outcome.value for r in results],
            "_input_tokens": [r.usage.input_tokens for r in results],
            "_output_tokens": [r.usage.output_tokens for r in results],
            "_cost_usd": [spent for _, spent in self._rows],
            "_answered_at": answered_at,
            "_round": [origin.round] * count,
            "_code": [r.code or None for r in results],
            "_reason": [r.reason or None for r in results],
            "_raw": [r.raw or None for r in results],
        }
        answers = _answer_columns(self._workload, results)
        made = [
            answers[field.name] if field.name in answers else pa.array(columns[field.name], field.type)
            for field in self._schema
        ]
        self._writer.write_batch(pa.record_batch(made, schema=self._schema))
        self._rows.clear()
        self._held_bytes = 0


def _answer_columns(workload: Workload, results: list[Result]) -> dict[str, pa.Array]:
    import pyarrow as pa

    schema = workload.form.schema()
    dimensions = workload.form.form.dimensions
    if dimensions is None:
        empty: dict[str, Any] = {}
        return {
            field.name: pa.array([(r.answer or empty).get(field.name) for r in results], field.type)
            for field in schema
        }
    name = schema.names[0]
    vectors = [(r.answer or {}).get(name) for r in results]
    blank = bytes(4 * dimensions)
    floats = pa.Array.from_buffers(
        pa.float32(), dimensions * len(vectors), [None, pa.py_buffer(b"".join(v or blank for v in vectors))]
    )
    missing = pa.array([vector is None for vector in vectors])
    return {name: pa.FixedSizeListArray.from_arrays(floats, dimensions, mask=missing)}


def _decimals(nanos: np.ndarray) -> pa.Array:
    """Billionths of a dollar as decimal128(18, 9): two little-endian words a value, none below zero."""
    import numpy as np
    import pyarrow as pa

    words = np.zeros((len(nanos), 2), "<i8")
    words[:, 0] = nanos
    return pa.Array.from_buffers(pa.decimal128(18, 9), len(nanos), [None, pa.py_buffer(words)])
