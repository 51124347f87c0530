"""What the tests of rows share: an opening, and a source's records and problems as plain lists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from offpeak.connections import Connections, EnvConnections
from offpeak.rows.source import Opening, RowProblem, RowSource, Share
from offpeak.site import Interval
from offpeak.store import Store

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
END = datetime(2026, 3, 1, 9, tzinfo=UTC)


class Read(NamedTuple):
    records: list[dict[str, Any]]
    problems: list[RowProblem]
    batches: int
    firsts: list[int]
    schemas: set[str]


def opening(
    store: Path | str = "/nonexistent",
    *,
    columns: tuple[str, ...] | None = None,
    batch_rows: int = 16_384,
    connections: Connections | None = None,
    share: Share | None = None,
) -> Opening:
    return Opening(
        store=Store(str(store)),
        connections=connections or EnvConnections({}),
        interval=Interval(start=START, end=END),
        columns=columns,
        batch_rows=batch_rows,
        share=share or Share(),
    )


def read(source: RowSource, where: Opening | None = None) -> Read:
    batches = list(source.batches(where or opening()))
    return Read(
        records=[record for batch in batches for record in batch.records.to_pylist()],
        problems=[problem for batch in batches for problem in batch.problems],
        batches=len(batches),
        firsts=[batch.first for batch in batches],
        schemas={str(batch.records.schema) for batch in batches},
    )
