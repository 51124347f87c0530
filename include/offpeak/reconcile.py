"""Reconciling: result lines against the requests sent; every request ends in exactly one outcome."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from offpeak.answer import Answers
from offpeak.providers.provider import Batch
from offpeak.results import USAGE, Answered, Result, Tally, judge
from offpeak.states import BatchStatus, Outcome

if TYPE_CHECKING:
    from offpeak.providers.plain import Plain
    from offpeak.workload import Workload

CHUNK_ROWS = 4_096
CHUNK_BYTES = 8 * 1024 * 1024
"""Of lines that are read at once."""

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
    found: list[Answered | Result] = []
    plains, firsts = [], []
    for line, plain in zip(chunk, workload.provider.plain(chunk), strict=True):
        if plain is None:
            reply = workload.provider.parse(line)
            if (fingerprint := claims.claim(reply.custom_id)) is not None:
                found.append(judge(workload, fingerprint, reply))
        elif (fingerprint := claims.claim(plain.custom_id)) is not None:
            plains.append(plain)
            firsts.append((fingerprint, line))
    found += _judge_plain(workload, plains, firsts)
    return found


class _Claims:
    """Which of the requests sent have their result; counts in the tally what is not one of them."""

    def __init__(self, sent: Iterable[str], tag: str, tally: Tally) -> None:
        self._has_result = dict.fromkeys((f"{tag}-{fingerprint}" for fingerprint in sent), False)
        self._tag = tag
        self._tally = tally

    def claim(self, custom_id: str) -> str | None:
        """The fingerprint of a request that had no result so far."""
        has = self._has_result.get(custom_id)
        if has is False:
            self._has_result[custom_id] = True
            return custom_id[len(self._tag) + 1 :]
        if not custom_id:
            self._tally.unreadable += 1
        elif has is None:
            self._tally.foreign += 1
        else:
            self._tally.repeated += 1
        return None

    def left(self) -> list[str]:
        return [name[len(self._tag) + 1 :] for name, has in self._has_result.items() if not has]


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if len(held) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _judge_plain(
    workload: Workload, plains: Sequence[Plain], firsts: Sequence[tuple[str, bytes]]
) -> Iterator[Answered | Result]:
    """Many plain answers as `judge` judges each."""
    import numpy as np

    if not plains:
        return
    found = _vectors(workload, plains) or workload.form.read_all([plain.text for plain in plains])
    good = [place for place in range(len(plains)) if place not in found.problems]
    yield Answered(
        fingerprints=[firsts[place][0] for place in good],
        models=[plains[place].model for place in good],
        usage=np.fromiter(
            chain.from_iterable(plains[place].usage for place in good), np.int64, len(good) * len(USAGE)
        ).reshape(-1, len(USAGE)),
        columns=found.columns,
    )
    for place in found.problems:
        fingerprint, line = firsts[place]
        yield judge(workload, fingerprint, workload.provider.parse(line))


def _vectors(workload: Workload, plains: Sequence[Plain]) -> Answers | None:
    """The vectors as a column, None for a workload that asks for text."""
    dimensions = workload.form.form.dimensions
    if dimensions is None:
        return None
    import pyarrow as pa

    given = [plain.vector or b"" for plain in plains]
    good = [vector for vector in given if len(vector) == 4 * dimensions]
    problems = {place: "dimensions" for place, vector in enumerate(given) if len(vector) != 4 * dimensions}
    floats = pa.Array.from_buffers(pa.float32(), dimensions * len(good), [None, pa.py_buffer(b"".join(good))])
    return Answers(columns=[pa.FixedSizeListArray.from_arrays(floats, dimensions)], problems=problems)
