"""Columns: which ones are read, and the one schema that all batches of an opening have.

A key is `int64` or `string`, never null or empty; the other columns have the types that cells.py promises.
A row that does not fit becomes a problem with its number, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offpeak.arrays import positions, text
from offpeak.errors import InputError
from offpeak.rows.cells import collect_faults, plain_type, to_plain
from offpeak.rows.files import NOTHING_SENT
from offpeak.rows.source import Opening, RowBatch, RowProblem

if TYPE_CHECKING:
    import pyarrow as pa

MAX_CELL_BYTES = 16 * 1024 * 1024
BATCH_BYTES = 32 * 1024 * 1024
"""About as much as one batch may hold, so that a few long rows take no more memory than many short ones."""
EXCERPT_CHARACTERS = 500


def wanted_columns(opening: Opening, key: str, present: Iterable[str], where: str) -> list[str]:
    """The columns to read, the key first if nobody asked for it; InputError for one that is nowhere."""
    there = list(present)
    wanted = list(dict.fromkeys(there if opening.columns is None else (*opening.columns, key)))
    missing = [name for name in dict.fromkeys((*wanted, key)) if name not in there]
    if missing:
        names = ", ".join(repr(name) for name in missing)
        raise InputError(
            f"{where} has no column {names}{' (the key)' if missing == [key] else ''}. {NOTHING_SENT} "
            f"It has: {', '.join(repr(name) for name in there[:50])}{' ...' if len(there) > 50 else ''}."
        )
    return wanted


def excerpt(content: bytes | str) -> str:
    """The beginning of a record for people: undecodable bytes and lone surrogates escaped."""
    if isinstance(content, str):
        content = content[:EXCERPT_CHARACTERS].encode("utf-8", "surrogateescape")
    text = content[: EXCERPT_CHARACTERS * 4].decode("utf-8", "backslashreplace")
    return text.rstrip("\r\n")[:EXCERPT_CHARACTERS]


def key_type(kind: pa.DataType, key: str, where: str) -> pa.DataType:
    """The key's type; InputError, with the cure, for what cannot name a row for good."""
    import pyarrow as pa

    plain = plain_type(kind)
    if pa.types.is_integer(plain):
        return pa.int64()
    whole = pa.types.is_decimal(plain) and plain.scale == 0
    if pa.types.is_string(plain) or pa.types.is_date(plain) or whole:
        return pa.string()
    raise InputError(
        f"The key column {key!r} of {where} has the type {kind}, which cannot name a row: the same row "
        f"may come back with another value. {NOTHING_SENT} "
        f"Use a column of integers or text, or write {key!r} as text."
    )


def frame_of(types: Mapping[str, Any], key: str, where: str, max_cell_bytes: int) -> Frame:
    """The frame of columns by name and source type, each brought to its promised type."""
    import pyarrow as pa

    fields = [
        pa.field(name, key_type(kind, key, where) if name == key else plain_type(kind))
        for name, kind in types.items()
    ]
    return Frame(schema=pa.schema(fields), key=key, max_cell_bytes=max_cell_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all batches of one opening look like."""

    schema: pa.Schema
    key: str
    max_cell_bytes: int = MAX_CELL_BYTES

    def batch(
        self,
        columns: Sequence[pa.Array],
        *,
        origin: str,
        numbers: Sequence[int],
        show: Callable[[int], str],
        problems: Sequence[RowProblem] = (),
    ) -> RowBatch:
        """The batch of `columns` (in the schema's order), each brought to its type.

        Rows that do not fit are left out and join `problems`; `numbers` and `show` (an excerpt) say
        which they are.
        """
        import pyarrow as pa

        faults: dict[int, str] = {}
        for field, column in zip(self.schema, columns, strict=True):
            collect_faults(column, field, self.max_cell_bytes, faults)
        if faults:
            good = positions(index for index in range(len(numbers)) if index not in faults)
            columns = [column.take(good) for column in columns]
        arrays = [to_plain(column, field.type) for field, column in zip(self.schema, columns, strict=True)]
        records = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        if faults or records.column(self.key).null_count or _has_empty(records.column(self.key)):
            left = [index for index in range(len(numbers)) if index not in faults]
            records = _drop_keyless(records, self.key, left, faults)
        found = [
            RowProblem(origin=origin, number=numbers[index], reason=reason, excerpt=show(index))
            for index, reason in faults.items()
        ]
        merged = tuple(sorted((*problems, *found), key=lambda problem: problem.number))
        first = next((number for index, number in enumerate(numbers) if index not in faults), None)
        return RowBatch(records, origin, first or (merged[0].number if merged else 1), merged)


def _has_empty(key: pa.Array) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    return bool(pa.types.is_string(key.type) and pc.any(pc.equal(key, text(""))).as_py())


def _drop_keyless(
    records: pa.RecordBatch, key: str, numbers: list[int], faults: dict[int, str]
) -> pa.RecordBatch:
    """Leave out the records without a key; each becomes a fault of its row."""

    keep = []
    for position, value in enumerate(records.column(key).to_pylist()):
        if value is None or value == "":
            state = "null or absent" if value is None else "empty"
            faults[numbers[position]] = (
                f"the key {key!r} is {state}; every row needs a key to be told from others"
            )
        else:
            keep.append(position)
    return records.take(positions(keep))
