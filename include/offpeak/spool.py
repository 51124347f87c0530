"""The spool: rows read once, rendered, fingerprinted and written down, so that nothing is read twice."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.arrays import flags, mask_of, numbers, offsets_of, only, positions, text, texts
from offpeak.errors import InputError
from offpeak.overlap import ahead, behind
from offpeak.render import Rendered, rendered
from offpeak.requests import Fingerprints, slow_line, told_apart
from offpeak.rows.source import Opening, RowBatch, RowProblem, Share
from offpeak.shards import Cut

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from offpeak.site import Interval, Site
    from offpeak.workload import Workload

SEEN = b"offpeak.seen"
"""In the file's metadata: what its share of the source was picked from (see Share)."""
SLICE_CHARACTERS = 16 * 1024 * 1024
"""Of constant prompt text rendered at once: a long prompt over many rows is written down in slices."""


def opening_of(workload: Workload, site: Site, interval: Interval, share: Share | None = None) -> Opening:
    """How the workload's rows are opened for a run; all of them where no share is given."""
    return Opening(
        store=site.store,
        connections=site.connections,
        interval=interval,
        columns=workload.columns_needed(),
        share=share or Share(),
    )


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

    render = _Renderer(workload)
    batches = _limited(workload.rows.batches(opening), limit)
    made = (render.table(batch, there) for batch, there in _sliced(ahead(batches), render.slice_rows))
    return _written(workload, path, made, opening.share)


def gather(workload: Workload, shares: Sequence[Path], path: Path) -> Spooled:
    """The same from the spools of a source's shares, one after the other."""
    return _written(workload, path, ahead(_spooled(shares)), Share())


def _spooled(shares: Sequence[Path]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for share in shares:
        with pq.ParquetFile(share, pre_buffer=False) as file:
            names = file.schema_arrow.names[1:]  # rows are numbered anew
            for group in range(file.num_row_groups):
                if (table := file.read_row_group(group, names)).num_rows:
                    yield table


def _written(workload: Workload, path: Path, tables: Iterator[pa.Table], share: Share) -> Spooled:
    """The tables of a share in one file, their rows numbered."""
    import numpy as np
    import pyarrow as pa

    key, rows = workload.rows.key, 0
    first = next(tables, _no_rows(workload))
    schema = first.schema.insert(0, pa.field("_ordinal", pa.int64()))
    with _writer(path, schema, key) as writer:
        with behind() as thread:
            for found in chain((first,), tables):
                ordinals = numbers(np.arange(rows, rows + found.num_rows))
                table = found.add_column(0, schema.field(0), ordinals)
                if table.schema != schema:
                    table = _fit(table, schema, workload)
                thread.call(writer.write_table, table)
                rows += table.num_rows
        if share.of > 1:
            writer.add_key_value_metadata({SEEN: share.seen})
    return Spooled(
        path=path,
        key=key,
        key_type=str(schema.field(key).type),
        rows=rows,
        unit=str(getattr(workload.rows, "unit", "row")),
    )


def _writer(path: Path, schema: pa.Schema, key: str) -> pq.ParquetWriter:
    """Dictionaries only where values repeat: keys, texts and fingerprints would fill one for nothing."""
    import pyarrow.parquet as pq

    distinct = (key, "_ordinal", "_fingerprint", "_user", "_number")
    return pq.ParquetWriter(
        path,
        schema,
        compression={name: "none" if name == "_fingerprint" else "lz4" for name in schema.names},
        use_dictionary=[name for name in schema.names if name not in distinct],
        write_statistics=False,
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
        numbers = numbers_of(batch)
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
        numbers = numbers_of(batch)
        for start in range(0, batch.records.num_rows or 1, rows):
            part = batch._replace(
                records=batch.records.slice(start, rows), problems=() if start else batch.problems
            )
            yield part, numbers[start : start + rows]


def numbers_of(batch: RowBatch) -> Sequence[int]:
    """The numbers of the records that could be read; those of the problems between them are left out."""
    count = batch.records.num_rows
    if not batch.problems:
        return range(batch.first, batch.first + count)
    taken = {problem.number for problem in batch.problems}
    free = (number for number in range(batch.first, batch.first + count + len(taken)) if number not in taken)
    return list(islice(free, count))


def _fit(table: pa.Table, schema: pa.Schema, workload: Workload) -> pa.Table:
    """The table in the first batch's types; a file whose types are others is refused by name."""
    import pyarrow as pa

    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(
            f"Workload {workload.name}: {table['_origin'][0]} has other column types than the file before it "
            f"({error}). Give the files one schema, or name them in separate workloads."
        ) from None


class _Renderer:
    """Turns a batch of records into a table of spooled rows."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._system, self._user = workload.templates
        # a source may name a kept column of marks: rows of the same text and another mark are asked each for itself
        self._apart = str(getattr(workload.rows, "apart", ""))
        self._fingerprints = Fingerprints(workload.provider_name, workload.ask)
        self._room = Cut.of(workload.provider.limits, 1).size_bytes
        self._envelope = len(self._line("x", "x"))
        self.slice_rows = max(1, SLICE_CHARACTERS // (1 + self._user.constant_characters))

    def table(self, batch: RowBatch, there: Sequence[int]) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        records, key = batch.records, self._workload.rows.key
        self._check_columns(records, batch.origin)
        keys = self._key_column(records)
        system, user = rendered(self._system, records), rendered(self._user, records)
        problems = self._problems(keys, system, user)
        prints = self._fingerprints.of_column(system.each, user.texts, system=system.constant)
        if self._apart:
            prints = told_apart(prints, records.column(self._apart))
        systems = _encoded(system)
        count = records.num_rows
        if problems:
            good = flags(np.isin(np.arange(count), list(problems), invert=True))
            prints, systems, users = (only(good, column) for column in (prints, systems, user.texts))
        else:
            users = user.texts
        kept = [records.column(name) for name in self._workload.keep]
        columns: list[Any] = [
            keys,
            *kept,
            prints,
            systems,
            users,
            texts(problems.get(row) for row in range(count)) if problems else pa.nulls(count, pa.string()),
            pa.repeat(text(batch.origin), count),
            positions(there),
        ]
        made = pa.table(columns, names=_names(key, self._workload.keep))
        if not batch.problems:
            return made
        return pa.concat_tables([made, self._unread(batch.problems, made.schema)])

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
        if kind in (pa.string(), pa.int64(), pa.uint64()):
            return keys
        if pa.types.is_integer(kind):
            return keys.cast(pa.int64())
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
            return keys.cast(pa.string())
        raise InputError(
            f"Workload {self._workload.name}: the key column {self._workload.rows.key!r} is of type {kind}. "
            "A stable key is an integer or a text; cast it in the source (for example to text in the query)."
        )

    def _problems(self, keys: pa.Array, system: Rendered, user: Rendered) -> dict[int, str]:
        """By place in the slice: why the row cannot be asked; the first reason of several."""
        import numpy as np

        found: dict[int, str] = {}
        if keys.null_count:
            reason = f"the key column {self._workload.rows.key} is null"
            found |= dict.fromkeys(np.flatnonzero(mask_of(keys.is_null())).tolist(), reason)
        found = {**user.problems, **system.problems, **found}
        constant = None if system.constant is None else len(system.constant.encode())
        sizes = np.diff(offsets_of(user.texts)) + (
            np.diff(offsets_of(system.each)) if constant is None else constant
        )
        # only where it could be too long (an escape takes six bytes at most) is it worth measuring
        for row in np.flatnonzero(self._envelope + 6 * sizes.astype(np.int64) > self._room).tolist():
            if row not in found and (reason := self._too_large(system.texts[row], user.texts[row])):
                found[row] = reason
        for row in _perhaps_blank(user.texts).tolist():
            if row not in found and not user.texts[row].as_py().strip():
                found[row] = "the prompt is empty for this row"
        return found

    def _too_large(self, system: pa.Scalar, user: pa.Scalar) -> str:
        size = len(self._line(system.as_py(), user.as_py()))
        if size <= self._room:
            return ""
        return (
            f"the request is {size:,} bytes, and the provider takes {self._room:,} in a whole batch; "
            "shorten the row or the prompt"
        )

    def _line(self, system: str, user: str) -> bytes:
        return slow_line(self._workload.provider, self._workload.ask, "x" * 64, system, user)

    def _unread(self, problems: tuple[RowProblem, ...], schema: pa.Schema) -> pa.Table:
        """Records that could not be read, as rows without a key."""
        import pyarrow as pa

        values = {
            "_problem": texts(map(_with_excerpt, problems)),
            "_origin": texts(problem.origin for problem in problems),
            "_number": positions(problem.number for problem in problems),
        }
        columns = [values.get(field.name, pa.nulls(len(problems), field.type)) for field in schema]
        return pa.table(columns, schema=schema)


def _no_rows(workload: Workload) -> pa.Table:
    """Every column as text, since nothing says otherwise."""
    import pyarrow as pa

    types = {
        "_number": pa.int64(),
        "_system": pa.dictionary(pa.int32(), pa.string()),
    }
    names = _names(workload.rows.key, workload.keep)
    return pa.table([pa.nulls(0, types.get(name, pa.string())) for name in names], names=names)


def _encoded(system: Rendered) -> pa.DictionaryArray:
    """As a dictionary: one system text over all rows is held and written once."""
    import numpy as np
    import pyarrow as pa

    if system.each is not None:
        return system.each.dictionary_encode()
    indices = numbers(np.zeros(system.rows, np.int32))
    return pa.DictionaryArray.from_arrays(indices, texts([system.constant]))


_SPACE_LEADS = (0xC2, 0xE1, 0xE2, 0xE3)
"""First bytes of the characters beyond ASCII that are white space, among many others."""


def _perhaps_blank(said: pa.Array) -> np.ndarray:
    """Places of the texts that are empty or begin with what may be white space."""
    import numpy as np

    offsets = offsets_of(said)
    data = np.frombuffer(said.buffers()[2] or b"", np.uint8)
    empty = np.diff(offsets) == 0
    if empty.all():
        return np.flatnonzero(empty & mask_of(said.is_valid()))
    firsts = data[np.minimum(offsets[:-1], data.size - 1)]
    maybe = empty | (firsts <= 0x20) | np.isin(firsts, _SPACE_LEADS)
    return np.flatnonzero(maybe & mask_of(said.is_valid()))


def _with_excerpt(problem: RowProblem) -> str:
    shown = f" ({orjson.dumps(problem.excerpt[:120]).decode()})" if problem.excerpt else ""
    return f"{problem.reason}{shown}"


def _names(key: str, keep: Any) -> list[str]:
    return [
        key, *keep, "_fingerprint", "_system", "_user", "_problem", "_origin", "_number",
    ]  # fmt: skip
