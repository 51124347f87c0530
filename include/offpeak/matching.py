"""Matching: which entries have the same name as an earlier one, among any number of them, in bounded memory.

A name is a hash of 128 bits. Records are dealt by their names to files, so that equal names lie in one file and each
file is small; what is found there is given out again in the order of the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from offpeak.arrays import listed, offsets_of, texts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

PART_RECORDS = 1 << 18
"""About as many of the rows' records are matched at once."""
MOST_PARTS = 128
NAME = ("name", "<u8", 2)
"""The field of a record that has its name; see `names_of`."""
_SHORT = 64
"""Bytes of a text up to which it is hashed as it is."""
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
_BUFFER_RECORDS = 2_048
"""Of each stretch, of which a run of ten million rows has 64."""


def names_of(column: pa.Array) -> np.ndarray:
    """The names of strings, or of integers of 64 bits, none of them null: shape (values, 2), uint64."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        words = np.frombuffer(column.buffers()[1] or b"", "<u8", len(column), 8 * column.offset)
        return _mixed(words.reshape(-1, 1), np.full(len(words), 8))
    sizes = np.diff(offsets_of(column))
    if (sizes > _SHORT).any():
        column = texts(_shortened(value) for value in listed(column))
        sizes = np.diff(offsets_of(column))
    return _mixed(_words(column, sizes), sizes)


def first_alike(names: np.ndarray) -> np.ndarray:
    """For each of the names, shape (count, 2), the place of the first that is the same: its own where none is earlier.

    Shape (count,), int64.
    """
    import numpy as np

    if not len(names):
        return np.zeros(0, np.int64)
    one, other = np.ascontiguousarray(names[:, 0]), np.ascontiguousarray(names[:, 1])
    order = np.argsort(one)
    same = np.diff(one[order]) == 0
    if (np.diff(other[order])[same] != 0).any():  # half of their names is the same
        order = np.lexsort((other, one))
        same = (np.diff(one[order]) == 0) & (np.diff(other[order]) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    found = np.empty(len(names), np.int64)
    found[order] = np.repeat(np.minimum.reduceat(order, starts), np.diff(np.append(starts, len(names))))
    return found


def parts_for(records: int) -> int:
    """To how many parts so many records are dealt: a power of two."""
    return min(MOST_PARTS, 1 << max(0, (records - 1) // PART_RECORDS).bit_length())


class Dealt:
    """Records dealt by name to so many parts, a file each in `folder`. Equal names lie in one part, in their order."""

    def __init__(self, folder: Path, parts: int, fields: Sequence[tuple[Any, ...]]) -> None:
        import numpy as np

        folder.mkdir()
        self.type = np.dtype([NAME, *fields])
        self._parts = parts
        self._paths = [folder / str(number) for number in range(parts)]
        self._files: list[IO[bytes]] = [path.open("wb") for path in self._paths]

    def add(self, names: np.ndarray, **fields: Any) -> None:
        """Deal records: `fields` are arrays as long as `names`, or one value for all of them."""
        import numpy as np

        records = np.empty(len(names), self.type)
        for name, values in {"name": names, **fields}.items():
            records[name] = values
        if self._parts == 1:
            records.tofile(self._files[0])
            return
        part = (names[:, 1] >> np.uint64(65 - self._parts.bit_length())).astype(np.uint8)
        dealt = records[np.argsort(part, kind="stable")]
        ends = np.cumsum(np.bincount(part, minlength=self._parts))
        for file, records in zip(self._files, np.split(dealt, ends[:-1]), strict=True):
            records.tofile(file)

    def __len__(self) -> int:
        return self._parts

    def take(self, part: int) -> np.ndarray:
        """The records of one part, once, when all are dealt."""
        import numpy as np

        self._files[part].close()
        found = np.fromfile(self._paths[part], self.type)
        self._paths[part].unlink()
        return found


class InOrder:
    """Stretches of records, each in the order of their field `row`, given out together as far as the rows have come."""

    def __init__(self, folder: Path, fields: Sequence[tuple[Any, ...]]) -> None:
        import numpy as np

        folder.mkdir()
        self.type = np.dtype([("row", "<i8"), *fields])
        self._folder = folder
        self._stretches: list[_Stretch] = []

    def add(self, records: np.ndarray) -> None:
        """One stretch, with its rows ascending."""
        if len(records):
            path = self._folder / str(len(self._stretches))
            records.astype(self.type, copy=False).tofile(path)
            self._stretches.append(_Stretch(path, self.type))

    def take(self, stop: int) -> np.ndarray:
        """All records of rows below `stop` that were not given out before, those of a stretch together."""
        import numpy as np

        found = [records for stretch in self._stretches for records in stretch.take(stop)]
        return np.concatenate(found) if found else np.zeros(0, self.type)


class _Stretch:
    def __init__(self, path: Path, kind: np.dtype) -> None:
        self._path = path
        self._type = kind
        self._read = 0
        self._held: np.ndarray | None = None

    def take(self, stop: int) -> list[np.ndarray]:
        import numpy as np

        found = []
        while True:
            if self._held is None or not len(self._held):
                at = self._read * self._type.itemsize
                self._held = np.fromfile(self._path, self._type, _BUFFER_RECORDS, offset=at)
                self._read += len(self._held)
            below = int(np.searchsorted(self._held["row"], stop))
            found.append(self._held[:below])
            self._held = self._held[below:]
            if not below or len(self._held):
                return found


def _shortened(value: str) -> str:
    raw = value.encode()
    return value if len(raw) <= _SHORT else hashlib.blake2b(raw, digest_size=_SHORT // 2).hexdigest()


def _words(column: pa.Array, sizes: np.ndarray) -> np.ndarray:
    """The bytes of strings as numbers, the last one of each filled up with 0. Shape (strings, words), uint64."""
    import numpy as np

    count, width = len(sizes), -(-int(sizes.max(initial=0)) // 8) * 8
    ends = offsets_of(column)
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    if width and (sizes == width).all():
        return np.ascontiguousarray(data.reshape(count, width)).view("<u8")
    whole = np.zeros((count, width), np.uint8)
    whole[np.arange(width) < sizes[:, None]] = data
    return whole.view("<u8")


def _mixed(words: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Two hashes of each row of words, of as many of them as its size in bytes fills."""
    import numpy as np

    uneven = bool((sizes <= 8 * (words.shape[1] - 1)).any())
    made = np.empty((len(words), 2), np.uint64)
    for place, factor in enumerate(map(np.uint64, _FACTORS)):
        mixed = sizes.astype(np.uint64) * factor
        for number in range(words.shape[1]):
            more = (mixed ^ words[:, number]) * factor
            more ^= more >> np.uint64(29 + place)
            mixed = np.where(sizes > 8 * number, more, mixed) if uneven else more
        mixed *= factor
        made[:, place] = mixed ^ (mixed >> np.uint64(32))
    return made
