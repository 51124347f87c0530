"""Rows from Parquet files.

Only the wanted columns are read, in batches, page by page, so a file of one huge row group takes no more
memory than one of many; page checksums are verified where the file has them. Files may order their columns
differently, lack some (null there), and differ in width (int32 and int64); other differences in type are
refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from offpeak.errors import InputError
from offpeak.rows.cells import plain_type
from offpeak.rows.columns import BATCH_BYTES, MAX_CELL_BYTES, Frame, frame_of, wanted_columns
from offpeak.rows.files import (
    NOTHING_SENT,
    SourceFile,
    checked_addresses,
    find_files,
    unreadable,
    without_login,
)
from offpeak.rows.source import Measured, Opening, RowBatch, RowSource, Share

if TYPE_CHECKING:
    import pyarrow as pa

_READ_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetRows:
    """Rows of one or more Parquet files."""

    has_shares: ClassVar[bool] = True
    addresses: tuple[str, ...]
    key: str
    max_cell_bytes: int = MAX_CELL_BYTES

    def describe(self) -> str:
        return f"parquet {', '.join(without_login(address) for address in self.addresses)}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        files = find_files(self.addresses, opening.store, opening.interval.key)
        where = files[0].address if len(files) == 1 else f"{self.describe()} ({len(files)} files)"
        types = _types(files)
        wanted = wanted_columns(opening, self.key, types, where)
        frame = frame_of({name: types[name] for name in wanted}, self.key, where, self.max_cell_bytes)
        for piece in _pieces(files, opening.share):
            yield from _piece_batches(piece, frame, opening.batch_rows)


def parquet(address: str | Sequence[str], *, key: str, max_cell_bytes: int = MAX_CELL_BYTES) -> RowSource:
    """Rows of the Parquet files at `address`: a path or URL, `{store}` and globs allowed, or several.

    SpecError when the address or the key is empty.
    """
    addresses = checked_addresses("parquet", address, key)
    return ParquetRows(addresses=addresses, key=key, max_cell_bytes=max_cell_bytes)


@contextmanager
def _opened(file: SourceFile) -> Iterator[Any]:
    """The file's reader; every way in which Arrow refuses it, also later in the block, is an InputError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with file.open() as handle:
        if not handle.read(1):
            raise InputError(
                f"{file.address} is empty (0 bytes), so it is not Parquet; its writer may have failed. "
                f"{NOTHING_SENT} Write it again, or leave it out of the address."
            )
        handle.seek(0)
        try:
            yield pq.ParquetFile(
                handle,
                buffer_size=_READ_BUFFER_BYTES,
                pre_buffer=False,  # it would read a column of the whole row group at once
                page_checksum_verification=True,
                coerce_int96_timestamp_unit="us",
            )
        except (pa.ArrowException, OSError) as error:
            raise unreadable(file.address, error) from error


def _types(files: Sequence[SourceFile]) -> dict[str, pa.DataType]:
    """Each column's type over all files, from their footers; InputError when two files disagree."""
    merged: dict[str, pa.Field] = {}
    named_by: dict[str, str] = {}
    for file in files:
        with _opened(file) as reader:
            schema = reader.schema_arrow
        if len(set(schema.names)) < len(schema.names):
            twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
            raise InputError(
                f"{file.address} has columns of the same name: {', '.join(twice)}. {NOTHING_SENT}"
            )
        for field in schema:
            known = merged.setdefault(field.name, field)
            other = named_by.setdefault(field.name, file.address)
            merged[field.name] = _wider(known, field, (other, file.address))
    return {name: field.type for name, field in merged.items()}


def _wider(known: pa.Field, field: pa.Field, addresses: tuple[str, str]) -> pa.Field:
    import pyarrow as pa

    if known.type == field.type:
        return known
    plain = [pa.schema([pa.field(known.name, plain_type(one.type))]) for one in (known, field)]
    try:
        return pa.unify_schemas(plain, promote_options="permissive").field(0)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise InputError(
            f"The column {known.name!r} is {known.type} in {addresses[0]} but {field.type} "
            f"in {addresses[1]}, and no type holds both. {NOTHING_SENT} "
            "Write them with one type, or make two workloads."
        ) from None


class _Piece(NamedTuple):
    """Neighbouring row groups of a file; all of them if not given."""

    file: SourceFile
    groups: range | None = None


def _pieces(files: Sequence[SourceFile], share: Share) -> Iterator[_Piece]:
    """The share's row groups, file by file."""
    if share.of == 1:
        yield from map(_Piece, files)
        return
    groups: list[tuple[SourceFile, int, Measured]] = []
    for file in files:
        version = file.measured().version
        with _opened(file) as reader:
            for number in range(reader.num_row_groups):
                size = reader.metadata.row_group(number).total_byte_size
                groups.append((file, number, Measured(max(1, size), version)))
    for file, found in groupby(share.pick(groups, itemgetter(2)), key=itemgetter(0)):
        numbers = [number for _, number, _ in found]
        yield _Piece(file, range(numbers[0], numbers[-1] + 1))


def _piece_batches(piece: _Piece, frame: Frame, batch_rows: int) -> Iterator[RowBatch]:
    with _opened(piece.file) as reader:
        groups = range(reader.num_row_groups) if piece.groups is None else piece.groups
        there = [name for name in frame.schema.names if name in reader.schema_arrow.names]
        rows = _rows_per_batch(reader, there, batch_rows)
        first = 1 + sum(reader.metadata.row_group(number).num_rows for number in range(groups.start))
        for records in reader.iter_batches(batch_size=rows, row_groups=list(groups), columns=there):
            yield _batch(records, piece.file, frame, first)
            first += records.num_rows


def _batch(records: pa.RecordBatch, file: SourceFile, frame: Frame, first: int) -> RowBatch:
    import pyarrow as pa

    def show(index: int) -> str:
        # only the key: the other cells may be what cannot be read
        try:
            return (
                f"{frame.key}={records.column(frame.key)[index].as_py()!r}"[:500]
                if frame.key in names
                else ""
            )
        except (ValueError, OverflowError):
            return ""

    names = set(records.schema.names)
    columns = [
        records.column(field.name) if field.name in names else pa.nulls(records.num_rows, field.type)
        for field in frame.schema
    ]
    numbers = range(first, first + records.num_rows)
    return frame.batch(columns, origin=file.address, numbers=numbers, show=show)


def _rows_per_batch(reader: Any, names: Sequence[str], most: int) -> int:
    """So many rows that a batch stays near BATCH_BYTES, by the sizes in the file's footer."""
    wanted = set(names)
    widest = 1.0
    for number in range(reader.metadata.num_row_groups):
        group = reader.metadata.row_group(number)
        chunks = (group.column(index) for index in range(group.num_columns))
        size = sum(
            chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in wanted
        )
        widest = max(widest, size / max(group.num_rows, 1))
    return max(1, min(most, int(BATCH_BYTES / widest)))
