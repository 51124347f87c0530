"""The models that answered, in the provider's words, and whether it was the emulator."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.assemble import STAGED
from offpeak.files_sql import files_sql, literal
from offpeak.report.material import Material

if TYPE_CHECKING:
    from offpeak.store import Store

EMULATED = "emulated/"
"""How the emulator begins the name of every model it answers for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRows:
    """One model; `rows` of the table with its answer, None where only requests can be counted."""

    model: str
    rows: int | None
    requests: int
    """Of this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """`emulated` as soon as one answer, carried ones included, came from the emulator."""

    emulated: bool
    models: tuple[ModelRows, ...]


def models(found: Material, store: Store) -> Models:
    """From the staged table where there is one, and from the run's spend."""
    requests: Counter[str] = Counter()
    for spend in found.spends:
        requests[spend.model] += spend.requests
    rows = {} if found.unjudged else _staged(found, store)
    named = sorted({*requests, *rows})
    return Models(
        emulated=any(name.startswith(EMULATED) for name in (*named, found.run.model)),
        models=tuple(
            ModelRows(model=name, rows=rows.get(name, 0) if rows else None, requests=requests[name])
            for name in named
        ),
    )


def _staged(found: Material, store: Store) -> dict[str, int]:
    """Answered rows of the staged table by model; empty when it is not there or cannot be read."""
    import duckdb

    folder = found.fact("folder")
    if not folder:
        return {}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="offpeak-report-") as place,
            store.reading(f"{folder}/{STAGED}") as path,
            files_sql(Path(place)) as sql,
        ):
            counted = sql.execute(
                f"""SELECT _model, count(*) FROM read_parquet({literal(path)})
                    WHERE _outcome = 'answered' AND _model IS NOT NULL GROUP BY 1"""
            )
            return dict(counted.fetchall())
    except (OSError, duckdb.Error):
        return {}
