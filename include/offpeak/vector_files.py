"""Vectors read in any order from Parquet files that hold them in another, in memory for one batch of them.

A vector is too wide to go through a join and a sort: those are made with its file and row, and the vector is read last.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
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
    """The column `name`, lists of as many float32, of Parquet files; each is unpacked into `work` when first needed.

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
        """The vectors at these places, null where the file's number is below 0. Both of shape (count,), int64."""
        import numpy as np
        import pyarrow as pa

        from offpeak.arrays import flags, numbers

        found, is_null = np.empty((len(files), self._dimensions), "<f4"), files < 0
        found[is_null] = 0  # a null has numbers in the file too: not whatever was in memory
        for start, end in _runs(files, rows):
            if files[start] >= 0:
                source, first = self._source(int(files[start])), int(rows[start])
                _read_into(source.file, found[start:end], first)
                is_null[start:end] = source.is_null[first : first + end - start]
        mask = flags(is_null) if is_null.any() else None
        return pa.FixedSizeListArray.from_arrays(numbers(found.ravel()), self._dimensions, mask=mask)

    def _source(self, number: int) -> _Unpacked:
        if number not in self._unpacked:
            self._unpacked[number] = self._unpack(number)
        return self._unpacked[number]

    def _unpack(self, number: int) -> _Unpacked:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        from offpeak.arrays import mask_of

        path = self._work / f"vectors-{number}"
        nulls = []
        source = pq.ParquetFile(self._paths[number], buffer_size=READ_BYTES, pre_buffer=False)
        with source as packed, path.open("wb") as out:
            for batch in packed.iter_batches(READ_ROWS, columns=[self._name]):
                vectors = batch.column(0).cast(pa.list_(pa.float32(), self._dimensions))
                nulls.append(mask_of(vectors.is_null()))
                out.write(_packed(vectors))
        file = self._open.enter_context(path.open("rb", buffering=0))
        return _Unpacked(file, np.concatenate(nulls) if nulls else np.zeros(0, bool))


def _packed(vectors: pa.FixedSizeListArray) -> memoryview:
    """The numbers of all of them, a null's too, whatever stands there."""
    values = vectors.values
    size = 4 * vectors.type.list_size
    start = 4 * values.offset + size * vectors.offset
    return memoryview(values.buffers()[1])[start : start + size * len(vectors)]


def _runs(files: np.ndarray, rows: np.ndarray) -> list[tuple[int, int]]:
    """Where neighbours follow each other in their file too, as (start, end): read at once."""
    import numpy as np

    if not len(files):
        return []
    breaks = 1 + np.flatnonzero((np.diff(files) != 0) | (np.diff(rows) != 1))
    bounds = [0, *breaks.tolist(), len(files)]
    return list(pairwise(bounds))


def _read_into(file: BinaryIO, into: np.ndarray, first: int) -> None:
    """Fill `into` with the rows from number `first`. OSError when the file ends before."""
    view = into.data.cast("B")
    at = first * into.shape[1] * into.itemsize
    while view:
        count = os.preadv(file.fileno(), [view], at)
        if not count:
            raise OSError(f"{file.name} ends before row {first + len(into):,}.")
        view, at = view[count:], at + count
