"""Reconciling: result lines against the requests sent; every request ends in exactly one outcome."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from offpeak.arrays import flags, listed, texts
from offpeak.claims import Claims
from offpeak.memory import uncollected
from offpeak.overlap import ahead
from offpeak.providers.provider import Batch, Reply
from offpeak.results import Answered, Result, Tally, judge
from offpeak.states import BatchStatus, Outcome

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from offpeak.blocks import Block
    from offpeak.providers.plain import Plains
    from offpeak.workload import Workload

_WITHOUT_RESULT = {BatchStatus.EXPIRED: Outcome.EXPIRED, BatchStatus.CANCELLED: Outcome.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The lines of a block, as far as they are read without knowing what was sent."""

    plains: Plains
    """Answers that keep to their schema, most of all lines."""
    columns: Sequence[pa.Array]
    """What they say, as the answer's columns."""
    odd: np.ndarray
    """The places of all other lines, ascending."""
    replies: Sequence[Reply]
    """Of those, each as the provider's own reader has it."""


def reconcile(
    workload: Workload, blocks: Iterable[Block], sent: pa.Array, tag: str, batch: Batch, tally: Tally
) -> Generator[Answered | Result, None, None]:
    """Exactly one result for each fingerprint in `sent`, whatever the lines of the blocks hold.

    Foreign and repeated lines are counted in `tally` and left out; a request in no line is `missing`,
    or shares the fate of its batch. Plain answers come many at once, all others one by one.
    """
    claims = Claims(sent, tag, tally)
    for read in ahead(_read_block(workload, block) for block in blocks):
        yield from _claimed(workload, read, claims)
    outcome = _WITHOUT_RESULT.get(batch.status, Outcome.MISSING)
    for fingerprint in claims.left():
        yield Result(
            fingerprint=fingerprint,
            outcome=outcome,
            code=f"no_result_{outcome}",
            reason=f"batch {batch.id} ended {batch.provider_status} without a result for this request",
            transient=True,
        )


def _read_block(workload: Workload, block: Block) -> _Read:
    """Keeps nothing of the block: the next one is read into its buffer while this one's results are used."""
    import numpy as np

    with uncollected():  # looks took half of the time
        plains = workload.provider.plain(block, workload.form.form.dimensions)
        answers = workload.form.read_column(plains.values)
        if answers.problems:
            keeps = np.ones(len(plains.places), bool)
            keeps[list(answers.problems)] = False
            plains = plains.at(keeps)
        is_odd = np.ones(len(block), bool)
        is_odd[plains.places] = False
        odd = np.flatnonzero(is_odd)
        replies = [workload.provider.parse(block[place]) for place in odd.tolist()]
    return _Read(plains=plains, columns=answers.columns, odd=odd, replies=replies)


def _claimed(workload: Workload, read: _Read, claims: Claims) -> Iterator[Answered | Result]:
    """Of what was read, what is the first result of a request."""
    import numpy as np

    plains, columns, odd = read.plains, read.columns, read.odd
    requests = np.empty(len(plains.places) + len(odd), np.int64)
    requests[plains.places] = claims.places(plains.custom_ids)
    requests[odd] = claims.places(texts(reply.custom_id for reply in read.replies))
    firsts = claims.claim(requests)
    ours = firsts[odd]
    prints = listed(claims.fingerprints(requests[odd[ours]]))
    for fingerprint, reply in zip(prints, compress(read.replies, ours), strict=True):
        yield judge(workload, fingerprint, reply)
    kept = firsts[plains.places]
    if not kept.all():
        plains = plains.at(kept)
        columns = [column.filter(flags(kept)) for column in columns]
    yield Answered(
        fingerprints=claims.fingerprints(requests[plains.places]),
        models=plains.models,
        usage=plains.usage,
        columns=columns,
    )
