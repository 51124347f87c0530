"""Decisions: what becomes of each row of a plan, found without holding the rows.

plan.parquet has them in the order of the rows: `ask` (the first row of each request), `fold`, `carry`, or `bad` and
`duplicate` for a row that cannot be asked; a replay adds `keep`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.arrays import mask_of, numbers, texts
from offpeak.matching import Dealt, InOrder, first_alike, names_of, parts_for
from offpeak.row_files import BATCH_ROWS, batches

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = 5
"""Rows that cannot be asked and are shown to a person."""
_KINDS = ("good", "bad", "duplicate")
_GOOD, _BAD, _DUPLICATE = range(3)
_DECISIONS = ("ask", "bad", "duplicate", "fold", "carry")
_FOLD, _CARRY = 3, 4
_ROW = ("row", "<i8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Which of the rows can be asked."""

    kinds: Path
    """A byte for each row."""
    counts: Counter[str]
    """Rows by kind: good, bad, duplicate."""
    first_bad: Sequence[int]
    """The first few rows that are not good."""
    requests: Dealt
    """The good rows by their fingerprints."""


def mark(rows: Path, key: str, count: int, work: Path) -> Marks:
    """Look through rows.parquet, of so many rows. Of the rows of one key only the first can be asked."""
    import numpy as np

    again = _again(rows, key, count, work)
    requests = Dealt(work / "requests", parts_for(count), [_ROW])
    counts: Counter[str] = Counter()
    first_bad: list[int] = []
    with (work / "kinds").open("wb") as out:
        for start, batch in batches(rows, ["_fingerprint", "_problem"]):
            kinds = np.where(mask_of(batch["_problem"].is_valid()), _BAD, _GOOD).astype(np.uint8)
            kinds[again.take(start + len(kinds))["row"] - start] = _DUPLICATE
            good = np.flatnonzero(kinds == _GOOD)
            requests.add(names_of(batch["_fingerprint"].take(numbers(good))), row=start + good)
            counts.update(_counted(kinds))
            first_bad += (start + np.flatnonzero(kinds != _GOOD)[: EXAMPLES - len(first_bad)]).tolist()
            kinds.tofile(out)
    return Marks(kinds=work / "kinds", counts=counts, first_bad=first_bad, requests=requests)


def decide(marks: Marks, carried: Path, into: Path, work: Path) -> None:
    """Write plan.parquet: `_ordinal` and `decision` of every row. What `carried` answers is not asked."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = _found(marks.requests, carried, work)
    names = texts(_DECISIONS)
    schema = pa.schema([("_ordinal", pa.int64()), ("decision", pa.string())])
    start = 0
    with marks.kinds.open("rb") as kinds, pq.ParquetWriter(into, schema) as out:
        while len(codes := np.fromfile(kinds, np.uint8, BATCH_ROWS)):
            records = found.take(start + len(codes))
            codes[records["row"] - start] = np.where(records["carried"], _CARRY, _FOLD)
            ordinals = numbers(np.arange(start, start + len(codes)))
            out.write_batch(pa.record_batch([ordinals, names.take(numbers(codes))], schema=schema))
            start += len(codes)


def decisions(plan: Path) -> Counter[str]:
    """Rows by decision."""
    import pyarrow.parquet as pq

    counts: Counter[str] = Counter()
    for batch in pq.ParquetFile(plan).iter_batches(BATCH_ROWS, columns=["decision"]):
        counts.update(
            {found["values"]: found["counts"] for found in batch["decision"].value_counts().to_pylist()}
        )
    return counts


def _again(rows: Path, key: str, count: int, work: Path) -> InOrder:
    """The rows whose key an earlier row has."""
    import numpy as np

    keys = Dealt(work / "keys", parts_for(count), [_ROW])
    for start, batch in batches(rows, [key]):
        there = np.flatnonzero(mask_of(batch[key].is_valid()))
        keys.add(names_of(batch[key].take(numbers(there))), row=start + there)
    again = InOrder(work / "again", [])
    for part in range(len(keys)):
        records = keys.take(part)
        later = first_alike(records["name"]) != np.arange(len(records))
        again.add(records[later][["row"]])
    return again


def _found(requests: Dealt, carried: Path, work: Path) -> InOrder:
    """The good rows that need not be asked: those whose answer is carried, and those that ask what an earlier asks."""
    import numpy as np

    known = Dealt(work / "known", len(requests), [])
    for _, batch in batches(carried, ["_fingerprint"]):
        known.add(names_of(batch["_fingerprint"]))
    found = InOrder(work / "found", [("carried", "?")])
    for part in range(len(requests)):
        answered, records = known.take(part), requests.take(part)
        firsts = first_alike(np.concatenate([answered["name"], records["name"]]))[len(answered) :]
        later = firsts != np.arange(len(answered), len(answered) + len(records))
        made = np.empty(np.count_nonzero(later), found.type)
        made["row"], made["carried"] = records["row"][later], firsts[later] < len(answered)
        found.add(made)
    return found


def _counted(kinds: np.ndarray) -> dict[str, int]:
    import numpy as np

    return dict(zip(_KINDS, np.bincount(kinds, minlength=len(_KINDS)).tolist(), strict=True))
