"""Intents: what was decided about a run's due time. In its facts before anything is done, so that whoever
comes next does the rest. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offpeak.ledger.records import Run

ESCALATED = "escalated"
"""Fact: by shard number, why what its batch leaves goes to realtime, and what that costs."""
PARTIAL = "partial"
"""Fact: why what is answered is published as it is, and nothing more is asked."""


def is_escalated(run: Run, number: int) -> bool:
    """Whether what is left of this shard is to be asked in realtime. Never taken back."""
    return str(number) in run.facts.get(ESCALATED, {})


def partial_of(run: Run) -> Mapping[str, Any] | None:
    """Why the run is published with what it has, None when it is not to be."""
    found: Mapping[str, Any] | None = run.facts.get(PARTIAL)
    return found


def asks_again(run: Run) -> bool:
    """Whether a further round would be sent by anybody."""
    return not run.state.ended and partial_of(run) is None
