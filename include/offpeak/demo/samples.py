"""The workloads that the demo has sample rows for: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from offpeak.demo import tickets
from offpeak.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows for one workload, and what is known about their right answers."""

    dag_file: str
    """In the project's `dags/`."""
    rows: str
    """The file that is there when the sample has been made, in the store."""
    write: Callable[[Path], None]
    """Puts rows and labels into the store, the rows last."""
    labels: str
    """A Parquet file in the store: the key and, by the answer's column names, the right answers."""


SAMPLES: Mapping[str, Sample] = {
    "ticket_triage": Sample(
        dag_file="ticket_triage.py",
        rows=tickets.ROWS,
        write=tickets.write_tickets,
        labels=tickets.LABELS,
    ),
}


def sample_for(workload: str) -> Sample:
    """SpecError when the demo has no rows for `workload`."""
    if workload not in SAMPLES:
        raise SpecError(
            f"The demo has no sample rows for {workload!r}. It has some for: {', '.join(SAMPLES)}."
        )
    return SAMPLES[workload]


def lay_out(sample: Sample, store: Path) -> None:
    """Make the sample in the store unless it is there."""
    if not (store / sample.rows).exists():
        sample.write(store)


def right_shares(
    answers: list[dict[str, object]], truth: list[dict[str, object]], key: str
) -> dict[str, float]:
    """Per labelled column, the share of the labelled rows that were answered right; empty without labels."""
    given = {row[key]: row for row in answers}
    columns = [name for name in truth[0] if name != key] if truth else []
    return {
        name: sum(given.get(row[key], {}).get(name) == row[name] for row in truth) / len(truth)
        for name in columns
    }
