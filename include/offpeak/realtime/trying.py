"""Trying again: what a request that was not answered does next. Pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from offpeak.errors import OutcomeUnknown, ProviderBusy
from offpeak.patience import patience
from offpeak.providers.failures import asked_too_fast
from offpeak.providers.provider import Reply
from offpeak.states import Outcome

TRIES = 5
"""Of one request that the provider fails to answer (5xx, conflict, no connection)."""
UNKNOWN_TRIES = 3
"""Of one request whose answer was lost: each of them may have been billed."""
WAITS = 20
"""How often one request is declined for the pace before it is given up: others got through meanwhile."""
LONGEST_BACKOFF_SECONDS = 30.0
HOLD = timedelta(minutes=1)
"""A wish of the provider that is longer is not waited for by a worker: the shard is let go until then."""
STARVED = timedelta(minutes=3)
"""Without any answer for so long, the shard is let go, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """What happened to one request so far."""

    failed: int = 0
    unknown: int = 0
    declined: int = 0
    """For the pace of all."""

    def after(self, error: ProviderBusy | OutcomeUnknown) -> Tries:
        if isinstance(error, OutcomeUnknown):
            return replace(self, unknown=self.unknown + 1, failed=self.failed + 1)
        if asked_too_fast(error.code):
            return replace(self, declined=self.declined + 1)
        return replace(self, failed=self.failed + 1)

    @property
    def used_up(self) -> bool:
        return self.failed >= TRIES or self.unknown >= UNKNOWN_TRIES or self.declined >= WAITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How long to wait, and who: every request of the shard, or only the one that failed."""

    seconds: float
    everybody: bool

    @property
    def too_long(self) -> bool:
        return self.seconds > HOLD.total_seconds()


def pause_after(
    error: ProviderBusy | OutcomeUnknown, tries: Tries, *, left: timedelta | None, draw: float
) -> Pause:
    """The pause before the next try. A time that the provider names is heeded by everybody (see patience.py
    for wishes that are too long); `left` until the due time; `draw` is uniform in [0, 1)."""
    rounds = min(max(tries.failed, tries.declined) - 1, 10)
    backoff = min(float(2**rounds), LONGEST_BACKOFF_SECONDS) * (0.75 + draw / 2)
    if isinstance(error, OutcomeUnknown):
        return Pause(seconds=backoff, everybody=False)
    wish = patience(error.retry_after_seconds, otherwise=timedelta(seconds=backoff), left=left)
    everybody = error.retry_after_seconds is not None or asked_too_fast(error.code)
    return Pause(seconds=wish.pause.total_seconds(), everybody=everybody)


def given_up(custom_id: str, error: ProviderBusy | OutcomeUnknown, tries: Tries) -> Reply:
    """The reply of a request that is not tried again now; the next round may."""
    times = tries.failed + tries.declined
    return Reply(
        custom_id=custom_id,
        outcome=Outcome.ERRORED,
        code=getattr(error, "code", "") or "outcome_unknown",
        message=f"not answered in {times} tries; the last one: {error}",
        transient=True,
    )
