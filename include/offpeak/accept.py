"""Accepting: an answer that keeps to its schema, held against the very row it was asked for.

A schema cannot know whether a cited id stood in the prompt. `Workload.accept` can: what it does not accept is
`invalid` like any answer that breaks the schema, so it is asked again with the reason, and given up on at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.arrays import listed, positions
from offpeak.errors import CheckBroken
from offpeak.results import RAW_CHARACTERS, USAGE, Answered, Result
from offpeak.states import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.store import Store
    from offpeak.workload import Workload

NOT_ACCEPTED = "not_accepted"
"""The code of an answer that keeps to its schema and is refused for its row."""
Accept = Callable[[Mapping[str, Any], Mapping[str, Any]], str]
"""From the row (its key and the columns that are kept) and its answer to "", or to why it is not accepted."""
Row = Mapping[str, Any]


def accepted(
    workload: Workload, results: Iterable[Answered | Result], rows: Callable[[], Mapping[str, Row]]
) -> Iterator[Answered | Result]:
    """The results, with those answers made `invalid` that the workload does not accept for their row.

    `rows` gives the row of each fingerprint; it is called once, and not at all without an `accept`.
    CheckBroken when the workload's own function fails: nothing is asked again for a mistake in it.
    """
    if workload.accept is None:
        yield from results
        return
    known = rows()
    for found in results:
        if isinstance(found, Result):
            yield weighed(workload, found, known.get(found.fingerprint))
        else:
            yield from _many(workload, found, known)


def rows_of(
    store: Store, folder: str, workload: Workload, fingerprints: pa.Array
) -> dict[str, dict[str, Any]]:
    """By fingerprint: the row of a plan that asks it, the first one of several, as `accept` sees it."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = ["_fingerprint", workload.rows.key, *workload.keep]
    found: dict[str, dict[str, Any]] = {}
    with store.reading(f"{folder}/rows.parquet") as path:
        for batch in pq.ParquetFile(path).iter_batches(columns=columns):
            for row in batch.filter(pc.is_in(batch.column("_fingerprint"), fingerprints)).to_pylist():
                found.setdefault(row.pop("_fingerprint"), row)
    return found


def weighed(workload: Workload, result: Result, row: Row | None) -> Result:
    """One result, `invalid` when its answer is not accepted for `row`."""
    if result.answer is None or not (reason := _asked(workload, row, result.answer)):
        return result
    return replace(
        result,
        outcome=Outcome.INVALID,
        answer=None,
        code=NOT_ACCEPTED,
        reason=reason,
        raw=_raw(result.answer),
    )


def _many(workload: Workload, found: Answered, known: Mapping[str, Row]) -> Iterator[Answered | Result]:
    import numpy as np

    names = workload.form.schema().names
    prints = listed(found.fingerprints)
    values = zip(*(column.to_pylist() for column in found.columns), strict=True)
    answers = [dict(zip(names, one, strict=True)) for one in values]
    reasons = {
        place: reason
        for place, (fingerprint, answer) in enumerate(zip(prints, answers, strict=True))
        if (reason := _asked(workload, known.get(fingerprint), answer))
    }
    good = [place for place in range(len(answers)) if place not in reasons]
    taken = positions(good)
    yield Answered(
        fingerprints=found.fingerprints.take(taken),
        models=found.models.take(taken),
        usage=found.usage[np.array(good, np.int64)],
        columns=[column.take(taken) for column in found.columns],
    )
    for place, reason in reasons.items():
        yield Result(
            fingerprint=prints[place],
            outcome=Outcome.INVALID,
            model=found.models[place].as_py(),
            usage=_usage(found.usage[place]),
            code=NOT_ACCEPTED,
            reason=reason,
            raw=_raw(answers[place]),
        )


def _asked(workload: Workload, row: Row | None, answer: Mapping[str, Any]) -> str:
    """What the workload's own function says; a row that is not there cannot vouch for anything."""
    assert workload.accept is not None, "only called for a workload that accepts"
    if row is None:
        return "the row that this answer belongs to is not in the run's plan"
    try:
        return str(workload.accept(row, answer) or "")
    except Exception as error:
        raise CheckBroken(
            f"Workload {workload.name}: its accept function failed on the row {row[workload.rows.key]!r} "
            f"({type(error).__name__}: {error}). The answers are paid and stay at the provider; nothing was published. "
            "Correct the function and run again: no row is asked twice."
        ) from error


def _usage(counts: Any) -> Any:
    from offpeak.providers.provider import Usage

    return Usage(**dict(zip(USAGE, map(int, counts), strict=True)))


def _raw(answer: Mapping[str, Any]) -> str:
    return orjson.dumps(answer, default=str).decode()[:RAW_CHARACTERS]
