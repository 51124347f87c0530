"""The work of one batch: answers written to disk in processing order, then put into result files."""

from __future__ import annotations

import contextlib
import random
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from offpeak.emulator.journal import Tally
from offpeak.emulator.life import Stage
from offpeak.emulator.quirks import Quirks


class LineAnswer(NamedTuple):
    """One result line as the wire words it, without its line feed."""

    raw: bytes
    ok: bool
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class LineWire(Protocol):
    """How one provider words the lines of a result file."""

    split: bool  # failures go to a file of their own

    def answer(self, raw: bytes) -> LineAnswer: ...

    def unfinished(self, raw: bytes, ending: Stage) -> bytes | None:
        """The line of a request that was never run; None if the provider writes none."""

    def foreign(self, raw: bytes, number: int) -> bytes:
        """A copy of a result line under a custom_id that nobody sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFiles:
    """What a batch leaves behind; a file without lines is None."""

    output: Path | None
    errors: Path | None
    unfinished: int


class Work:
    """Answers lines in processing order. Only offsets and counts are held in memory."""

    def __init__(self, *, folder: Path, source: Path, offsets: array[int], order: list[int]) -> None:
        self._source, self._offsets, self._order = source, offsets, order
        self._folder = folder
        self._ends = array("Q")  # where each answer ends in the answers file
        self._ok = bytearray()
        self._tokens = [array("L") for _ in range(4)]
        self.done = 0  # lines answered so far

    def run(self, wire: LineWire, *, until: Callable[[], int], stop: threading.Event) -> None:
        """Answers lines until the count `until` gives, which may shrink while it runs."""
        end = 0
        with self._source.open("rb") as source, self._answers.open("wb") as answers:
            while self.done < until() and not stop.is_set():
                found = wire.answer(self._line(source, self.done))
                end += answers.write(found.raw + b"\n")
                self._ends.append(end)
                self._ok.append(found.ok)
                for column, tokens in zip(self._tokens, found[2:], strict=True):
                    column.append(tokens)
                self.done += 1

    def succeeded(self, finished: int) -> int:
        return sum(self._ok[:finished])

    def tally(self, finished: int) -> Tally:
        """What the first `finished` lines cost. Failed lines cost nothing."""
        usage = [sum(column[:finished]) for column in self._tokens]
        return Tally(
            requests=self.succeeded(finished),
            input_tokens=usage[0],
            cached_tokens=usage[1],
            output_tokens=usage[2],
        )

    def reasoning_tokens(self, finished: int) -> int:
        return sum(self._tokens[3][:finished])

    def assemble(self, wire: LineWire, *, finished: int, ending: Stage, quirks: Quirks) -> ResultFiles:
        """Writes the result files: the first `finished` answers, then what was never run."""
        output = self._folder / "output.jsonl"
        errors = self._folder / "errors.jsonl" if wire.split else output
        unfinished = 0
        with contextlib.ExitStack() as opened:
            good = opened.enter_context(output.open("wb"))
            bad = opened.enter_context(errors.open("wb")) if wire.split else good
            answers = opened.enter_context(self._answers.open("rb"))
            self._write_finished(answers, wire, (bad, good), finished, quirks)
            source = opened.enter_context(self._source.open("rb"))
            for rank in range(finished, len(self._order)):
                line = wire.unfinished(self._line(source, rank), ending)
                if line is not None:
                    bad.write(line + b"\n")
                    unfinished += 1
        self._answers.unlink()
        return ResultFiles(output=_kept(output), errors=_kept(errors), unfinished=unfinished)

    @property
    def _answers(self) -> Path:
        return self._folder / "answers.jsonl"

    def _write_finished(
        self,
        answers: BinaryIO,
        wire: LineWire,
        sinks: tuple[BinaryIO, BinaryIO],
        finished: int,
        quirks: Quirks,
    ) -> None:
        for rank in range(finished):
            start = self._ends[rank - 1] if rank else 0
            line = answers.read(self._ends[rank] - start)
            sink = sinks[self._ok[rank]]
            if rank >= quirks.missing_lines:
                sink.write(line)
            if finished - rank <= quirks.duplicated_lines:
                sink.write(line)
            if rank < quirks.foreign_lines:
                sink.write(wire.foreign(line, rank + 1) + b"\n")

    def _line(self, source: BinaryIO, rank: int) -> bytes:
        source.seek(self._offsets[self._order[rank]])
        return source.readline()


def processing_order(requests: int, *, seed: int, number: int, shuffle: bool) -> list[int]:
    """The order in which a batch's lines are answered: stable for the seed and the batch's number."""
    order = list(range(requests))
    if shuffle:
        random.Random(f"{seed}/{number}").shuffle(order)  # noqa: S311 - an order, not a secret
        if requests > 1 and order == sorted(order):
            order.reverse()  # the order of the input would hide a client that relies on it
    return order


def _kept(path: Path) -> Path | None:
    if path.exists() and path.stat().st_size:
        return path
    path.unlink(missing_ok=True)
    return None
