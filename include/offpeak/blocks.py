"""Blocks: many lines in one buffer, so that nobody has to make an object of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from offpeak.arrays import offsets_of
from offpeak.compiled.library import line_feeds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BLOCK_BYTES = 2 * 1024 * 1024
"""Are read at once, and more where a line is longer."""
_BLANK = b" \t\r\x0b\x0c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some texts. Text i is data[starts[i]:ends[i]]; both are int64."""

    data: bytes | bytearray | pa.Buffer
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> Block:
        """Lines that are still apart."""
        import numpy as np

        ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)))
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1]
        return cls(data=b"".join(lines), starts=starts, ends=ends)

    @classmethod
    def of_column(cls, texts: pa.Array) -> Block:
        """The values of a string column without nulls."""
        import numpy as np

        ends = offsets_of(texts).astype(np.int64)
        return cls(data=texts.buffers()[2] or b"", starts=ends[:-1], ends=ends[1:])

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, place: int) -> bytes:
        return bytes(memoryview(self.data)[self.starts[place] : self.ends[place]])

    def __iter__(self) -> Iterator[bytes]:
        whole = memoryview(self.data)
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield bytes(whole[start:end])


def lines_in(blocks: Iterable[Block]) -> Iterator[bytes]:
    """Their lines, one by one."""
    for block in blocks:
        yield from block


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a shard or result file, split on LF only, without it; blank ones left out."""
    with path.open("rb", buffering=0) as source:
        yield from lines_in(blocks_of(source))


def blocks_of(source: IO[bytes]) -> Iterator[Block]:
    """The lines of an open binary file, split on LF only, without it and CR at their end; blank ones left out.

    A block is good until the next one is asked for: they share one buffer, as new memory costs more than the reading.
    """
    room, begun = bytearray(BLOCK_BYTES), 0  # so many bytes of a line that goes on behind what was read
    while read := _read_into(room, begun, source):
        size = begun + read
        end = room.rfind(b"\n", begun, size) + 1
        if end:
            yield _block(room, end)
        begun = size - end
        rest = room[end:size]
        if 2 * begun > len(room):
            room = bytearray(2 * len(room))
        room[:begun] = rest
    if begun:
        yield _block(room[:begun] + b"\n", begun + 1)


def _read_into(room: bytearray, start: int, source: IO[bytes]) -> int:
    with memoryview(room) as whole, whole[start:] as free:
        read: int = source.readinto(free)  # type: ignore[attr-defined]
    return read


def _block(data: bytearray, size: int) -> Block:
    """The lines in the first `size` bytes of the data, the last of which is LF."""
    import numpy as np

    whole = np.frombuffer(data, np.uint8, size)
    ends = line_feeds(whole)
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1] + 1
    cr = (ends > starts) & (whole[ends - 1] == ord("\r"))
    while cr.any():
        ends = ends - cr
        cr &= (ends > starts) & (whole[ends - 1] == ord("\r"))
    kept = ends > starts
    for place in np.flatnonzero(kept & np.isin(whole[starts], np.frombuffer(_BLANK, np.uint8))).tolist():
        kept[place] = bool(bytes(data[starts[place] : ends[place]]).strip())
    return Block(data=data, starts=starts[kept], ends=ends[kept])
