"""The canary: when something new is asked of many rows, a small first batch goes ahead of the rest.

And the rule by which a shard whose rows all failed alike stops the run before the others are paid for.
Pure decisions; advance.py acts on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from offpeak.states import Outcome

if TYPE_CHECKING:
    from offpeak.results import Tally

REQUESTS = 50
"""In a canary shard, unless the workload says otherwise."""
FROM_REQUESTS = 10_000
"""A run that asks fewer goes without a canary: it would cost more time than money."""
ALIKE_FROM = 20
"""Fewer rows than this can fail alike by chance."""
SHARD = 1
"""The canary's number."""
_NOT_A_FAULT = {Outcome.EXPIRED, Outcome.CANCELLED, Outcome.MISSING}


def canary_requests(wanted: int | None, *, asked: int, is_new: bool) -> int | None:
    """Requests of the canary shard, or None for none. `wanted` is the workload's own word: 0 for never."""
    if wanted == 0 or not is_new:
        return None
    if wanted is not None:
        return wanted if asked > wanted else None
    return REQUESTS if asked >= FROM_REQUESTS else None


def failed_alike(tally: Tally, requests: int) -> str | None:
    """How every one of a shard's requests failed, in words, or None when they did not fail alike."""
    outcomes = {Outcome(name): count for name, count in tally.outcomes.items() if count}
    if requests < ALIKE_FROM or len(outcomes) != 1:
        return None
    outcome = next(iter(outcomes))
    if outcome is Outcome.ANSWERED or outcome in _NOT_A_FAULT or not _same_reason(tally.codes):
        return None
    reason = tally.sample_reason[:300] or "no reason was given"
    return f"all {requests:,} rows ended {outcome} in the same way, e.g.: {reason}"


def _same_reason(codes: Mapping[str, int]) -> bool:
    return len(codes) == 1
