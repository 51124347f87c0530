"""What an answered file says, whoever wrote it: so that contenders' files can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from tests.bench.work import Outcome, digest

TICKET = ("ticket_id", "intent", "urgency", "summary", "tags")
VECTOR = ("ticket_id", "vector")


def tickets_in(paths: Iterable[Path]) -> Outcome:
    """The answered rows of these Parquet files; a row without an intent was not answered."""
    return digest(_tickets(paths))


def vectors_in(paths: Iterable[Path]) -> Outcome:
    """The rows with a vector of these Parquet files."""
    return digest(_vectors(paths))


def _tickets(paths: Iterable[Path]) -> Iterator[bytes]:
    for batch in _read(paths, TICKET):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if row[1] is not None:
                yield orjson.dumps([*row[:2], int(row[2]), *row[3:]])


def _vectors(paths: Iterable[Path]) -> Iterator[bytes]:
    for batch in _read(paths, VECTOR):
        for key, vector in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
            if vector.is_valid:
                yield key.encode() + vector.values.to_numpy().tobytes()


def _read(paths: Iterable[Path], columns: tuple[str, ...]) -> Iterator[Any]:
    import pyarrow.parquet as pq

    for path in sorted(paths):
        for batch in pq.ParquetFile(path).iter_batches(columns=list(columns), batch_size=10_000):
            yield batch.select(list(columns))
