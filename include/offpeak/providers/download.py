"""Downloads of result files: whole before the first line is given, so that no line is given twice."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO

import orjson

from offpeak.blocks import Block, blocks_of
from offpeak.errors import ProviderBusy

ATTEMPTS = 3
"""For a connection that keeps breaking."""
SHORT_ATTEMPTS = 8
"""For a file that ends too soon: taking it as it is means asking, and paying, again for what it lacks."""
_LONGEST_WAIT = 2.0
_WRITE_BYTES = 1024 * 1024
_NEW_LINE = b"\n"

Stream = Callable[[], AbstractContextManager[Iterator[bytes]]]


def downloaded(stream: Stream, *, least: int, wait: Callable[[float], None]) -> Iterator[Block]:
    """Every line of what `stream` opens, split on LF only, blank ones left out; the file is kept on disk.

    A download that breaks off, ends within a line, or holds fewer than the `least` lines that the provider
    counted, is begun anew: a line lost here would be paid for again. When it keeps breaking, ProviderBusy; when
    it keeps being short, the file itself is so and is given as it is, a cut last line included, for the reader
    to call it unreadable.
    """
    with tempfile.TemporaryFile(prefix="offpeak-results-", buffering=_WRITE_BYTES) as file:
        _fetch(stream, file, least, wait)
        file.seek(0)
        yield from blocks_of(file)


def _fetch(stream: Stream, file: IO[bytes], least: int, wait: Callable[[float], None]) -> None:
    broken = short = 0
    while True:
        file.seek(0)
        file.truncate()
        ended = 0
        try:
            with stream() as chunks:
                for chunk in chunks:
                    file.write(chunk)
                    ended += chunk.count(_NEW_LINE)
        except ProviderBusy as error:
            broken += 1
            # the provider's own no (a limit, a 404) is the caller's to wait out; a broken line is ours
            if error.code != "no_answer" or broken == ATTEMPTS:
                raise
        else:
            last = _last_line(file)
            lines = ended + (not last.endswith(_NEW_LINE) and bool(last.strip()))
            short += 1
            if short == SHORT_ATTEMPTS or (lines >= least and not _is_cut(last)):
                return
        wait(random.uniform(0.5, 1.5) * min(broken + short, _LONGEST_WAIT))  # noqa: S311 - guards nothing


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
