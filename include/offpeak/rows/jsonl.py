"""Rows from files of JSON lines: one object a line, split on the line feed only.

Each file is read twice: once for the types of its columns, which one late value can change, and once for the
rows. Two reads cost less than a wrong guess: all batches have one schema, and no row is lost to an
early sample. Memory holds one batch, however long the file or a line of it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import orjson

from offpeak.rows.columns import BATCH_BYTES, MAX_CELL_BYTES, Frame, excerpt, frame_of, wanted_columns
from offpeak.rows.files import SourceFile, checked_addresses, find_files, without_login
from offpeak.rows.lines import Line, byte_lines, checked_encoding, recoded_lines, text_bytes
from offpeak.rows.shapes import SCALARS, Shape
from offpeak.rows.source import Opening, RowBatch, RowProblem, RowSource

if TYPE_CHECKING:
    import pyarrow as pa

CELLS_PER_LINE = 4
"""A line may be this many times as long as a cell."""
MOST_LEVELS = 64

_TOO_DEEP = (
    f"the object is nested deeper than {MOST_LEVELS} levels; flatten it, or hold its inner part as text"
)
_JSON_NAMES: dict[type, str] = {
    list: "an array",
    dict: "an object",
    str: "a string",
    bool: "true or false",
    type(None): "null",
}

# orjson reads integers beyond 64 bits as floats: a line with so many digits is looked at once more
# (every digit made 0 and one search: four times as fast as a pattern, and it is the reader's dearest step)
_DIGITS_AS_0 = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_KEY_KINDS = frozenset({str, int, type(None)})


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonlRows:
    """Rows of one or more files of JSON lines."""

    has_shares: ClassVar[bool] = True
    unit: ClassVar[str] = "line"
    """What the numbers of its rows count, in messages."""
    addresses: tuple[str, ...]
    key: str
    encoding: str = "utf-8"
    max_cell_bytes: int = MAX_CELL_BYTES

    def describe(self) -> str:
        return f"jsonl {', '.join(without_login(address) for address in self.addresses)}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        files = find_files(self.addresses, opening.store, opening.interval.key)
        where = files[0].address if len(files) == 1 else f"{self.describe()} ({len(files)} files)"
        shapes: dict[str, Shape] = {}
        wanted = None if opening.columns is None else dict.fromkeys((*opening.columns, self.key))
        for file in files:
            self._see(file, shapes, wanted)
        if not shapes:
            # no object in any file: nothing to name columns by, and every line that is there is a problem
            shapes = {name: Shape() for name in wanted or (self.key,)}
        seen = [name for name, shape in shapes.items() if shape.kinds]
        names = wanted_columns(opening, self.key, seen or shapes, where)
        shapes = {name: shapes[name] for name in names}
        types = {name: shape.arrow() for name, shape in shapes.items()}
        frame = frame_of(types, self.key, where, self.max_cell_bytes)
        for file in opening.share.pick(files, SourceFile.measured):
            yield from self._file_batches(file, frame, shapes, opening.batch_rows)

    def _lines(self, file: SourceFile) -> Iterator[Line]:
        limit = self.max_cell_bytes * CELLS_PER_LINE
        with file.local() as path, text_bytes(file, path) as handle:
            if self.encoding == "utf-8":
                yield from byte_lines(handle, limit)
            else:
                yield from recoded_lines(handle, self.encoding, limit)

    def _see(self, file: SourceFile, shapes: dict[str, Shape], wanted: dict[str, None] | None) -> None:
        """Add what the file's columns hold to `shapes`; of columns not wanted, only that they are there."""
        for line in self._lines(file):
            record = read_record(line, self.key)
            if not isinstance(record, dict):
                continue
            for name, value in record.items():
                shape = shapes.get(name) or shapes.setdefault(name, Shape())
                kind = type(value)
                if kind in SCALARS or (wanted is not None and name not in wanted):
                    shape.kinds.add(kind)
                else:
                    shape.see(value)

    def _file_batches(
        self, file: SourceFile, frame: Frame, shapes: dict[str, Shape], batch_rows: int
    ) -> Iterator[RowBatch]:
        good: list[tuple[Line, dict[str, object]]] = []
        problems: list[RowProblem] = []
        size = 0
        for line in self._lines(file):
            record = read_record(line, self.key)
            if record is None:
                continue
            if isinstance(record, dict):
                good.append((line, record))
            else:
                problems.append(_problem(file, line, record))
            size += len(line.content)
            if len(good) + len(problems) >= batch_rows or size >= BATCH_BYTES:
                yield _batch(file, frame, shapes, good, problems)
                good, problems, size = [], [], 0
        if good or problems:
            yield _batch(file, frame, shapes, good, problems)


def jsonl(
    address: str | Sequence[str], *, key: str, encoding: str = "utf-8", max_cell_bytes: int = MAX_CELL_BYTES
) -> RowSource:
    """Rows of the files of JSON lines at `address`: a path or URL, `{store}` and globs allowed, or several.

    A column that a line lacks is null there. Gzipped files are read as they are.
    SpecError when the address or the key is empty or the encoding is unknown.
    """
    return JsonlRows(
        addresses=checked_addresses("jsonl", address, key),
        key=key,
        encoding=checked_encoding(encoding),
        max_cell_bytes=max_cell_bytes,
    )


def read_record(line: Line, key: str) -> dict[str, object] | str | None:
    """The line's object; the reason why it cannot be read; None for a blank line."""
    content = line.content
    if not line.whole:
        return "the line is too long to be one record; is a line feed missing between two records?"
    try:
        record: object = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return _syntax_reason(content, error) if content.strip(b" \t\r") else None
    if not isinstance(record, dict):
        what = _JSON_NAMES.get(type(record), "a number")
        return f'the line is {what}, not an object; write {{"{key}": ...}} on each line'
    if _LONG_NUMBER in content.translate(_DIGITS_AS_0) and (reason := _number_reason(content)):
        return reason
    if content.count(b"[") + content.count(b"{") > MOST_LEVELS and _levels(record) > MOST_LEVELS:
        return _TOO_DEEP
    if (kind := type(record.get(key))) not in _KEY_KINDS:
        what = _JSON_NAMES.get(kind, "a number with a fraction")
        return f"the key {key!r} is {what}, which cannot name a row; write it as a string or an integer"
    return record


def _batch(
    file: SourceFile,
    frame: Frame,
    shapes: dict[str, Shape],
    good: Sequence[tuple[Line, dict[str, object]]],
    problems: Sequence[RowProblem],
) -> RowBatch:
    import pyarrow as pa

    try:
        columns = [_array([record.get(name) for _, record in good], shape) for name, shape in shapes.items()]
    except pa.ArrowInvalid:
        # rare: an integer that is exact as such, but not in a column that has to be of doubles
        faults = {index: name for name, shape in shapes.items() for index in _unheld(good, name, shape)}
        problems = [
            *problems,
            *(_problem(file, good[index][0], _unheld_reason(name)) for index, name in faults.items()),
        ]
        good = [one for index, one in enumerate(good) if index not in faults]
        columns = [_array([record.get(name) for _, record in good], shape) for name, shape in shapes.items()]
    return frame.batch(
        columns,
        origin=file.address,
        numbers=[line.number for line, _ in good],
        show=lambda index: excerpt(good[index][0].content),
        problems=problems,
    )


def _array(values: Sequence[object], shape: Shape) -> pa.Array:
    import pyarrow as pa

    return pa.array(values if shape.as_it_is else map(shape.fit, values), shape.arrow())


def _unheld(good: Sequence[tuple[Line, dict[str, object]]], name: str, shape: Shape) -> Iterator[int]:
    """The positions of the records whose value Arrow does not take."""
    import pyarrow as pa

    for index, (_, record) in enumerate(good):
        try:
            _array([record.get(name)], shape)
        except pa.ArrowInvalid:
            yield index


def _unheld_reason(name: str) -> str:
    return (
        f"the cell {name!r} is an integer that no double holds, in a column of doubles; write it as a string"
    )


def _problem(file: SourceFile, line: Line, reason: str) -> RowProblem:
    return RowProblem(origin=file.address, number=line.number, reason=reason, excerpt=excerpt(line.content))


def _syntax_reason(content: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        content.decode()
    except UnicodeDecodeError as undecodable:
        return (
            f"the line is not valid UTF-8 (byte {undecodable.start + 1}); is encoding= right for this file?"
        )
    return f"the line is not valid JSON: {error.msg} at column {error.colno}"


def _number_reason(content: bytes) -> str | None:
    """Why an integer in the line cannot be held exactly; None when all can."""
    found: list[str] = []

    def integer(text: str) -> int:
        if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
            found.append(f"the integer {text[:40]} is beyond 64 bits; write it as a string")
        return 0

    try:
        json.loads(content, parse_int=integer)
    except RecursionError:
        return _TOO_DEEP
    return found[0] if found else None


def _levels(record: object) -> int:
    """How deep lists and objects are nested, counted without recursion."""
    level, layer = 0, [record]
    while layer:
        level += 1
        layer = [
            inner
            for value in layer
            for inner in (
                value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            )
            if isinstance(inner, dict | list)
        ]
    return level
