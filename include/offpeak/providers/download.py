"""Downloads of result files: lines are given as they arrive, and none of them twice."""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from hashlib import blake2b
from itertools import islice
from threading import Condition
from typing import IO, Any

import orjson

from offpeak.blocks import Block, blocks_of, lines_in
from offpeak.errors import ProviderBusy
from offpeak.overlap import beside

ATTEMPTS = 3
"""For a connection that keeps breaking."""
SHORT_ATTEMPTS = 8
"""For a file that ends too soon: taking it as it is means asking, and paying, again for what it lacks."""
_LONGEST_WAIT = 2.0
_NEW_LINE = b"\n"

Stream = Callable[[], AbstractContextManager[Iterator[bytes]]]


def downloaded(stream: Stream, *, least: int, wait: Callable[[float], None]) -> Iterator[Block]:
    """Every line of what `stream` opens, split on LF only, blank ones left out, while the rest is still on its way.

    A download that breaks off, ends within a line, or holds fewer than the `least` lines that the provider
    counted, is begun anew: a line lost here would be paid for again. The lines that were given by then are left out,
    in whatever order they come now. When it keeps breaking, ProviderBusy; when it keeps being short, the file itself
    is so and is given as it is, a cut last line included, for the reader to call it unreadable.
    """
    given, tries = 0, _Tries()
    with _temporary() as file:
        try:
            with _arriving(stream, file, least) as coming:
                for block in blocks_of(coming):
                    yield block
                    given += len(block)
                return
        except (_Short, ProviderBusy) as error:
            tries.failed(error)
        file.seek(0)
        known = _Known(islice(lines_in(blocks_of(file)), given))
    with _temporary() as file:
        _fetch(stream, file, least, wait, tries)
        file.seek(0)
        yield from map(known.left_out_of, blocks_of(file))


def _temporary() -> AbstractContextManager[IO[bytes]]:
    return tempfile.TemporaryFile(prefix="offpeak-results-", buffering=0)


class _Known:
    """Lines that were given before, by their hashes."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._counts = Counter(map(_hash, lines))
        self._left = self._counts.total()

    def left_out_of(self, block: Block) -> Block:
        """The block's other lines; each known one is left out as often as it was given."""
        import numpy as np

        if not self._left:
            return block
        new = np.ones(len(block), bool)
        for place, line in enumerate(block):
            if self._counts[name := _hash(line)]:
                self._counts[name] -= 1
                self._left -= 1
                new[place] = False
        return Block(data=block.data, starts=block.starts[new], ends=block.ends[new])


def _hash(line: bytes) -> bytes:
    return blake2b(line, digest_size=16).digest()


class _Short(Exception):
    """The file ended in a line, or with fewer lines than there must be."""


class _Left(Exception):
    """Nobody reads any more."""


class _Tries:
    """How often a download failed, and in which way."""

    def __init__(self) -> None:
        self._broken = self._short = 0

    def failed(self, error: _Short | ProviderBusy) -> None:
        """Count it; raises it when it is to be tried no more."""
        if isinstance(error, _Short):
            self._short += 1
            return
        self._broken += 1
        # the provider's own no (a limit, a 404) is the caller's to wait out; a broken line is ours
        if error.code != "no_answer" or self._broken == ATTEMPTS:
            raise error

    @property
    def is_last_short(self) -> bool:
        return self._short == SHORT_ATTEMPTS - 1

    @property
    def wait_seconds(self) -> float:
        return random.uniform(0.5, 1.5) * min(self._broken + self._short, _LONGEST_WAIT)  # noqa: S311 - guards nothing


def _fetch(stream: Stream, file: IO[bytes], least: int, wait: Callable[[float], None], tries: _Tries) -> None:
    """All of it into the file, after a try that failed."""
    while True:
        wait(tries.wait_seconds)
        file.seek(0)
        file.truncate()
        try:
            _attempt(stream, file, partial(_write, file), least)
            return
        except _Short as short:
            if tries.is_last_short:
                return
            tries.failed(short)
        except ProviderBusy as error:
            tries.failed(error)


def _attempt(stream: Stream, file: IO[bytes], write: Callable[[bytes], object], least: int) -> None:
    """Write to the file, by `write`, what comes; _Short when that is not all."""
    ended = 0
    with stream() as chunks:
        for chunk in chunks:
            write(chunk)
            ended += chunk.count(_NEW_LINE)
    last = _last_line(file)
    lines = ended + (not last.endswith(_NEW_LINE) and bool(last.strip()))
    if lines < least or _is_cut(last):
        raise _Short


def _write(file: IO[bytes], chunk: bytes) -> None:
    """All of it: an unbuffered write may take only a part, and only the next one says that the disk is full."""
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


class _Arriving:
    """A file that one thread fills while another reads it.

    Neither waits for the other's end: whichever collects garbage may be the one that closes what the other uses. So
    each has a descriptor of its own.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._filled = os.fdopen(os.dup(file.fileno()), "w+b", buffering=0)
        self._more = Condition()
        self._size = self._read = 0
        self._ended = self._is_left = False
        self._error: BaseException | None = None

    def fill(self, stream: Stream, least: int) -> None:
        """In a thread of its own, until all of it is there or nobody reads any more."""
        try:
            with self._filled:
                _attempt(stream, self._filled, self._take, least)
        except BaseException as error:  # noqa: BLE001  it is raised again by whoever reads
            self._error = error
        with self._more:
            self._ended = True
            self._more.notify()

    def _take(self, chunk: bytes) -> None:
        _write(self._filled, chunk)
        with self._more:
            if self._is_left:
                raise _Left
            self._size += len(chunk)
            self._more.notify()

    def leave(self) -> None:
        """Have the thread end with the next piece."""
        with self._more:
            self._is_left = True

    def readinto(self, room: memoryview) -> int:
        """Fill all of the room, waiting for it; less only at the end. Raises what `fill` came to."""
        with self._more:
            self._more.wait_for(lambda: self._ended or self._size - self._read >= len(room))
            if self._error is not None:
                raise self._error
            size = min(len(room), self._size - self._read)
        count = os.preadv(self._file.fileno(), [room[:size]], self._read)
        self._read += count
        return count


@contextmanager
def _arriving(stream: Stream, file: IO[bytes], least: int) -> Iterator[Any]:
    """The file to read while it is downloaded."""
    coming = _Arriving(file)
    beside("offpeak-download", coming.fill, stream, least)
    try:
        yield coming
    finally:
        coming.leave()


def _is_cut(last: bytes) -> bool:
    """Whether the last line is neither ended by LF nor JSON: the sender stopped in the middle of it."""
    if not last.strip() or last.endswith(_NEW_LINE):
        return False
    try:
        orjson.loads(last)
    except ValueError:
        return True
    return False


def _last_line(file: IO[bytes]) -> bytes:
    size = file.seek(0, 2)
    tail, start = b"", size
    while start > 0 and _NEW_LINE not in tail[:-1]:
        step = min(64 * 1024, start)
        start -= step
        file.seek(start)
        tail = file.read(step) + tail
    end = len(tail) - 1 if tail.endswith(_NEW_LINE) else len(tail)
    return tail[tail.rfind(_NEW_LINE, 0, end) + 1 :]


def first_line(chunks: Iterator[bytes]) -> bytes | None:
    """The first line that is not blank, reading no further; None when there is none."""
    held = b""
    for chunk in chunks:
        held += chunk
        while _NEW_LINE in held:
            line, held = held.split(_NEW_LINE, 1)
            if line.strip():
                return line
    return held if held.strip() else None
