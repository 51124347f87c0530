"""Reconciling: result lines against the requests sent; every request ends in exactly one outcome."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from offpeak.answer import Answers
from offpeak.arrays import float_vectors
from offpeak.providers.provider import Batch
from offpeak.requests import custom_id
from offpeak.results import Answered, Result, Tally, judge
from offpeak.states import BatchStatus, Outcome

if TYPE_CHECKING:
    from offpeak.providers.plain import Plains
    from offpeak.workload import Workload

CHUNK_ROWS = 1_024
CHUNK_BYTES = 8 * 1024 * 1024
"""Of lines that are read at once: more of them than the processor caches take longer each."""
_PIECE_ROWS = 64
"""After so many lines it is seen whether they are enough."""

_WITHOUT_RESULT = {BatchStatus.EXPIRED: Outcome.EXPIRED, BatchStatus.CANCELLED: Outcome.CANCELLED}


def reconcile(
    workload: Workload, lines: Iterable[bytes], sent: Iterable[str], tag: str, batch: Batch, tally: Tally
) -> Iterator[Answered | Result]:
    """Exactly one result for each fingerprint in `sent`, whatever the lines hold.

    Foreign and repeated lines are counted in `tally` and left out; a request in no line is `missing`,
    or shares the fate of its batch. Plain answers come many at once, all others one by one.
    """
    claims = _Claims(sent, tag, tally)
    for chunk in _chunks(lines):
        with _uncollected():
            found = _read_chunk(workload, chunk, claims)
        yield from found
    outcome = _WITHOUT_RESULT.get(batch.status, Outcome.MISSING)
    for fingerprint in claims.left():
        yield Result(
            fingerprint=fingerprint,
            outcome=outcome,
            code=f"no_result_{outcome}",
            reason=f"batch {batch.id} ended {batch.provider_status} without a result for this request",
            transient=True,
        )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looks for cyclic garbage, which took half of the time: a chunk makes many objects and no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_chunk(workload: Workload, chunk: Sequence[bytes], claims: _Claims) -> list[Answered | Result]:
    plains = _wanted(workload, workload.provider.plain(chunk))
    others = {
        place: workload.provider.parse(chunk[place])
        for place in sorted(set(range(len(chunk))).difference(plains.places))
    }
    ids = list(plains.custom_ids)
    for place, reply in others.items():  # ascending, so that each ends up in its place
        ids.insert(place, reply.custom_id)
    prints = claims.fingerprints(ids)
    if not claims.claim_all(prints):
        firsts = [claims.claim(one) for one in prints]
        plains = plains.where([firsts[place] for place in plains.places])
        others = {place: reply for place, reply in others.items() if firsts[place]}
    found: list[Answered | Result] = [
        judge(workload, prints[place] or "", reply) for place, reply in others.items()
    ]
    found += _judge_plain(workload, plains, chunk, prints)
    return found


def _wanted(workload: Workload, plains: Plains) -> Plains:
    """None of them where a workload that asks for text was given vectors, or the other way round."""
    wants_text = workload.form.form.dimensions is None
    return (
        plains.where([False] * len(plains.places))
        if (plains.texts if wants_text else plains.vectors) is None
        else plains
    )


class _Claims:
    """Which of the requests sent have their result; counts in the tally what is not one of them."""

    def __init__(self, sent: Iterable[str], tag: str, tally: Tally) -> None:
        self._sent = list(sent)
        self._open = set(self._sent)
        self._prefix = custom_id(tag, "")
        self._tally = tally

    def fingerprints(self, custom_ids: Sequence[str]) -> list[str | None]:
        """What each id may be the fingerprint of: "" for no id at all, None for one that is none of this shard's."""
        prefix, start = self._prefix, len(self._prefix)
        return [one[start:] or None if one.startswith(prefix) else one and None for one in custom_ids]

    def claim_all(self, prints: Sequence[str | None]) -> bool:
        """True where each is another request that had no result so far; else nothing has been claimed."""
        claimed = self._open.intersection(prints)
        if len(claimed) < len(prints):
            return False
        self._open -= claimed
        return True

    def claim(self, fingerprint: str | None) -> bool:
        """Whether it is a request that had no result so far."""
        if fingerprint in self._open:
            self._open.remove(fingerprint)
            return True
        if not fingerprint:
            self._tally.unreadable += fingerprint == ""
            self._tally.foreign += fingerprint is None
        elif fingerprint in self._known:
            self._tally.repeated += 1
        else:
            self._tally.foreign += 1
        return False

    @cached_property
    def _known(self) -> set[str]:
        return set(self._sent)

    def left(self) -> list[str]:
        """The fingerprints of the requests without a result, in the order in which they were sent."""
        return [one for one in self._sent if one in self._open]


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(lines)
    held: list[bytes] = []
    size = 0
    while piece := list(islice(rest, _PIECE_ROWS)):
        held += piece
        size += sum(map(len, piece))
        if len(held) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _judge_plain(
    workload: Workload, plains: Plains, chunk: Sequence[bytes], prints: Sequence[str | None]
) -> Iterator[Answered | Result]:
    """Many plain answers as `judge` judges each; `prints` are the fingerprints of the chunk's lines."""
    if not plains.places:
        return
    texts = plains.texts
    found = _vectors(workload, plains.vectors or ()) if texts is None else workload.form.read_all(texts)
    good = plains
    if found.problems:
        good = plains.where([at not in found.problems for at in range(len(plains.places))])
    yield Answered(
        fingerprints=[prints[place] or "" for place in good.places],
        models=good.models,
        usage=good.usage,
        columns=found.columns,
    )
    for at in found.problems:
        place = plains.places[at]
        yield judge(workload, prints[place] or "", workload.provider.parse(chunk[place]))


def _vectors(workload: Workload, vectors: Sequence[bytes]) -> Answers:
    """The vectors as a column."""
    dimensions = workload.form.form.dimensions
    assert dimensions is not None, "only called for a workload that asks for vectors"
    good = [vector for vector in vectors if len(vector) == 4 * dimensions]
    problems = {at: "dimensions" for at, vector in enumerate(vectors) if len(vector) != 4 * dimensions}
    return Answers(columns=[float_vectors(b"".join(good), dimensions)], problems=problems)
