"""Dead letters: rows that ended without an answer, with why, and what is needed to ask them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offpeak.assemble import DEAD_LETTERS
from offpeak.errors import SpecError

if TYPE_CHECKING:
    from offpeak.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One row without an answer."""

    key: str | None
    """None for a record that could not be read."""
    outcome: str
    code: str | None
    reason: str | None
    raw: str | None
    """What the model or the provider said, as it came."""
    user: str | None
    """The user text that was, or would have been, sent."""
    origin: str
    number: int
    rounds: int | None
    fingerprint: str | None


def dead_letters(site: Site, run_id: str, *, outcome: str | None = None) -> Iterator[DeadLetter]:
    """The run's dead letters in the order of its rows. SpecError before the run was assembled."""
    import pyarrow.parquet as pq

    run = site.ledger.run(run_id)
    name = f"{run.facts.get('folder')}/{DEAD_LETTERS}"
    if "dead_letters" not in run.facts or not site.store.exists(name):
        raise SpecError(
            f"Run {run_id} is {run.state}; its rows are not assembled yet, so it has no dead letters."
        )
    columns = list(DeadLetter.__dataclass_fields__)
    with site.store.reading(name) as path:
        for batch in pq.ParquetFile(path).iter_batches(columns=columns, batch_size=1_000):
            for record in batch.to_pylist():
                if outcome is None or record["outcome"] == outcome:
                    yield DeadLetter(**record)
