"""Vectors measured: plain columns for each row, the overlap of neighbourhoods, the rank of golden answers.

Vectors stay in numpy and are streamed; only the sample that neighbourhoods are compared on is held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.checks.measures import Measured, Measuring
from offpeak.embeddings.checks import VectorChecks
from offpeak.embeddings.corpus import KEY, TEXT
from offpeak.embeddings.neighbours import Sample, overlaps, sampled
from offpeak.embeddings.questions import asked
from offpeak.embeddings.versions import VECTOR, OpenVectors, seen_by_readers
from offpeak.files_sql import files_sql, literal
from offpeak.tables.columns import rows_per_batch

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LEAST_SHARED = 30
"""With fewer texts in common, neighbourhoods say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorMeasures:
    """Implements checks/measures.Measures for a workload whose answer is a vector."""

    document: str
    """The column with the document's key."""
    golden: Mapping[str, Any]
    checks: VectorChecks

    def take(self, measuring: Measuring) -> Iterator[Measured]:
        dimensions = measuring.workload.form.form.dimensions or 0
        answered = answered_rows(measuring.staged)
        yield from self._count(measuring, answered)
        if not answered:
            return
        path = measured_rows(measuring.staged, measuring.folder)
        yield Measured(path=path, key=KEY, checks=self.checks.of_rows(dimensions))
        yield self._neighbours(measuring)
        if self.golden:
            yield self._golden(measuring)

    def _count(self, measuring: Measuring, answered: int) -> Iterator[Measured]:
        """Another version may have fewer chunks for a reason: only a run of the readers' own is compared."""
        into: Any = measuring.workload.into
        table: OpenVectors = into.open(measuring.site.store, measuring.site.connections)
        try:
            seen = seen_by_readers(table.versions())
        finally:
            table.close()
        if seen is None or seen.name != into.version or not seen.row_count:
            return
        path = measuring.folder / "count.parquet"
        _write(path, {"version": [seen.name], "kept": [min(1.0, answered / seen.row_count)]})
        yield Measured(path=path, key="version", checks=self.checks.of_count())

    def _neighbours(self, measuring: Measuring) -> Measured:
        """Against what readers see now. Nothing to judge without it, or with too little in common."""
        table: Any = measuring.workload.into.open(measuring.site.store, measuring.site.connections)
        before = _sample_of(table)
        path = measuring.folder / "neighbours.parquet"
        if before is None:
            return Measured(path=path, key="probe", facts={"neighbours": {"compared": 0}})
        now = sampled(_texts_and_vectors(vectors(measuring.staged, (TEXT,))))
        shares = overlaps(before, now)
        if shares.compared < LEAST_SHARED:
            return Measured(path=path, key="probe", facts={"neighbours": {"compared": shares.compared}})
        _write(path, {"probe": shares.probes, "overlap": shares.overlap})
        mean = sum(shares.overlap) / len(shares.overlap)
        facts = {"compared": shares.compared, "probes": len(shares.probes), "overlap": round(mean, 4)}
        return Measured(
            path=path, key="probe", checks=self.checks.of_neighbours(), facts={"neighbours": facts}
        )

    def _golden(self, measuring: Measuring) -> Measured:
        questions = asked(measuring.workload, measuring.site, list(self.golden))
        wanted = [str(self.golden[question]) for question in questions.texts]
        ranks = ranked(measuring.staged, self.document, questions.vectors, wanted, self.checks.found_within)
        path = measuring.folder / "golden.parquet"
        found = [float(rank > 0) for rank in ranks]
        _write(path, {"question": questions.texts, "found": found, "rank": ranks})
        share = sum(found) / len(ranks) if ranks else 0.0
        facts = {
            "questions": len(ranks),
            "recall": round(share, 4),
            "within": self.checks.found_within,
            "missed": [text for text, rank in zip(questions.texts, ranks, strict=True) if not rank][:20],
            "asked": questions.asked,
            "cost_usd": None if questions.cost_usd is None else format(questions.cost_usd, "f"),
        }
        return Measured(path=path, key="question", checks=self.checks.of_golden(), facts={"golden": facts})


def answered_rows(staged: Path) -> int:
    """How many rows have an answer to be measured."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(staged) as file:
        return sum(
            batch.column(0).to_pylist().count("answered") for batch in file.iter_batches(columns=["_outcome"])
        )


def vectors(staged: Path, columns: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, np.ndarray[Any, Any]]]:
    """The answered rows in batches: some columns, and the vectors as a matrix. A null vector is all NaN."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(staged, pre_buffer=False) as file:
        wanted = [*dict.fromkeys([*columns, VECTOR, "_outcome"])]
        for batch in file.iter_batches(rows_per_batch(file.schema_arrow), columns=wanted):
            kept = batch.filter(pc.equal(batch.column("_outcome"), "answered"))
            if kept.num_rows:
                yield kept.select(list(columns)), matrix(kept.column(VECTOR))


def matrix(column: pa.Array) -> np.ndarray[Any, Any]:
    """A column of vectors as rows of a matrix."""
    import numpy as np

    size = column.type.list_size
    made = np.full((len(column), size), np.nan, dtype=np.float32)
    made[np.asarray(column.is_valid())] = np.asarray(column.flatten()).reshape(-1, size)
    return made


def measured_rows(staged: Path, folder: Path) -> Path:
    """`chunk`, `dimensions`, `norm`, `finite`, `spread`, `twin` for each answered row of the staged file.

    `norm` and `spread` are null where a number is not finite. `twin` is a chunk of another text with the same
    vector, null where there is none.
    """
    plain, path = folder / "plain.parquet", folder / "measured.parquet"
    _write_plain(staged, plain)
    with files_sql(folder) as sql:
        sql.execute(
            f"""COPY (
                WITH alike AS (SELECT hash, min(text) AS least, max(text) AS most, min_by(chunk, text) AS one,
                                      max_by(chunk, text) AS other
                               FROM read_parquet({literal(plain)}) GROUP BY hash HAVING min(text) <> max(text))
                SELECT p.chunk, p.dimensions, p.norm, p.finite, p.spread, 'answered' AS _outcome,
                       CASE WHEN a.hash IS NULL THEN NULL WHEN p.text = a.least THEN a.other ELSE a.one END AS twin
                FROM read_parquet({literal(plain)}) p LEFT JOIN alike a USING (hash))
              TO {literal(path)} (FORMAT parquet)"""
        )
    return path


def _write_plain(staged: Path, path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    try:
        for batch, numbers in vectors(staged, (KEY, "_fingerprint")):
            finite = np.isfinite(numbers).all(axis=1)
            norm = np.linalg.norm(numbers.astype(np.float64), axis=1)
            spread = numbers.max(axis=1).astype(np.float64) - numbers.min(axis=1)
            size = numbers.shape[1]
            table = pa.table(
                {
                    "chunk": batch.column(KEY),
                    "text": batch.column("_fingerprint"),
                    "dimensions": pa.array(np.full(len(numbers), size)),
                    "norm": pa.array(norm, mask=~finite),
                    "finite": pa.array(finite),
                    "spread": pa.array(spread, mask=~finite),
                    "hash": pa.array(
                        [hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in numbers]
                    ),
                }
            )
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def ranked(
    staged: Path, document: str, questions: np.ndarray[Any, Any], wanted: Sequence[str], within: int
) -> list[int]:
    """For each question the rank, from 1, of the first chunk of its wanted document; 0 when not `within`."""
    import numpy as np

    best: list[list[tuple[float, str]]] = [[] for _ in wanted]
    asked_for = questions / np.linalg.norm(questions, axis=1, keepdims=True)
    for batch, numbers in vectors(staged, (document,)):
        length = np.linalg.norm(numbers, axis=1)
        scores = asked_for @ np.nan_to_num(numbers.T / np.where(length > 0, length, 1.0))
        names = batch.column(document).to_pylist()
        for at, row in enumerate(scores):
            top = np.argsort(-row, kind="stable")[:within]
            found = [*best[at], *((float(row[one]), str(names[one])) for one in top)]
            best[at] = sorted(found, key=lambda hit: -hit[0])[:within]
    return [
        next((rank for rank, (_, name) in enumerate(hits, 1) if name == key), 0)
        for hits, key in zip(best, wanted, strict=True)
    ]


def _sample_of(table: OpenVectors) -> Sample | None:
    """A sample of what readers see; None when they see nothing."""
    try:
        if seen_by_readers(table.versions()) is None:
            return None
        batches = table.scan((TEXT, VECTOR))
        return sampled((batch.column(TEXT).to_pylist(), matrix(batch.column(VECTOR))) for batch in batches)
    finally:
        table.close()


def _texts_and_vectors(
    batches: Iterator[tuple[pa.RecordBatch, np.ndarray[Any, Any]]],
) -> Iterator[tuple[list[str], np.ndarray[Any, Any]]]:
    return ((batch.column(TEXT).to_pylist(), numbers) for batch, numbers in batches)


def _write(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = len(next(iter(columns.values())))
    pq.write_table(pa.table({**columns, "_outcome": ["answered"] * count}), path)
