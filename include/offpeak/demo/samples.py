"""The workloads that the demo has sample rows for: one entry each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from offpeak.demo import digest_items, docs_corpus, eval_cases, tickets
from offpeak.errors import SpecError

Night = Mapping[str, str]
"""What a dag run is triggered with: its `start` and `end`, or nothing for a run of now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows for one workload on two nights, and what is known about their right answers."""

    dag_file: str
    """In the project's `dags/`."""
    rows: str
    """The file that is there when the sample has been made, in the store."""
    write: Callable[[Path], None]
    """Puts rows and labels of the first night into the store, the rows last."""
    change: Callable[[Path], None]
    """Makes of them, in the store, what is there on the second night; the same again when called again."""
    changed: str
    """What happened between the nights, for people."""
    nights: tuple[Night, Night] = field(default=({}, {}))
    shown: tuple[str, ...] = ()
    """Columns of the table to show; all of them if not said."""
    labels: str = ""
    """A Parquet file in the store: the key and, by the answer's column names, the right answers."""


def _night(number: int) -> Night:
    """The day that the digest is about."""
    start = digest_items.FIRST_NIGHT + number * timedelta(days=1)
    return {"start": start.isoformat(), "end": (start + timedelta(days=1)).isoformat()}


SAMPLES: Mapping[str, Sample] = {
    "ticket_triage": Sample(
        dag_file="ticket_triage.py",
        rows=tickets.ROWS,
        write=tickets.write_tickets,
        change=tickets.add_tickets,
        changed=f"{tickets.ADDED} more tickets came in",
        labels=tickets.LABELS,
    ),
    "docs_embeddings": Sample(
        dag_file="docs_embeddings.py",
        rows=docs_corpus.ROWS,
        write=docs_corpus.write,
        change=docs_corpus.change,
        changed=docs_corpus.CHANGED,
        shown=("doc_path", "heading", "text", "vector"),
    ),
    "daily_digest": Sample(
        dag_file="daily_digest.py",
        rows=digest_items.ROWS,
        write=digest_items.write,
        change=digest_items.change,
        changed="the tickets of another day came in",
        nights=(_night(0), _night(1)),
        shown=("team", "items", "usual", "headline"),
    ),
    "eval_suite": Sample(
        dag_file="eval_suite.py",
        rows=eval_cases.ROWS,
        write=eval_cases.write,
        change=lambda store: None,
        changed="the same cases; only the sample for the flip rate is asked again",
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
