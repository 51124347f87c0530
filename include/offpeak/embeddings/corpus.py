"""The corpus as rows: documents are streamed from any source and cut into chunks on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from offpeak.embeddings.chunking import Chunk, Chunking, chunks
from offpeak.errors import InputError
from offpeak.rows.source import Opening, RowBatch, RowProblem, RowSource

if TYPE_CHECKING:
    import pyarrow as pa

KEY, HEADING, TEXT, PASSAGE, POSITION = "chunk", "heading", "text", "passage", "position"
OWN = (KEY, HEADING, TEXT, PASSAGE, POSITION)
"""The columns of a chunk; the document's key stands beside them under its own name."""
BATCH_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRows:
    """Each chunk of each document is one row. Bounded memory, however many documents there are."""

    corpus: RowSource
    text: str
    """The column with the document."""
    title: str = ""
    """The column with its title; none if empty."""
    kept: tuple[str, ...] = ()
    """Further columns of the document that each of its chunks has."""
    chunking: Chunking
    unit: ClassVar[str] = "chunk"

    @property
    def key(self) -> str:
        return KEY

    def describe(self) -> str:
        return f"{self.corpus.describe()}, column {self.text}: {self.chunking.describe()}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        """A document whose text is null, or that the source could not read, is a problem; an empty one has no chunk.

        InputError when the text or the title is no text column.
        """
        columns = tuple(dict.fromkeys([self.corpus.key, self.text, *filter(None, [self.title]), *self.kept]))
        inner = replace(opening, columns=columns, batch_rows=min(opening.batch_rows, 256))
        gathered = _Gathered(rows=self, columns=opening.columns)
        for batch in self.corpus.batches(inner):
            yield from self._of(batch, gathered)

    def _of(self, batch: RowBatch, gathered: _Gathered) -> Iterator[RowBatch]:
        self._check(batch)
        gathered.begin(batch.origin, [batch.records.field(name) for name in self.kept])
        for problem in batch.problems:
            gathered.problem(f"{problem.reason} (document {problem.number} of its origin)", problem.excerpt)
        for record in batch.records.to_pylist():
            name, text = str(record[self.corpus.key]), record[self.text]
            if text is None:
                gathered.problem(f"the document {name!r} has no text: {self.text} is null", name[:500])
                continue
            title = (record[self.title] or "") if self.title else ""
            for chunk in chunks(text, name, title, self.chunking):
                gathered.chunk(name, chunk, record)
                if gathered.size_bytes > BATCH_BYTES:
                    yield gathered.end()
        if gathered.count:
            yield gathered.end()

    def _check(self, batch: RowBatch) -> None:
        for name in filter(None, (self.text, self.title)):
            kind = str(batch.records.schema.field(name).type)
            if kind not in ("string", "large_string", "null"):
                raise InputError(
                    f"{batch.origin}: the column {name!r} is {kind}, and a document is text. Nothing was sent. "
                    "Name the column that holds the text, or cast it in the source."
                )


class _Gathered:
    """Chunks and problems until they are a batch; both are numbered together, from 1 within their origin."""

    def __init__(self, *, rows: ChunkRows, columns: tuple[str, ...] | None) -> None:
        self._rows, self._columns = rows, columns
        self._origin, self._next = "", 1
        self._fields: list[pa.Field] = []
        self._clear()

    def _clear(self) -> None:
        self._first, self.size_bytes, self.count = self._next, 0, 0
        self._chunks: list[tuple[str, Chunk]] = []
        self._kept: list[tuple[Any, ...]] = []
        self._problems: list[RowProblem] = []

    def begin(self, origin: str, fields: list[pa.Field]) -> None:
        if origin != self._origin:
            self._origin, self._next = origin, 1
        self._fields = fields
        self._clear()

    def chunk(self, document: str, chunk: Chunk, record: Mapping[str, Any]) -> None:
        self._chunks.append((document, chunk))
        self._kept.append(tuple(record[name] for name in self._rows.kept))
        self.size_bytes += len(chunk.passage) * 2
        self.count, self._next = self.count + 1, self._next + 1

    def problem(self, reason: str, excerpt: str) -> None:
        self._problems.append(
            RowProblem(origin=self._origin, number=self._next, reason=reason, excerpt=excerpt)
        )
        self.count, self._next = self.count + 1, self._next + 1

    def end(self) -> RowBatch:
        import pyarrow as pa

        pieces = [chunk for _, chunk in self._chunks]
        made: dict[str, Any] = {
            KEY: pa.array([one.id for one in pieces], pa.string()),
            self._rows.corpus.key: pa.array([document for document, _ in self._chunks], pa.string()),
            HEADING: pa.array([one.heading for one in pieces], pa.string()),
            TEXT: pa.array([one.text for one in pieces], pa.string()),
            PASSAGE: pa.array([one.passage for one in pieces], pa.string()),
            POSITION: pa.array([one.position for one in pieces], pa.int64()),
        }
        for at, field in enumerate(self._fields):
            made[field.name] = pa.array([values[at] for values in self._kept], field.type)
        wanted = list(made) if self._columns is None else [name for name in self._columns if name in made]
        records = pa.RecordBatch.from_arrays([made[name] for name in wanted], names=wanted)
        batch = RowBatch(records, self._origin, self._first, tuple(self._problems))
        self._clear()
        return batch
