"""Cases as rows: every case once for each sample, and the stability sample twice more for each interval.

Each row carries the whole case as JSON, so that what is scored is what was asked, whatever the source says by then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.errors import InputError
from offpeak.rows.source import Opening, RowBatch, RowSource

if TYPE_CHECKING:
    import pyarrow as pa

KEY, CASE, SAMPLE = "eval_key", "eval_case", "eval_sample"
"""The key `case#sample`; the case as JSON; what tells one asking of a case from another."""
NIGHT = "night"
"""A key's part after `#` begins with it for the stability sample: `case#night1`, `case#night2`."""
NIGHT_TIMES = 2
"""How often the stability sample is asked in each interval: the difference between the two is the noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRows:
    """The suite's cases as rows of one candidate."""

    cases: RowSource
    samples: int
    stability: int
    """About so many cases are asked again in each interval."""
    key: str = KEY
    apart: str = SAMPLE
    """Samples of a case have the same text, and are asked each for itself (see spool.py)."""

    def describe(self) -> str:
        times = "" if self.samples == 1 else f", {self.samples} samples each"
        again = f", {self.stability} of them asked again each time" if self.stability else ""
        return f"cases of {self.cases.describe()}{times}{again}"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        """Every sample of some cases, then of the next; the stability sample last. Raises InputError when two
        cases have one key, and what the source raises."""
        seen: set[str] = set()
        chosen = _Chosen(self.stability)
        for batch in self.cases.batches(replace(opening, columns=None)):
            keys = _keys(batch, self.cases.key, seen)
            whole = [_json(record) for record in batch.records.to_pylist()]
            for sample in range(1, self.samples + 1):
                marks = "" if sample == 1 else str(sample)
                made = _rows(batch.records, keys, whole, (str(sample), marks), opening)
                yield batch._replace(records=made, problems=() if sample > 1 else batch.problems)
            chosen.see(batch, keys, whole)
        fixed = list(chosen.batches())
        for again in range(1, NIGHT_TIMES + 1):
            name = f"{NIGHT}{again}"
            for batch, keys, whole in fixed:
                marks = f"{name} {opening.interval.key}"
                yield batch._replace(records=_rows(batch.records, keys, whole, (name, marks), opening))


class _Chosen:
    """The cases whose keys hash lowest: the same ones night after night, whatever else comes or goes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: list[tuple[int, str, str, pa.RecordBatch]] = []
        self._origin = ""

    def see(self, batch: RowBatch, keys: list[str], whole: list[str]) -> None:
        if not self._count:
            return
        self._origin = batch.origin
        found = [
            (_hash(key), key, case, batch.records.slice(at, 1))
            for at, (key, case) in enumerate(zip(keys, whole, strict=True))
        ]
        self._held = sorted([*self._held, *found], key=lambda one: one[:2])[: self._count]

    def batches(self) -> Iterator[tuple[RowBatch, list[str], list[str]]]:
        """All of them as one batch, in the order of their keys."""
        import pyarrow as pa

        if not self._held:
            return
        held = sorted(self._held, key=lambda one: one[1])
        table = pa.Table.from_batches([one[3] for one in held]).combine_chunks()
        (records,) = table.to_batches()
        batch = RowBatch(records, f"the stability sample of {self._origin}", 1)
        yield batch, [one[1] for one in held], [one[2] for one in held]


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())


def _keys(batch: RowBatch, name: str, seen: set[str]) -> list[str]:
    keys = [str(key) for key in batch.records.column(name).to_pylist()]
    for key in keys:
        if key in seen:
            raise InputError(
                f"{batch.origin}: two cases have the {name} {key!r}. Nothing was sent. A case is followed "
                "through the years by its key; give each its own."
            )
        seen.add(key)
    return keys


def _rows(
    records: pa.RecordBatch, keys: list[str], whole: list[str], sample: tuple[str, str], opening: Opening
) -> pa.RecordBatch:
    """The records with the suite's own columns, as far as they are wanted; `sample` is its name and its mark."""
    import pyarrow as pa

    name, mark = sample
    made: dict[str, Any] = {
        KEY: pa.array([f"{key}#{name}" for key in keys], pa.string()),
        CASE: pa.array(whole, pa.string()),
        SAMPLE: pa.repeat(pa.scalar(mark, pa.string()), len(keys)),
    }
    columns = {name: records.column(name) for name in records.schema.names} | made
    wanted = columns if opening.columns is None else opening.columns
    missing = sorted(set(wanted) - set(columns))
    if missing:
        raise InputError(
            f"The cases have no column {', '.join(map(repr, missing))}. Nothing was sent. They have: "
            f"{', '.join(map(repr, records.schema.names[:50]))}. Correct the prompt of the candidate."
        )
    return pa.RecordBatch.from_pydict({name: columns[name] for name in wanted})


def _json(record: dict[str, Any]) -> str:
    return orjson.dumps(record, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def split_key(key: str) -> tuple[str, str]:
    """The case and its sample."""
    case, _, sample = key.rpartition("#")
    return case, sample
