"""Results: what came back for a request, and the tally of a shard's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from offpeak.answer import VECTOR_COLUMN
from offpeak.layout import provenance_fields
from offpeak.prices import cost, costs
from offpeak.prompt import encodable
from offpeak.providers.provider import Reply, Usage
from offpeak.rounds import Again
from offpeak.states import Outcome, Route

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from offpeak.workload import Workload

RAW_CHARACTERS = 200_000
"""So much of a raw text is kept with a request that was not answered."""
PAGE_BYTES = 1024 * 1024
"""Of vectors in a results file: so much is still near the processor when it is written or taken out."""
_LOOK_ROWS = 1_024
USAGE = tuple(Usage.__dataclass_fields__)
_NANO = Decimal("1e-9")


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
    escalated: bool = False
    """The batch was cancelled so that its rest can be asked in realtime."""

    def rounds_for(self, outcome: Outcome, rounds: int) -> int:
        """The limit of rounds for a request: what an escalated batch never ran has one more."""
        never_ran = outcome in (Outcome.EXPIRED, Outcome.CANCELLED, Outcome.MISSING)
        return max(rounds, self.round + 1) if self.escalated and never_ran else rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Many results at once, all of them answered."""

    fingerprints: pa.Array
    models: pa.Array
    """Strings, as the fingerprints; empty where none was named."""
    usage: np.ndarray
    """Shape (results, 6), int64; columns in the order of the fields of Usage."""
    columns: Sequence[pa.Array]
    """The answer's."""


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

    def add_many(self, workload: Workload, found: Answered, route: Route) -> np.ndarray | None:
        """Count many answers; what each cost, in billionths of a dollar, None if their price is not known."""
        spent = costs(workload.priced, found.usage, route)
        realtime = costs(workload.priced, found.usage, Route.REALTIME)
        self.outcomes[Outcome.ANSWERED] += len(found.fingerprints)
        self.usage.update(dict(zip(USAGE, found.usage.sum(axis=0).tolist(), strict=True)))
        self.cost_usd = _more(self.cost_usd, spent)
        self.realtime_usd = _more(self.realtime_usd, realtime)
        self.model = self.model or next(filter(None, found.models.unique().to_pylist()), "")
        return spent


def _more(total: Decimal | None, nanos: np.ndarray | None) -> Decimal | None:
    return None if total is None or nanos is None else total + int(nanos.sum()) * _NANO


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


def result_schema(workload: Workload) -> pa.Schema:
    """Columns of a results file: the answer's as they are held, provenance, and why there is no answer."""
    import pyarrow as pa

    return pa.schema(
        [
            *(field.with_type(held_type(field.type)) for field in workload.form.schema()),
            *provenance_fields(),
            pa.field("_round", pa.int64()),
            pa.field("_code", pa.string()),
            pa.field("_reason", pa.string()),
            pa.field("_raw", pa.string()),
        ]
    )


def held_type(kind: pa.DataType) -> pa.DataType:
    """Of an answer's column in a results file: a vector is its bytes there, since Parquet notes every number of a
    list. Those of earlier releases hold lists."""
    import pyarrow as pa

    return pa.binary(4 * kind.list_size) if pa.types.is_fixed_size_list(kind) else kind


def staged_options(schema: pa.Schema, key: str) -> dict[str, Any]:
    """How the file is written that is judged and published: no dictionaries of what is there once."""
    import pyarrow as pa

    vectors = [field.name for field in schema if pa.types.is_fixed_size_list(field.type)]
    return _options(schema, vectors, key, "_fingerprint")


def result_options(schema: pa.Schema) -> dict[str, Any]:
    """How a results file is written: it is read once, whole, so nothing that only helps to find rows in it.

    A fingerprint is in it once, and 32,768 of them fill a dictionary in vain.
    """
    import pyarrow as pa

    widths = {
        field.name: field.type.byte_width for field in schema if pa.types.is_fixed_size_binary(field.type)
    }
    made = _options(schema, widths, "_fingerprint") | {"write_statistics": ["_outcome"]}
    if widths:  # whether a page is full is looked at once for so many rows
        made["write_batch_size"] = max(1, min(_LOOK_ROWS, PAGE_BYTES // max(widths.values())))
    return made


def _options(schema: pa.Schema, vectors: Collection[str], *distinct: str) -> dict[str, Any]:
    """Vectors are written as they are, for neither a dictionary nor compression makes them smaller, and both take
    longer than all the rest."""
    made: dict[str, Any] = {"compression": "none" if vectors else "zstd"}
    if vectors:
        made["write_statistics"] = [name for name in schema.names if name not in vectors]
    plain = {*vectors, *distinct}
    return made | {"use_dictionary": [name for name in schema.names if name not in plain]}
