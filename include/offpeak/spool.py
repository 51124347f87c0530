"""The spool: rows read once, rendered, fingerprinted and written down, so that nothing is read twice."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.errors import InputError
from offpeak.prompt import NullInPrompt
from offpeak.requests import Fingerprints, slow_line
from offpeak.rows.source import Opening, RowBatch, RowProblem
from offpeak.shards import Cut

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.workload import Workload

SLICE_CHARACTERS = 16 * 1024 * 1024
"""Of constant prompt text rendered at once: a long prompt over many rows is written down in slices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """rows.parquet, written."""

    path: Path
    key: str
    key_type: str
    """Arrow type of the key, as text."""
    rows: int
    """Records seen, unreadable ones included."""
    unit: str = "row"
    """What numbers within an origin count."""


def spool(workload: Workload, opening: Opening, path: Path, limit: int | None) -> Spooled:
    """Write every row of the source to `path`. InputError when the source cannot be read at all.

    Columns: `_ordinal`, the key, the kept columns, `_fingerprint`, `_system`, `_user`, `_problem`,
    `_origin`, `_number`. A row with a `_problem` has no fingerprint. Bounded memory, also for long prompts.
    """
    import pyarrow.parquet as pq

    render = _Renderer(workload)
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        batches = _limited(workload.rows.batches(opening), limit)
        for batch, numbers in _sliced(batches, render.slice_rows):
            table = render.table(batch, numbers, rows)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, compression="lz4")
            elif table.schema != writer.schema:
                table = _fit(table, writer.schema, workload, batch.origin)
            writer.write_table(table)
            rows += table.num_rows
        if writer is None:
            table = render.empty()
            writer = pq.ParquetWriter(path, table.schema, compression="lz4")
            writer.write_table(table)
        key_type = str(writer.schema.field(workload.rows.key).type)
    finally:
        if writer is not None:
            writer.close()
    return Spooled(
        path=path,
        key=workload.rows.key,
        key_type=key_type,
        rows=rows,
        unit=str(getattr(workload.rows, "unit", "row")),
    )


def _limited(batches: Iterator[RowBatch], limit: int | None) -> Iterator[RowBatch]:
    """The first `limit` records, the unreadable ones among them counted."""
    left = limit
    for batch in batches:
        if left is None:
            yield batch
            continue
        if left <= 0:
            return
        numbers = _numbers(batch)
        seen = sorted([*numbers, *(problem.number for problem in batch.problems)])
        last = seen[:left][-1] if seen else 0
        yield batch._replace(
            records=batch.records.slice(0, bisect_right(numbers, last)),
            problems=tuple(problem for problem in batch.problems if problem.number <= last),
        )
        left -= len(seen)


def _sliced(batches: Iterator[RowBatch], rows: int) -> Iterator[tuple[RowBatch, Sequence[int]]]:
    """Batches of at most so many records, with their numbers; all problems come with the first slice."""
    for batch in batches:
        numbers = _numbers(batch)
        for start in range(0, batch.records.num_rows or 1, rows):
            part = batch._replace(
                records=batch.records.slice(start, rows), problems=() if start else batch.problems
            )
            yield part, numbers[start : start + rows]


def _numbers(batch: RowBatch) -> Sequence[int]:
    """The numbers of the records that could be read; those of the problems between them are left out."""
    count = batch.records.num_rows
    if not batch.problems:
        return range(batch.first, batch.first + count)
    taken = {problem.number for problem in batch.problems}
    free = (number for number in range(batch.first, batch.first + count + len(taken)) if number not in taken)
    return list(islice(free, count))


def _fit(table: pa.Table, schema: pa.Schema, workload: Workload, origin: str) -> pa.Table:
    """The table in the first batch's types; a file whose types are others is refused by name."""
    import pyarrow as pa

    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(
            f"Workload {workload.name}: {origin} has other column types than the file before it "
            f"({error}). Give the files one schema, or name them in separate workloads."
        ) from None


class _Renderer:
    """Turns a batch of records into a table of spooled rows."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._system, self._user = workload.templates
        self._fingerprints = Fingerprints(workload.provider_name, workload.ask)
        self._room = Cut.of(workload.provider.limits, 1).size_bytes
        self._envelope = len(self._line("x", "x"))
        self.slice_rows = max(1, SLICE_CHARACTERS // (1 + self._user.constant_characters))

    def table(self, batch: RowBatch, numbers: Sequence[int], first_ordinal: int) -> pa.Table:
        import pyarrow as pa

        records, key = batch.records, self._workload.rows.key
        self._check_columns(records, batch.origin)
        keys = self._key_column(records)
        null_keys = keys.is_null().to_pylist()
        systems: list[str | None] = []
        users: list[str | None] = []
        prints, problems = [], []
        pairs = zip(self._system.render(records), self._user.render(records), null_keys, strict=True)
        for system, user, null_key in pairs:
            problem = self._problem(system, user, null_key)
            systems.append(None if problem else str(system))
            users.append(None if problem else str(user))
            prints.append(None if problem else self._fingerprints.of(str(system), str(user)))
            problems.append(problem)
        kept = [records.column(name) for name in self._workload.keep]
        count = records.num_rows
        columns: list[Any] = [
            pa.array(range(first_ordinal, first_ordinal + count), pa.int64()),
            keys,
            *kept,
            pa.array(prints, pa.string()),
            _encoded(systems),
            pa.array(users, pa.string()),
            pa.array(problems, pa.string()),
            pa.array([batch.origin] * count, pa.string()),
            pa.array(numbers, pa.int64()),
        ]
        made = pa.table(columns, names=_names(key, self._workload.keep))
        if not batch.problems:
            return made
        return pa.concat_tables([made, self._unread(batch.problems, made.schema, first_ordinal + count)])

    def empty(self) -> pa.Table:
        """No rows at all: every column as text, since nothing says otherwise."""
        import pyarrow as pa

        types = {"_ordinal": pa.int64(), "_number": pa.int64(), "_system": _encoded([]).type}
        names = _names(self._workload.rows.key, self._workload.keep)
        return pa.table([pa.array([], types.get(name, pa.string())) for name in names], names=names)

    def _check_columns(self, records: pa.RecordBatch, origin: str) -> None:
        """A prompt that uses the whole row reads whatever there is; what else is needed may be missing."""
        templates = (template.columns or () for template in (self._system, self._user))
        needed = (self._workload.rows.key, *self._workload.keep, *chain.from_iterable(templates))
        missing = [name for name in dict.fromkeys(needed) if name not in records.schema.names]
        if missing:
            raise InputError(
                f"Workload {self._workload.name}: {origin} has no column {', '.join(map(repr, missing))}. "
                f"Nothing was sent. It has: {', '.join(map(repr, records.schema.names[:50]))}. Correct the "
                "workload's key, keep or prompt."
            )

    def _key_column(self, records: pa.RecordBatch) -> pa.Array:
        import pyarrow as pa

        keys = records.column(self._workload.rows.key)
        kind = keys.type
        if pa.types.is_integer(kind):
            return keys.cast(pa.int64()) if kind != pa.uint64() else keys
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return keys.cast(pa.string())
        if pa.types.is_null(kind):
            return keys.cast(pa.string())
        raise InputError(
            f"Workload {self._workload.name}: the key column {self._workload.rows.key!r} is of type {kind}. "
            "A stable key is an integer or a text; cast it in the source (for example to text in the query)."
        )

    def _problem(self, system: object, user: object, null_key: bool) -> str | None:
        if null_key:
            return f"the key column {self._workload.rows.key} is null"
        for text in (system, user):
            if isinstance(text, NullInPrompt):
                return str(text)
        longest = self._envelope + 6 * (len(str(system)) + len(str(user)))
        if longest > self._room:  # only then is it worth measuring
            size = len(self._line(str(system), str(user)))
            if size > self._room:
                return (
                    f"the request is {size:,} bytes, and the provider takes {self._room:,} in a whole batch; "
                    "shorten the row or the prompt"
                )
        if not str(user).strip():
            return "the prompt is empty for this row"
        return None

    def _line(self, system: str, user: str) -> bytes:
        return slow_line(self._workload.provider, self._workload.ask, "x" * 64, system, user)

    def _unread(self, problems: tuple[RowProblem, ...], schema: pa.Schema, start: int) -> pa.Table:
        """Records that could not be read, as rows without a key."""
        import pyarrow as pa

        count = len(problems)
        values = {
            "_ordinal": list(range(start, start + count)),
            "_problem": [_with_excerpt(problem) for problem in problems],
            "_origin": [problem.origin for problem in problems],
            "_number": [problem.number for problem in problems],
        }
        columns = [pa.array(values.get(f.name, [None] * count), f.type) for f in schema]
        return pa.table(columns, schema=schema)


def _encoded(texts: Sequence[str | None]) -> pa.Array:
    """As a dictionary: one system text over all rows is held and written once."""
    import pyarrow as pa

    distinct = {text: number for number, text in enumerate(dict.fromkeys(t for t in texts if t is not None))}
    indices = pa.array([None if text is None else distinct[text] for text in texts], pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(distinct), pa.string()))


def _with_excerpt(problem: RowProblem) -> str:
    shown = f" ({orjson.dumps(problem.excerpt[:120]).decode()})" if problem.excerpt else ""
    return f"{problem.reason}{shown}"


def _names(key: str, keep: Any) -> list[str]:
    return [
        "_ordinal", key, *keep, "_fingerprint", "_system", "_user", "_problem", "_origin", "_number",
    ]  # fmt: skip
