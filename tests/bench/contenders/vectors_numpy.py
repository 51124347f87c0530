"""json and numpy, as a careful user writes it: a batch at a time, one array, joined by pyarrow, Parquet."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.bench.answered import vectors_in
from tests.bench.answers import batches
from tests.bench.tickets import DIMENSIONS
from tests.bench.work import Outcome, Place

CHUNK_ROWS = 10_000


def prepare(place: Place) -> None:
    import numpy as np  # noqa: F401
    import pyarrow.parquet  # noqa: F401


def run(place: Place) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    requests = pq.read_table(place.data / "requests.parquet", columns=["ticket_id", "custom_id"])
    keys: dict[str, list[str]] = {}
    for ticket, custom_id in zip(*(column.to_pylist() for column in requests.columns), strict=True):
        keys.setdefault(custom_id, []).append(ticket)
    schema = pa.schema({"ticket_id": pa.string(), "vector": pa.list_(pa.float32(), DIMENSIONS)})
    with pq.ParquetWriter(place.out / "answers.parquet", schema) as writer:
        for path in batches(place.data):
            _file(path, keys, writer, schema)


def _file(path: Path, keys: dict[str, list[str]], writer: Any, schema: Any) -> None:
    import numpy as np

    tickets: list[str] = []
    vectors: list[Any] = []
    with path.open("rb") as lines:
        for line in lines:
            record = json.loads(line)
            given = record["response"]["body"]["data"][0]["embedding"]
            if isinstance(given, str):
                vector = np.frombuffer(base64.b64decode(given), dtype=np.float32)
            else:
                vector = np.array(given, dtype=np.float32)
            assert len(vector) == DIMENSIONS
            for ticket in keys[record["custom_id"]]:
                tickets.append(ticket)
                vectors.append(vector)
            if len(tickets) >= CHUNK_ROWS:
                _write(tickets, vectors, writer, schema)
                tickets, vectors = [], []
    _write(tickets, vectors, writer, schema)


def _write(tickets: list[str], vectors: list[Any], writer: Any, schema: Any) -> None:
    import numpy as np
    import pyarrow as pa

    if not tickets:
        return
    flat = pa.array(np.concatenate(vectors))
    column = pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS)
    writer.write_batch(pa.record_batch([pa.array(tickets), column], schema=schema))


def outcome(place: Place) -> Outcome | None:
    return vectors_in([place.out / "answers.parquet"])
