"""Reconciling: result lines against the requests sent; every request ends in exactly one outcome."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from offpeak.arrays import listed, numbers, texts
from offpeak.claims import Claims
from offpeak.providers.provider import Batch
from offpeak.results import Answered, Result, Tally, judge
from offpeak.states import BatchStatus, Outcome

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.blocks import Block
    from offpeak.providers.plain import Plains
    from offpeak.workload import Workload

_WITHOUT_RESULT = {BatchStatus.EXPIRED: Outcome.EXPIRED, BatchStatus.CANCELLED: Outcome.CANCELLED}


def reconcile(
    workload: Workload, blocks: Iterable[Block], sent: pa.Array, tag: str, batch: Batch, tally: Tally
) -> Iterator[Answered | Result]:
    """Exactly one result for each fingerprint in `sent`, whatever the lines of the blocks hold.

    Foreign and repeated lines are counted in `tally` and left out; a request in no line is `missing`,
    or shares the fate of its batch. Plain answers come many at once, all others one by one.
    """
    claims = Claims(sent, tag, tally)
    for block in blocks:
        with _uncollected():
            found = _read_block(workload, block, claims)
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
    """Without looks for cyclic garbage, which took half of the time: a block makes many objects and no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_block(workload: Workload, block: Block, claims: Claims) -> list[Answered | Result]:
    import numpy as np

    plains = workload.provider.plain(block, workload.form.form.dimensions)
    odd = np.setdiff1d(np.arange(len(block)), plains.places, assume_unique=True)
    replies = [workload.provider.parse(block[place]) for place in odd.tolist()]
    requests = np.empty(len(block), np.int64)
    requests[plains.places] = claims.places(plains.custom_ids)
    requests[odd] = claims.places(texts(reply.custom_id for reply in replies))
    firsts = claims.claim(requests)
    if not firsts.all():
        plains = plains.at(firsts[plains.places])
        replies = [reply for reply, is_first in zip(replies, firsts[odd], strict=True) if is_first]
        odd = odd[firsts[odd]]
    prints = listed(claims.fingerprints(requests[odd]))
    found: list[Answered | Result] = [
        judge(workload, fingerprint, reply) for fingerprint, reply in zip(prints, replies, strict=True)
    ]
    if len(plains.places):
        found += _judge_plain(workload, plains, block, claims.fingerprints(requests[plains.places]))
    return found


def _judge_plain(
    workload: Workload, plains: Plains, block: Block, prints: pa.Array
) -> Iterator[Answered | Result]:
    """Many plain answers as `judge` judges each; `prints` are their fingerprints."""
    import numpy as np

    found = workload.form.read_column(plains.values)
    problems = np.array(sorted(found.problems), np.int64)
    good = np.setdiff1d(np.arange(len(plains.places)), problems, assume_unique=True)
    kept = plains.at(good) if len(problems) else plains
    yield Answered(
        fingerprints=prints.take(numbers(good)) if len(problems) else prints,
        models=kept.models,
        usage=kept.usage,
        columns=found.columns,
    )
    for at in problems.tolist():
        reply = workload.provider.parse(block[plains.places[at]])
        yield judge(workload, prints[at].as_py(), reply)
