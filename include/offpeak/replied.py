"""Replied: what was answered in realtime as results; every request ends in exactly one outcome."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from offpeak.providers.provider import Reply
from offpeak.requests import read_custom_id
from offpeak.results import Result, judge
from offpeak.states import Outcome

if TYPE_CHECKING:
    from offpeak.workload import Workload

NOT_ASKED = "not_asked"
"""The code of a request that the run ended, or was published, before."""


def replied(
    workload: Workload, found: Iterable[Reply], sent: Iterable[str], tag: str
) -> Generator[Result, None, None]:
    """Exactly one result for each fingerprint in `sent`: its first reply, or `cancelled` where there is none."""
    left = dict.fromkeys(sent)
    for reply in found:
        fingerprint = read_custom_id(reply.custom_id, tag)
        if fingerprint in left:
            del left[fingerprint]
            yield judge(workload, fingerprint, reply)
    for fingerprint in left:
        yield Result(
            fingerprint=fingerprint,
            outcome=Outcome.CANCELLED,
            code=NOT_ASKED,
            reason="the run ended, or was published, before this request was asked; the next run asks it",
            transient=True,
        )
