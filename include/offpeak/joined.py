"""Joining: where the last result of each row's request is, or its carried answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.arrays import dollars, mask_of, nanos_of, numbers, text, texts, with_nulls
from offpeak.matching import Dealt, InOrder, first_alike, names_of, parts_for
from offpeak.row_files import batches

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SUMMED = ("_cost_usd", "_input_tokens", "_output_tokens")
"""What a request took over all rounds, where it had more than one."""
_ASKED = ("ask", "fold", "keep")
_AMOUNTS = (("amounts", "<i8", len(SUMMED)), ("known", "?", len(SUMMED)))
"""Of SUMMED, dollars in billionths, and which of them are not null."""
_CARRIED = 0x5555555555555555
"""Set against the names of what is carried: a row's answer is never looked for among the results as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """Where the results of some rows are."""

    files: np.ndarray
    """The number of the file, the carried answers' behind those of the results; -1 for none. Shape (rows,), int64."""
    places: np.ndarray
    """The number of the row in it."""
    summed: Mapping[str, pa.Array]
    """SUMMED, null where a request had one result."""


class Places:
    """Where each row's last result or carried answer is, given out in the order of the rows.

    Reads the fingerprints of all files once, and holds neither them nor the places in memory. `files` are rows, plan
    and carried.
    """

    def __init__(self, files: Mapping[str, Path], results: Sequence[Path], work: Path) -> None:
        import numpy as np

        paths = [*results, files["carried"]]
        self._starts = np.cumsum([0, *map(_rows, paths)])
        self.rows = _rows(files["rows"])
        parts = parts_for(max(self.rows, int(self._starts[-1])))
        known = Dealt(work / "known", parts, [("place", "<i8"), ("round", "<i8"), *_AMOUNTS])
        for path, start in zip(paths, self._starts, strict=False):
            for names, fields in _known(path, carried=path == files["carried"]):
                known.add(names, place=start + fields.pop("row"), **fields)
        sought = Dealt(work / "sought", parts, [("row", "<i8")])
        for names, rows in _sought(files):
            sought.add(names, row=rows)
        self._found = InOrder(work / "found", [("place", "<i8")])
        self._sums = InOrder(work / "sums", _AMOUNTS)
        self.too_many = sum(self._match(known.take(part), sought.take(part)) for part in range(parts))
        """Results beyond the one that a request has in a round: there must be none."""
        self._given = 0

    def take(self, count: int) -> At:
        """Of the next so many rows; fewer at the end."""
        import numpy as np

        start = self._given
        self._given = stop = min(start + count, self.rows)
        found, sums = self._found.take(stop), self._sums.take(stop)
        places = np.full(stop - start, -1)
        places[found["row"] - start] = found["place"]
        files = np.where(places < 0, -1, np.searchsorted(self._starts, places, "right") - 1)
        amounts = np.zeros(stop - start, list(_AMOUNTS))
        for name, *_ in _AMOUNTS:
            amounts[name][sums["row"] - start] = sums[name]
        return At(
            files=files,
            places=np.where(files < 0, -1, places - self._starts[files]),
            summed={
                name: with_nulls(_column(name, amounts["amounts"][:, at]), amounts["known"][:, at])
                for at, name in enumerate(SUMMED)
            },
        )

    def _match(self, known: np.ndarray, sought: np.ndarray) -> int:
        """Note where the rows in `sought` have their result. Returns how many results there are too many."""
        import numpy as np

        count = len(known)
        firsts = first_alike(np.concatenate([known["name"], sought["name"]]))
        groups = _Groups(firsts[:count], known["round"])
        last = np.arange(count)
        last[firsts[groups.last]] = groups.last
        hit = firsts[count:] < count
        at, rows = firsts[count:][hit], sought["row"][hit]
        found = np.empty(len(rows), self._found.type)
        found["row"], found["place"] = rows, known["place"][last[at]]
        self._found.add(found)
        if len(groups.last):
            number = np.full(count, -1)
            number[firsts[groups.last]] = np.arange(len(groups.last))
            again = number[at] >= 0
            sums = np.empty(np.count_nonzero(again), self._sums.type)
            sums["row"] = rows[again]
            sums["amounts"], sums["known"] = (one[number[at[again]]] for one in groups.sums(known))
            self._sums.add(sums)
        return groups.too_many


class _Groups:
    """The requests that have several results: the members of each together, the last round first."""

    def __init__(self, firsts: np.ndarray, rounds: np.ndarray) -> None:
        import numpy as np

        later = firsts != np.arange(len(firsts))
        several = later.copy()
        several[firsts[later]] = True
        members = np.flatnonzero(several)
        self._members = members[np.lexsort((-rounds[members], firsts[members]))]
        of, round_of = firsts[self._members], rounds[self._members]
        self._starts = np.flatnonzero(np.diff(of, prepend=-1))
        self.last = self._members[self._starts]
        self.too_many = int(np.count_nonzero((np.diff(of) == 0) & (np.diff(round_of) == 0)))

    def sums(self, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each request what its results took, and which amounts are known of any of them."""
        import numpy as np

        amounts, there = known["amounts"][self._members], known["known"][self._members]
        sums = np.add.reduceat(np.where(there, amounts, 0), self._starts, axis=0)
        return sums, np.logical_or.reduceat(there, self._starts, axis=0)


def _known(path: Path, *, carried: bool) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """The names of the results, or carried answers, in a file, with the fields of their records."""
    import numpy as np

    columns = ["_fingerprint"] if carried else ["_fingerprint", "_round", *SUMMED]
    for start, batch in batches(path, columns):
        names = names_of(batch["_fingerprint"])
        rows = np.arange(start, start + len(names))
        if carried:
            yield names ^ np.uint64(_CARRIED), {"row": rows, "round": 0, "amounts": 0, "known": False}
            continue
        amounts = [nanos_of(batch[name]) if name == "_cost_usd" else _filled(batch[name]) for name in SUMMED]
        there = [mask_of(batch[name].is_valid()) for name in SUMMED]
        fields = {"amounts": np.stack(amounts, axis=1), "known": np.stack(there, axis=1)}
        yield names, {"row": rows, "round": _filled(batch["_round"]), **fields}


def _sought(files: Mapping[str, Path]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The names of the rows that have a result, or a carried answer, and their numbers."""
    import numpy as np
    import pyarrow.compute as pc

    plan = batches(files["plan"], ["decision"])
    asked = texts(_ASKED)
    for (start, rows), (_, decided) in zip(batches(files["rows"], ["_fingerprint"]), plan, strict=True):
        carried = mask_of(pc.equal(decided["decision"], text("carry")))
        wanted = np.flatnonzero(carried | mask_of(pc.is_in(decided["decision"], asked)))
        names = names_of(rows["_fingerprint"].take(numbers(wanted)))
        names[carried[wanted]] ^= np.uint64(_CARRIED)
        yield names, start + wanted


def _filled(column: pa.Array) -> np.ndarray:
    """Whole numbers, anything where they are null."""
    import numpy as np

    return np.frombuffer(column.buffers()[1] or b"", np.int64, len(column), 8 * column.offset)


def _column(name: str, values: np.ndarray) -> pa.Array:
    return dollars(values) if name == "_cost_usd" else numbers(values)


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
