"""What a run is a run of, as the ledger keeps it: for resuming only its like, and for the report's changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from offpeak.workload import Workload


def spec_of(workload: Workload, *, limit: int | None, again: bool) -> dict[str, Any]:
    """The parts of the spec that a reader of the report wants to see changing from run to run."""
    return {
        "model": workload.model,
        "endpoint": workload.endpoint,
        "system": workload.prompt.system,
        "user": workload.prompt.user,
        "params": dict(workload.params),
        "max_output_tokens": workload.max_output_tokens,
        "answer": {column.name: column.type for column in workload.form.columns},
        "schema": workload.form.form.schema or workload.form.form.kind,
        "suite": [str(check) for check in workload.checks],
        "rows": workload.rows.describe(),
        "into": workload.into.describe(),
        "keep": list(workload.keep),
        "asks": asks_of(workload),
        "limit": limit,
        "again": again,
    }


def asks_of(workload: Workload) -> str:
    """What is asked, whatever the rows: a run whose like was published is not new."""
    ask = workload.ask
    parts = [ask.model, ask.endpoint, ask.form.kind, ask.form.schema, dict(ask.params)]
    text = orjson.dumps([*parts, workload.prompt.system, workload.prompt.user], default=str)
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def hash_of(spec: Mapping[str, Any]) -> str:
    """Of what decides which requests a run sends; the suite, the table and the budget may change in between."""
    asked = {
        name: value for name, value in spec.items() if name not in ("suite", "into", "max_output_tokens")
    }
    text = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return hashlib.blake2b(text, digest_size=8).hexdigest()
