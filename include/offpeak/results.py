"""Results: what came back for a shard, streamed; every request sent ends in exactly one outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.answer import VECTOR_COLUMN
from offpeak.layout import provenance_fields
from offpeak.prices import cost
from offpeak.prompt import encodable
from offpeak.providers.provider import Batch, Reply, Usage
from offpeak.requests import read_custom_id
from offpeak.rounds import Again, again
from offpeak.states import BatchStatus, Outcome, Route

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.workload import Workload

RAW_CHARACTERS = 200_000
"""So much of a raw text is kept with a request that was not answered."""
CHUNK_ROWS = 8_192
CHUNK_BYTES = 32 * 1024 * 1024
"""Of raw texts and vectors, whichever of the two is reached first."""

USAGE = tuple(Usage.__dataclass_fields__)
_NANO = Decimal("1e-9")
_WITHOUT_RESULT = {BatchStatus.EXPIRED: Outcome.EXPIRED, BatchStatus.CANCELLED: Outcome.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came back for one request, judged against the answer schema."""

    fingerprint: str
    outcome: Outcome
    answer: dict[str, Any] | None = None
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    code: str = ""
    reason: str = ""
    raw: str = ""
    transient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where and when the results of one shard came from."""

    run_id: str
    round: int
    route: Route
    at: datetime


@dataclass(slots=True)
class Tally:
    """Counts of one shard's results, added up while they stream by."""

    outcomes: Counter[str] = field(default_factory=Counter)
    usage: Counter[str] = field(default_factory=Counter)
    cost_usd: Decimal | None = Decimal(0)
    """None as soon as one request's cost is not known."""
    realtime_usd: Decimal | None = Decimal(0)
    foreign: int = 0
    """Results of requests that this shard never sent; left out, and reported."""
    repeated: int = 0
    """Further results of a request that already had one; the first one counts."""
    unreadable: int = 0
    """Lines that could not be read; their requests end as `missing`."""
    model: str = ""
    codes: Counter[str] = field(default_factory=Counter)
    """Codes of the requests that were not answered."""
    sample_reason: str = ""
    """The first reason that was given."""
    again: dict[str, tuple[Again, str]] = field(default_factory=dict)
    """By fingerprint: how the next round asks, and the reason."""

    def add(self, workload: Workload, result: Result, route: Route) -> Decimal | None:
        """Count one result; what it cost, None if its price is not known."""
        price = workload.priced
        # to the digits that the table keeps: its sum and this one are then the same amount
        spent = _nano(cost(price, result.usage, route))
        realtime = _nano(cost(price, result.usage, Route.REALTIME))
        self.outcomes[result.outcome] += 1
        for name in USAGE:
            self.usage[name] += getattr(result.usage, name)
        self.cost_usd = None if spent is None or self.cost_usd is None else self.cost_usd + spent
        self.realtime_usd = (
            None if realtime is None or self.realtime_usd is None else self.realtime_usd + realtime
        )
        self.model = self.model or result.model
        if result.outcome is not Outcome.ANSWERED:
            self.codes[result.code] += 1
            self.sample_reason = self.sample_reason or result.reason
        return spent


def _nano(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.quantize(_NANO)


def judge(workload: Workload, fingerprint: str, reply: Reply) -> Result:
    """One reply as a result: an answer that breaks the schema becomes `invalid`."""
    if reply.outcome is not Outcome.ANSWERED:
        return _result(fingerprint, reply, reply.outcome, reason=reply.message, code=reply.code)
    dimensions = workload.form.form.dimensions
    if dimensions is not None:
        given_bytes = len(reply.vector or b"")
        if given_bytes == 4 * dimensions:
            return _result(fingerprint, reply, Outcome.ANSWERED, answer={VECTOR_COLUMN: reply.vector})
        reason = f"the vector has {given_bytes / 4:,g} dimensions, not {dimensions:,}"
        return _result(fingerprint, reply, Outcome.INVALID, reason=reason, code="dimensions")
    answer, reason = workload.form.read(reply.text or "")
    if answer is None:
        return _result(fingerprint, reply, Outcome.INVALID, reason=reason, code="schema")
    return _result(fingerprint, reply, Outcome.ANSWERED, answer=answer)


def _result(
    fingerprint: str,
    reply: Reply,
    outcome: Outcome,
    *,
    answer: dict[str, Any] | None = None,
    reason: str = "",
    code: str = "",
) -> Result:
    return Result(
        fingerprint=fingerprint,
        outcome=outcome,
        answer=answer,
        model=reply.model,
        usage=reply.usage,
        code=code,
        reason=_writable(reason),
        raw="" if answer is not None else _writable((reply.text or "")[:RAW_CHARACTERS]),
        transient=reply.transient,
    )


def _writable(text: str) -> str:
    """Text from elsewhere as it can be stored: half a character pair becomes `?`."""
    return text if encodable(text) else text.encode("utf-8", "replace").decode("utf-8")


def reconcile(
    workload: Workload, lines: Iterable[bytes], sent: Iterable[str], tag: str, batch: Batch, tally: Tally
) -> Iterator[Result]:
    """Exactly one result for each fingerprint in `sent`, whatever the lines hold.

    Foreign and repeated lines are counted in `tally` and left out; a request in no line is `missing`,
    or shares the fate of its batch.
    """
    has_result = dict.fromkeys(sent, False)
    for line in lines:
        reply = workload.provider.parse(line)
        fingerprint = read_custom_id(reply.custom_id, tag)
        if not reply.custom_id:
            tally.unreadable += 1
        elif fingerprint is None or fingerprint not in has_result:
            tally.foreign += 1
        elif has_result[fingerprint]:
            tally.repeated += 1
        else:
            has_result[fingerprint] = True
            yield judge(workload, fingerprint, reply)
    outcome = _WITHOUT_RESULT.get(batch.status, Outcome.MISSING)
    for fingerprint in (name for name, has in has_result.items() if not has):
        yield Result(
            fingerprint=fingerprint,
            outcome=outcome,
            code=f"no_result_{outcome}",
            reason=f"batch {batch.id} ended {batch.provider_status} without a result for this request",
            transient=True,
        )


class ResultWriter:
    """Prices results and writes them to one Parquet file as they come, keeping the tally."""

    def __init__(self, workload: Workload, path: Path, tally: Tally, origin: Origin) -> None:
        import pyarrow.parquet as pq

        self._workload = workload
        self._tally = tally
        self._origin = origin
        self._schema = result_schema(workload)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
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
            rounds=self._workload.rounds,
        )
        if how is not Again.NO:
            self._tally.again[result.fingerprint] = (how, result.reason)
        self._rows.append((result, spent))
        self._held_bytes += len(result.raw) + 4 * (self._workload.form.form.dimensions or 0)
        if len(self._rows) >= CHUNK_ROWS or self._held_bytes >= CHUNK_BYTES:
            self._flush()

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


def result_schema(workload: Workload) -> pa.Schema:
    """Columns of a results file: the answer's, provenance, and why there is no answer."""
    import pyarrow as pa

    return pa.schema(
        [
            *workload.form.schema(),
            *provenance_fields(),
            pa.field("_round", pa.int64()),
            pa.field("_code", pa.string()),
            pa.field("_reason", pa.string()),
            pa.field("_raw", pa.string()),
        ]
    )
