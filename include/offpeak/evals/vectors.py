"""Embedding similarity: the texts that are compared are embedded in a stage of their own, each text once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from offpeak.answer import Vector
from offpeak.evals.cases import CASE
from offpeak.evals.reading import text_of
from offpeak.rows.source import Opening, RowBatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offpeak.evals.suite import EvalSuite


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """With which model `similarity` compares texts."""

    model: str = "openai:text-embedding-3-small"
    dimensions: int = 256

    @property
    def answer(self) -> Vector:
        return Vector(self.dimensions)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRows:
    """Every different text that a similarity compares, as rows."""

    suite: EvalSuite
    key: str = "text_id"

    def describe(self) -> str:
        return f"answers and expected texts of {self.suite.name}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        """Raises TableError when a stage's table is not there, which the pipeline's order excludes."""
        import pyarrow as pa

        seen: set[str] = set()
        for candidate in self.suite.candidates:
            with self.suite.answers(opening, candidate.name) as file:
                for texts in _texts(file, self.suite):
                    new = {
                        name: text for text in texts if text.strip() and (name := text_id(text)) not in seen
                    }
                    if new:
                        columns = {"text_id": list(new), "text": list(new.values())}
                        yield RowBatch(pa.RecordBatch.from_pydict(columns), self.describe(), len(seen) + 1)
                    seen |= new.keys()


def _texts(file: Path, suite: EvalSuite) -> Iterator[list[str]]:
    import pyarrow.parquet as pq

    compared = [one for one in suite.metrics if one.stage == "similarity"]
    columns = sorted({one.column for one in compared})
    for batch in pq.ParquetFile(file).iter_batches(columns=[CASE, *columns]):
        cases = [orjson.loads(case) for case in batch.column(CASE).to_pylist()]
        texts = []
        for one in compared:
            texts += [text_of(value) for value in batch.column(one.column).to_pylist()]
            texts += [text_of(case.get(one.against)) for case in cases]
        yield texts


def text_id(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class Vectors:
    """The stage's table, in memory: `dimensions` float32 for each different text."""

    def __init__(self, path: Path) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=["text_id", "vector"], partitioning=None)
        table = table.filter(table.column("vector").is_valid())
        flat = table.column("vector").combine_chunks()
        values = flat.flatten().to_numpy(zero_copy_only=False) if len(flat) else np.zeros(0, np.float32)
        self._vectors: NDArray[np.float32] = values.reshape(len(flat), -1) if len(flat) else values
        self._places: Mapping[str, int] = {
            one: at for at, one in enumerate(table.column("text_id").to_pylist())
        }

    def similarity(self, one: str, other: str) -> float:
        """The cosine of two texts, from 0 to 1; 1 for equal texts, 0 where one was not embedded."""
        if one == other:
            return 1.0
        places = [self._places.get(text_id(text)) for text in (one, other)]
        if None in places:
            return 0.0
        a, b = (self._vectors[place] for place in places)
        length = float((a @ a) * (b @ b)) ** 0.5
        return min(1.0, max(0.0, float(a @ b) / length)) if length else 0.0
