"""Downloads: every line once, whatever breaks in between, and the first ones before the last have arrived."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.blocks import BLOCK_BYTES, Block, lines_in
from offpeak.errors import ProviderBusy
from offpeak.overlap import ahead
from offpeak.providers import download
from offpeak.providers.download import ATTEMPTS, SHORT_ATTEMPTS, Stream, downloaded

LINE = b"x" * 1_000 + b"\n"
BLOCK_LINES = BLOCK_BYTES // len(LINE)
LINES = st.lists(st.sampled_from([b"{}", b'{"a": 1}', b"x" * 9, b"no json"]), max_size=12)


def streaming(pieces: Callable[[], Iterator[bytes]]) -> Stream:
    """A stream of these pieces, which are closed at its end."""

    @contextmanager
    def stream() -> Iterator[Iterator[bytes]]:
        made = pieces()
        try:
            yield made
        finally:
            getattr(made, "close", int)()

    return stream


class Server:
    """Gives the same lines at every try, each time in another order and in pieces of so many bytes.

    `breaks` says after how many bytes the first tries break off, `cuts` after how many the next ones just end."""

    def __init__(self, orders: list[list[bytes]], piece: int, breaks: list[int], cuts: list[int]) -> None:
        self.orders = orders
        self.piece = piece
        self.breaks = breaks
        self.cuts = cuts
        self.tries = 0

    @property
    def stream(self) -> Stream:
        return streaming(self._pieces)

    def _pieces(self) -> Iterator[bytes]:
        number, self.tries = self.tries, self.tries + 1
        content = b"\n".join(self.orders[number % len(self.orders)]) + b"\n"
        ends = [*self.breaks, *self.cuts]
        end = min(ends[number], len(content)) if number < len(ends) else len(content)
        for start in range(0, end, self.piece):
            yield content[start : min(start + self.piece, end)]
        if number < len(self.breaks):
            raise ProviderBusy("broken off", code="no_answer")


@pytest.fixture(params=[4, BLOCK_BYTES], ids=["small blocks", "large blocks"])
def _block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offpeak.blocks.BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("_block_bytes")
@settings(max_examples=150, deadline=None)
@given(data=st.data(), lines=LINES, piece=st.integers(1, 40))
def test_every_line_is_given_once_whatever_breaks_and_in_whatever_order_it_comes_again(
    data: st.DataObject, lines: list[bytes], piece: int
) -> None:
    orders = [data.draw(st.permutations(lines)) for _ in range(4)]
    whole = sum(map(len, lines)) + max(1, len(lines))
    breaks = data.draw(st.lists(st.integers(0, whole), max_size=ATTEMPTS - 1))
    cuts = data.draw(st.lists(st.integers(0, whole), max_size=SHORT_ATTEMPTS - 1))
    server, waits = Server(orders, piece, breaks, cuts), list[float]()
    found = list(lines_in(downloaded(server.stream, least=len(lines), wait=waits.append)))
    assert Counter(found) == Counter(lines)
    assert len(waits) == server.tries - 1
    if not breaks and not cuts:
        assert found == orders[0]


def test_lines_are_given_while_the_rest_is_on_its_way() -> None:
    seen = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield from repeat(LINE, 2 * BLOCK_LINES)
        assert seen.wait(30), "nothing was given before all had arrived"
        yield LINE

    found = 0
    for block in downloaded(streaming(pieces), least=0, wait=pytest.fail):
        seen.set()
        found += len(block)
    assert found == 2 * BLOCK_LINES + 1


@pytest.mark.parametrize(("error", "tries"), [("no_answer", ATTEMPTS), ("rate_limit", 1)])
def test_a_line_that_keeps_breaking_is_busy_and_a_no_of_the_provider_at_once(error: str, tries: int) -> None:
    begun = []

    def pieces() -> Iterator[bytes]:
        begun.append(1)
        yield b"a\n"
        raise ProviderBusy("gone", code=error)

    with pytest.raises(ProviderBusy, match="gone"):
        list(downloaded(streaming(pieces), least=2, wait=lambda seconds: None))
    assert len(begun) == tries


def test_a_file_that_stays_short_is_given_as_it_is_with_its_cut_line_and_no_line_twice() -> None:
    server = Server([[b'{"a": 1}', b'{"a": 2}', b'{"a": 3}']], 4, [], [22] * SHORT_ATTEMPTS)
    found = list(lines_in(downloaded(server.stream, least=3, wait=lambda seconds: None)))
    assert found == [b'{"a": 1}', b'{"a": 2}', b'{"a"']
    assert server.tries == SHORT_ATTEMPTS


def test_whoever_reads_no_further_ends_the_download() -> None:
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            yield from repeat(LINE)
        finally:
            closed.set()

    blocks = downloaded(streaming(endless), least=0, wait=pytest.fail)
    next(blocks)
    blocks.close()
    assert closed.wait(30)


def test_leaving_waits_for_no_line_that_is_stalled() -> None:
    is_left, waited = threading.Event(), list[bool]()

    def stalled() -> Iterator[bytes]:
        yield from repeat(LINE, 2 * BLOCK_LINES)
        waited.append(is_left.wait(5))

    blocks = downloaded(streaming(stalled), least=0, wait=pytest.fail)
    next(blocks)
    blocks.close()
    assert False not in waited, "closing waited for the line"
    is_left.set()


def test_a_download_that_is_left_as_garbage_is_ended_by_its_own_thread_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unraised = list[object]()
    monkeypatch.setattr("sys.unraisablehook", unraised.append)
    assert _left_to_the_download(lambda blocks: blocks, lines=3 * BLOCK_LINES).wait(30)
    assert not unraised


def test_garbage_that_is_collected_by_the_download_waits_for_nobody() -> None:
    """A chain that reads ahead of the download is left, and the download's own thread is the one that notices, while
    the second block is waited for."""
    assert _left_to_the_download(ahead, lines=3 * BLOCK_LINES // 2).wait(10)


def _left_to_the_download(
    read: Callable[[Iterator[Block]], Iterator[Block]], *, lines: int
) -> threading.Event:
    """Read a block, and have the download drop the last reference to what reads it after so many lines; set when the
    stream is closed."""
    is_read, closed = threading.Event(), threading.Event()
    held: list[Iterator[Block]] = []

    def endless() -> Iterator[bytes]:
        try:
            yield from repeat(LINE, lines)
            assert is_read.wait(30)
            held.clear()  # the generator is closed here
            yield from repeat(LINE)
        finally:
            closed.set()

    held.append(read(downloaded(streaming(endless), least=0, wait=pytest.fail)))
    next(held[0])
    is_read.set()
    return closed


class Full(io.RawIOBase):
    """A disk that takes a few bytes at a time, and then none."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = b""

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError("no space left")
        count = min(3, len(data), self.room)
        self.taken += bytes(data[:count])
        self.room -= count
        return count


def test_a_disk_that_takes_a_part_is_asked_again_and_one_that_is_full_is_an_error() -> None:
    disk = Full(10)
    download._write(disk, b"1234567")
    assert disk.taken == b"1234567"
    with pytest.raises(OSError, match="no space left"):
        download._write(disk, b"1234567")


def test_an_error_of_ours_in_the_download_reaches_the_reader() -> None:
    def pieces() -> Iterator[bytes]:
        raise OSError("no space left")
        yield b""

    with pytest.raises(OSError, match="no space left"):
        list(downloaded(streaming(pieces), least=0, wait=pytest.fail))
