"""Rows of Parquet files: read a number of them at a time, or taken in any order.

Rows with texts are too wide to go through a join and a sort: those are made with a file and a place in it, and the
rows are taken last (for vectors see vector_files.py).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.arrays import numbers, with_nulls

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

READ_ROWS = 4_096
UNPACK_ROWS = 16_384
BATCH_ROWS = 16_384


class Rows:
    """The columns `names` (all if not given) of a Parquet file, from the first row to the last.

    `footer` is the file's, where it is known: of ten million rows it takes 10 MB, and each reader's own as much again.
    """

    def __init__(
        self, path: Path, names: Sequence[str] | None = None, footer: pq.FileMetaData | None = None
    ) -> None:
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path, metadata=footer, pre_buffer=False)
        schema = file.schema_arrow
        self._schema = schema if names is None else _selected(schema, names)
        self._batches = file.iter_batches(READ_ROWS, columns=None if names is None else list(names))
        self._held: pa.RecordBatch | None = None

    def take(self, count: int) -> pa.Table:
        """The next so many rows; fewer at the end of the file."""
        import pyarrow as pa

        parts: list[pa.RecordBatch] = []
        while count:
            if self._held is None or not self._held.num_rows:
                if (batch := next(self._batches, None)) is None:
                    break
                self._held = batch.select(self._schema.names)
            part = self._held.slice(0, count)
            self._held = self._held.slice(part.num_rows)
            parts.append(part)
            count -= part.num_rows
        return pa.Table.from_batches(parts, self._schema)


def batches(path: Path, names: list[str]) -> Iterator[tuple[int, dict[str, pa.Array]]]:
    """Some columns of a Parquet file in batches, each with the number of its first row."""
    rows, start = Rows(path, names), 0
    while (batch := rows.take(BATCH_ROWS)).num_rows:
        yield start, {name: batch[name].combine_chunks() for name in names}
        start += batch.num_rows


class RowsAt:
    """The columns `names` of single rows of a Parquet file, by their numbers, in ascending order over all calls.

    `footer` is as for Rows."""

    def __init__(self, path: Path, names: Sequence[str], footer: pq.FileMetaData | None = None) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._names = list(names)
        self._file = pq.ParquetFile(path, metadata=footer, pre_buffer=False)
        self._schema = _selected(self._file.schema_arrow, names)
        groups = range(self._file.num_row_groups)
        self._starts = np.cumsum([0, *(self._file.metadata.row_group(one).num_rows for one in groups)])
        self._group, self._held = -1, pa.Table.from_batches([], self._schema)

    def take(self, rows: np.ndarray) -> pa.Table:
        """The rows with these numbers, ascending, int64. IndexError for one behind the end."""
        import numpy as np
        import pyarrow as pa

        groups = np.searchsorted(self._starts, rows, "right") - 1
        parts = []
        for group in np.unique(groups).tolist():
            if group != self._group:
                if group >= self._file.num_row_groups:
                    raise IndexError(f"The file has {self._starts[-1]:,} rows, and no row {rows.max():,}.")
                self._group = group
                self._held = self._file.read_row_group(group, self._names).select(self._names)
            parts.append(self._held.take(numbers(rows[groups == group] - self._starts[group])))
        return pa.concat_tables(parts or [self._held.slice(0, 0)])


def _selected(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in names])


class Grouped:
    """Writes tables to a Parquet file, some together as a row group of at least so many rows.

    Each group has an entry for each column in the footer, which writers and readers hold in memory.
    """

    def __init__(self, path: Path, schema: pa.Schema, rows: int, **options: Any) -> None:
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(path, schema, **options)
        self._rows = rows
        self._held: list[pa.Table] = []

    def __enter__(self) -> Grouped:
        return self

    def __exit__(self, *error: object) -> None:
        self._write()
        self._writer.close()

    def add(self, table: pa.Table) -> None:
        self._held.append(table)
        if sum(one.num_rows for one in self._held) >= self._rows:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        held, self._held = self._held, []
        if held:
            self._writer.write_table(pa.concat_tables(held))


@dataclass(frozen=True, slots=True)
class _Unpacked:
    first: int
    """Number of its first batch among those of all files."""
    starts: np.ndarray
    """In the file, of the first row of each batch."""
    rows: int
    mapped: mmap.mmap


class RowFiles:
    """The columns of `schema` of Parquet files; each is unpacked into `work` when first needed.

    That takes as much room on disk as the rows have in memory; little of it is in memory at any time. Numbers of
    files and places begin with 0.
    """

    def __init__(self, paths: Sequence[Path], schema: pa.Schema, work: Path) -> None:
        self._paths = paths
        self._schema = schema
        self._work = work
        self._unpacked: dict[int, _Unpacked] = {}
        self._batches: list[pa.RecordBatch] = []

    def take(self, files: np.ndarray, places: np.ndarray) -> pa.Table:
        """The rows at these places, all null where the file's number is below 0. Both of shape (count,), int64.

        IndexError for a place behind the end of its file.
        """
        import numpy as np
        import pyarrow as pa

        batch_of, place_in = np.full(len(files), -1), places.copy()
        for number in np.unique(files[files >= 0]).tolist():
            mine, source = files == number, self._source(number)
            if (last := int(places[mine].max())) >= source.rows:
                raise IndexError(f"{self._paths[number]} has {source.rows:,} rows, and no place {last:,}.")
            within = np.searchsorted(source.starts, places[mine], "right") - 1
            batch_of[mine] = source.first + within
            place_in[mine] -= source.starts[within]
        there = batch_of >= 0
        needed = np.unique(batch_of[there])
        batches = [self._batches[number] for number in needed.tolist()]
        starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        at = starts[np.searchsorted(needed, batch_of)] + place_in
        rows = with_nulls(numbers(at), None if there.all() else there)
        found = pa.Table.from_batches(batches, self._schema).take(rows)
        for source in self._unpacked.values():
            source.mapped.madvise(mmap.MADV_DONTNEED)
        return found

    def _source(self, number: int) -> _Unpacked:
        if number not in self._unpacked:
            self._unpacked[number] = self._unpack(number)
        return self._unpacked[number]

    def _unpack(self, number: int) -> _Unpacked:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, names = self._work / f"rows-{number}", self._schema.names
        with (
            pq.ParquetFile(self._paths[number], pre_buffer=False) as packed,
            pa.OSFile(str(path), "wb") as out,
            pa.ipc.new_file(out, self._schema) as writer,
        ):
            for batch in packed.iter_batches(UNPACK_ROWS, columns=names):
                whole = pa.Table.from_batches([batch.select(names)]).cast(self._schema)
                writer.write_table(whole)
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        reader = pa.ipc.open_file(pa.py_buffer(mapped))
        batches = [reader.get_batch(at) for at in range(reader.num_record_batches)]
        ends = np.cumsum([0, *(batch.num_rows for batch in batches)])
        first = len(self._batches)
        self._batches += batches
        return _Unpacked(first=first, starts=ends[:-1], rows=int(ends[-1]), mapped=mapped)
