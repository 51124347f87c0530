"""Vectors read in any order from Parquet files that hold them in another, in memory for one batch of them.

A vector is too wide to go through a join and a sort: those are made with its file and row, and the vector is read last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

READ_ROWS = 256
READ_BYTES = 1024 * 1024
"""What is read of a file at once: as much as the processor keeps near itself."""


class _Unpacked(NamedTuple):
    file: BinaryIO
    """float32, row after row, nothing else."""
    is_null: np.ndarray
    """Of each row."""


class VectorFiles:
    """The column `name`, vectors of as many float32, of Parquet files: bytes or, in the carry and earlier releases'
    results, lists. Each file is unpacked into `work` when first needed.

    That takes as much room on disk as the vectors have. Numbers of files and rows begin with 0.
    """

    def __init__(self, paths: Sequence[Path], name: str, dimensions: int, work: Path) -> None:
        self._paths = paths
        self._name = name
        self._dimensions = dimensions
        self._work = work
        self._unpacked: dict[int, _Unpacked] = {}
        self._open = ExitStack()

    def __enter__(self) -> VectorFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def take(self, files: np.ndarray, rows: np.ndarray) -> pa.FixedSizeListArray:
        """The vectors at these places, null where the file's number is below 0. Both of shape (count,), int64.

        OSError for a row behind the end of its file.
        """
        import pyarrow as pa

        from offpeak.arrays import as_lists, flags

        width = 4 * self._dimensions
        room = pa.allocate_buffer(width * len(files))  # numpy's would be new memory every time
        with memoryview(room).cast("B") as found:
            for run in _runs(files, rows):
                into = found[width * run.start : width * run.end]
                if run.file < 0:
                    into[:] = bytes(len(into))  # not whatever was in memory
                else:
                    _read_into(self._source(run.file).file, into, width * run.row)
        is_null = self._nulls(files, rows)
        valid = flags(~is_null).buffers()[1] if is_null.any() else None
        return as_lists(pa.Array.from_buffers(pa.binary(width), len(files), [valid, room]))

    def _nulls(self, files: np.ndarray, rows: np.ndarray) -> np.ndarray:
        import numpy as np

        is_null = files < 0
        for number in np.unique(files[~is_null]).tolist():
            mine = files == number
            is_null[mine] = self._source(number).is_null[rows[mine]]
        return is_null

    def _source(self, number: int) -> _Unpacked:
        if number not in self._unpacked:
            self._unpacked[number] = self._unpack(number)
        return self._unpacked[number]

    def _unpack(self, number: int) -> _Unpacked:
        import numpy as np
        import pyarrow.parquet as pq

        from offpeak.arrays import as_bytes, mask_of

        path = self._work / f"vectors-{number}"
        nulls = []
        source = pq.ParquetFile(self._paths[number], buffer_size=READ_BYTES, pre_buffer=False)
        with source as packed, path.open("wb") as out:
            for batch in packed.iter_batches(READ_ROWS, columns=[self._name], use_threads=False):
                vectors = as_bytes(batch.column(0), self._dimensions)
                nulls.append(mask_of(vectors.is_null()))
                out.write(_packed(vectors))
        file = self._open.enter_context(path.open("rb", buffering=0))
        return _Unpacked(file, np.concatenate(nulls) if nulls else np.zeros(0, bool))


def _packed(vectors: pa.FixedSizeBinaryArray) -> memoryview:
    """The bytes of all of them, a null's too, whatever stands there."""
    width, data = vectors.type.byte_width, vectors.buffers()[1]
    return memoryview(data)[width * vectors.offset :][: width * len(vectors)]


class _Run(NamedTuple):
    """Neighbours that follow each other in their file too: read at once."""

    start: int
    end: int
    file: int
    row: int


def _runs(files: np.ndarray, rows: np.ndarray) -> Iterator[_Run]:
    import numpy as np

    if not len(files):
        return iter(())
    breaks = 1 + np.flatnonzero((np.diff(files) != 0) | (np.diff(rows) != 1))
    starts, ends = np.append(0, breaks), np.append(breaks, len(files))
    return map(_Run, starts.tolist(), ends.tolist(), files[starts].tolist(), rows[starts].tolist())


def _read_into(file: BinaryIO, into: memoryview, at: int) -> None:
    """Fill `into` from byte `at` on. OSError when the file ends before."""
    while into:
        count = os.preadv(file.fileno(), [into], at)
        if not count:
            raise OSError(f"{file.name} ends before byte {at + len(into):,}.")
        into, at = into[count:], at + count
