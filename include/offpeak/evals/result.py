"""The result table: one row for each candidate and evaluation, published like any other table."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.layout import provenance_fields
from offpeak.tables.table import Layout, Staged

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.evals.facts import CandidateFacts, Evaluation
    from offpeak.evals.suite import EvalSuite
    from offpeak.pipeline import Finishing
    from offpeak.tables.table import Published

KEY = "result"
COLUMNS = (
    ("evaluated", "string"),  # the interval's key
    ("candidate", "string"),
    ("model", "string"),
    ("asks", "string"),  # names what was asked: model, prompt, parameters, answer type
    ("decision", "string"),
    ("reasons", "string"),
    ("more_cases", "int64"),
    ("baseline", "string"),
    ("metric", "string"),
    ("cases", "int64"),
    ("score", "double"),
    ("score_low", "double"),
    ("score_high", "double"),
    ("difference", "double"),
    ("difference_low", "double"),
    ("difference_high", "double"),
    ("p_value", "double"),
    ("better", "int64"),
    ("worse", "int64"),
    ("unanswered", "int64"),
    ("cost_usd_per_1000", "double"),
    ("slowest_batch_seconds", "double"),
    ("flips", "double"),
    ("drifted", "bool"),
    ("scores", "string"),  # every metric with its interval, as JSON
)
"""After the key `<interval>/<candidate>`, before the provenance columns."""


def publish_result(suite: EvalSuite, finishing: Finishing, evaluation: Evaluation) -> Published:
    """Publish the evaluation's rows. The same evaluation again changes nothing; TableError leaves the old rows."""
    import pyarrow.parquet as pq

    rows = [_row(evaluation, one) for one in evaluation.candidates]
    told = hashlib.blake2b(orjson.dumps(rows, default=str), digest_size=4).hexdigest()
    run_id = f"{suite.name}/{evaluation.interval}~{told}"
    for row in rows:
        row |= {"_run": run_id, "_answered_at": evaluation.made_at}
    layout = result_layout()
    table = suite.into.open(finishing.site.store, finishing.site.connections)
    try:
        with tempfile.TemporaryDirectory(prefix="offpeak-eval-") as place:
            path = Path(place) / "result.parquet"
            pq.write_table(_table(rows, layout.schema), path)
            return table.publish(
                Staged(
                    path=path,
                    layout=layout,
                    workload=suite.name,
                    run_id=run_id,
                    interval_key=evaluation.interval,
                    row_count=len(rows),
                )
            )
    finally:
        table.close()


def result_layout() -> Layout:
    """The columns of every suite's result table."""
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
    own = [pa.field(name, types[kind]) for name, kind in COLUMNS]
    return Layout(
        schema=pa.schema([pa.field(KEY, pa.string()), *own, *provenance_fields()]),
        key=KEY,
        answer=tuple(name for name, _ in COLUMNS),
    )


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def _row(evaluation: Evaluation, one: CandidateFacts) -> dict[str, Any]:
    main = one.metric(evaluation.metric)
    values: dict[str, Any] = {
        KEY: f"{evaluation.interval}/{one.name}",
        "evaluated": evaluation.interval,
        "candidate": one.name,
        "baseline": evaluation.baseline,
        "metric": evaluation.metric,
        "cases": main.score.cases,
        "reasons": " ".join(one.reasons),
        "p_value": main.p_value,
        "scores": orjson.dumps({each.metric: each.score._asdict() for each in one.metrics}).decode(),
        "flips": one.stability.flips.value if one.stability and one.stability.flips else None,
        "drifted": one.stability.drifted if one.stability else None,
        "cost_usd_per_1000": one.cost.usd_per_1000,
        "slowest_batch_seconds": one.cost.slowest_batch_seconds,
        "_model": one.answered_by[0] if one.answered_by else None,
        "_outcome": "answered",
        "_cost_usd": one.cost.spent_usd,
    }
    values |= {name: getattr(one, name) for name in ("model", "asks", "decision", "more_cases", "unanswered")}
    values |= {name: getattr(main, name) for name in ("better", "worse")}
    for name in ("score", "difference"):
        found = getattr(main, name)
        values |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return values
