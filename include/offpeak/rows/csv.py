"""Rows from CSV and TSV files, each cell read as the text that it is: "007" stays, an empty cell is "".

Nothing is guessed but the encoding (see encoding.py). Records are read by Python's csv module in strict mode:
Arrow's reader is faster (7 million rows a second against 250 thousand, 140 MB of four columns), but it stops
at a record longer than its block and numbers records, not physical lines. An
empty cell is the empty string, quoted or not, because this reader cannot tell them apart (and a prompt
should not say "None").
"""

from __future__ import annotations

import csv as std_csv
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, ClassVar, NamedTuple

from offpeak.arrays import texts
from offpeak.errors import InputError, SpecError
from offpeak.rows.columns import BATCH_BYTES, MAX_CELL_BYTES, Frame, excerpt, frame_of, wanted_columns
from offpeak.rows.encoding import find_encoding
from offpeak.rows.files import (
    NOTHING_SENT,
    SourceFile,
    checked_addresses,
    find_files,
    without_login,
)
from offpeak.rows.lines import checked_encoding, marked_text, text_bytes
from offpeak.rows.source import Opening, RowBatch, RowProblem, RowSource

if TYPE_CHECKING:
    import pyarrow as pa


class Record(NamedTuple):
    number: int
    """The physical line on which the record begins."""
    cells: list[str]
    text: str
    """Its first line, for an excerpt."""
    size: int
    reason: str = ""
    """Why it cannot be read; empty when it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvRows:
    """Rows of one or more CSV files."""

    has_shares: ClassVar[bool] = True
    unit: ClassVar[str] = "line"
    """What the numbers of its rows count, in messages."""
    addresses: tuple[str, ...]
    key: str
    encoding: str | None = None
    delimiter: str = ","
    max_cell_bytes: int = MAX_CELL_BYTES

    def describe(self) -> str:
        return f"csv {', '.join(without_login(address) for address in self.addresses)}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        import pyarrow as pa

        files = find_files(self.addresses, opening.store, opening.interval.key)
        where = files[0].address if len(files) == 1 else f"{self.describe()} ({len(files)} files)"
        encodings = {file.address: self._encoding(file) for file in files}
        headers = {file.address: self._header(file, encodings[file.address]) for file in files}
        present = list(dict.fromkeys(name for header in headers.values() for name in header if name))
        if not present:
            return  # every file is empty: no rows, and no header that could lack a column
        wanted = wanted_columns(opening, self.key, present, where)
        frame = frame_of(dict.fromkeys(wanted, pa.string()), self.key, where, self.max_cell_bytes)
        for file in opening.share.pick(files, SourceFile.measured):
            header = headers[file.address]
            with self._records(file, encodings[file.address]) as records:
                next(records, None)  # the header
                yield from _file_batches(file, records, header, frame, opening.batch_rows)

    def _encoding(self, file: SourceFile) -> str:
        if self.encoding is not None:
            return self.encoding
        with file.local() as path, text_bytes(file, path) as handle:
            return find_encoding(handle, file)

    def _header(self, file: SourceFile, encoding: str) -> list[str]:
        with self._records(file, encoding) as records:
            return _checked_header(next(records, None), file, self.delimiter)

    @contextmanager
    def _records(self, file: SourceFile, encoding: str) -> Iterator[Iterator[Record]]:
        with (
            file.local() as path,
            text_bytes(file, path) as handle,
            marked_text(handle, encoding, newline="") as text,
        ):
            yield read_records(text, self.delimiter, self.max_cell_bytes)


def csv(
    address: str | Sequence[str],
    *,
    key: str,
    encoding: str | None = None,
    delimiter: str = ",",
    max_cell_bytes: int = MAX_CELL_BYTES,
) -> RowSource:
    """Rows of the CSV files at `address`: a path or URL, `{store}` and globs allowed, or several.

    The first line names the columns. All cells are text. Without `encoding` it is UTF-8, or what a byte
    order mark says, or (with a warning in the log) Windows-1252. Gzipped files are read as they are.
    SpecError when the address or the key is empty, the encoding unknown or the delimiter unusable.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise SpecError(
            f"csv() got the delimiter {delimiter!r}. Give one character, e.g. ',' or ';' or '\\t'."
        )
    return CsvRows(
        addresses=checked_addresses("csv", address, key),
        key=key,
        encoding=None if encoding is None else checked_encoding(encoding),
        delimiter=delimiter,
        max_cell_bytes=max_cell_bytes,
    )


class _Feeder:
    """Gives the csv reader its lines, remembers those of the record at hand, and can take them back."""

    def __init__(self, text: IO[str], limit: int) -> None:
        self._text = text
        self._limit = limit
        self._again: deque[str] = deque()
        self.number = 0
        self.lines: list[str] = []
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(self._limit)
        if not line:
            raise StopIteration
        self.number += 1
        self.lines.append(line)
        self.size += len(line)
        if self.size >= self._limit:
            if not self._again:
                self._skip_rest(line)
            raise std_csv.Error(f"the record is longer than {self._limit} characters; is a quote left open?")
        return line

    def begin(self) -> None:
        self.lines, self.size = [], 0

    def take_back(self) -> None:
        """Keep the first line of the record as read, and offer the others once more."""
        self._again.extendleft(reversed(self.lines[1:]))
        self.number -= len(self.lines) - 1
        del self.lines[1:]

    def _skip_rest(self, line: str) -> None:
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(self._limit)


def read_records(text: IO[str], delimiter: str, max_cell_bytes: int) -> Iterator[Record]:
    """Every record that is not blank. After one that cannot be read, reading goes on at its second line.

    The limit holds for the record as a whole: it is how far an open quote may reach.
    """
    # the module's own limit is for the whole process: raised, never lowered
    std_csv.field_size_limit(max(std_csv.field_size_limit(), max_cell_bytes))
    feeder = _Feeder(text, max_cell_bytes)
    reader = std_csv.reader(feeder, delimiter=delimiter, strict=True)
    while True:
        feeder.begin()
        number = feeder.number + 1
        try:
            cells = next(reader, None)
            reason = ""
        except std_csv.Error as error:
            cells, reason = [], f"the record is not valid CSV: {error}"
            feeder.take_back()
        if cells is None:
            return
        if cells or reason:
            yield Record(number, cells, feeder.lines[0][:500] if feeder.lines else "", feeder.size, reason)


def _checked_header(record: Record | None, file: SourceFile, delimiter: str) -> list[str]:
    if record is None:
        return []
    if record.reason:
        raise InputError(
            f"{file.address}, line {record.number}: {record.reason}. {NOTHING_SENT} Repair the header."
        )
    # where the encoding's name states a byte order, the mark is still there
    names = [record.cells[0].removeprefix("\ufeff"), *record.cells[1:]]
    if any(_undecodable(name) for name in names):
        raise InputError(
            f"{file.address}: the header is not in the encoding in which it is read. {NOTHING_SENT} "
            "Name the right one with encoding=, or convert the file to UTF-8."
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InputError(
            f"{file.address} has more than one column {', '.join(map(repr, twice))}. {NOTHING_SENT} "
            f"Rename them in the header (its delimiter is read as {delimiter!r})."
        )
    return names


def _file_batches(
    file: SourceFile, records: Iterator[Record], header: Sequence[str], frame: Frame, batch_rows: int
) -> Iterator[RowBatch]:
    good: list[Record] = []
    problems: list[RowProblem] = []
    size = 0
    for record in records:
        reason = record.reason
        if not reason and len(record.cells) != len(header):
            reason = (
                f"the record has {len(record.cells)} cells, the header {len(header)}; "
                "is a delimiter or a quote missing or too many?"
            )
        if reason:
            problems.append(_problem(file, record, reason))
        else:
            good.append(record)
        size += record.size
        if len(good) + len(problems) >= batch_rows or size >= BATCH_BYTES:
            yield _batch(file, good, problems, header, frame)
            good, problems, size = [], [], 0
    if good or problems:
        yield _batch(file, good, problems, header, frame)


def _problem(file: SourceFile, record: Record, reason: str) -> RowProblem:
    return RowProblem(origin=file.address, number=record.number, reason=reason, excerpt=excerpt(record.text))


def _batch(
    file: SourceFile, good: list[Record], problems: list[RowProblem], header: Sequence[str], frame: Frame
) -> RowBatch:
    import pyarrow as pa

    at = [header.index(name) if name in header else -1 for name in frame.schema.names]
    rows = good
    try:
        columns = _columns(rows, at)
    except UnicodeEncodeError:
        reason = "the record has bytes that are not in the file's encoding; convert it, or name encoding="
        spoilt = [any(_undecodable(record.cells[index]) for index in at if index >= 0) for record in good]
        rows = [record for record, bad in zip(good, spoilt, strict=True) if not bad]
        problems += [_problem(file, record, reason) for record, bad in zip(good, spoilt, strict=True) if bad]
        columns = _columns(rows, at)
    return frame.batch(
        [pa.nulls(len(rows), pa.string()) if column is None else column for column in columns],
        origin=file.address,
        numbers=[record.number for record in rows],
        show=lambda index: excerpt(rows[index].text),
        problems=problems,
    )


def _columns(rows: list[Record], at: Sequence[int]) -> list[pa.Array | None]:

    return [None if index < 0 else texts([record.cells[index] for record in rows]) for index in at]


def _undecodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
