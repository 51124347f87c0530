"""The life of a batch as a pure function of the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from offpeak.emulator.latency import Phases


class Stage(Enum):
    """Where a batch stands. Each wire has its own words for these."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (Stage.FAILED, Stage.COMPLETED, Stage.EXPIRED, Stage.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """All moments of one batch. Lines finish evenly over the running phase, up to where it stalls."""

    created_at: float
    phases: Phases
    window_seconds: float
    requests: int
    invalid: bool = False
    cancelled_at: float | None = None  # when cancellation was asked for

    @property
    def in_progress_at(self) -> float:
        return self.created_at + self.phases.validating_seconds

    @property
    def working_at(self) -> float:
        """The moment from which lines are done."""
        return self.in_progress_at + self.phases.waiting_seconds

    @property
    def finalizing_at(self) -> float:
        if self.phases.stalls_at < 1:
            return math.inf
        return self.working_at + self.phases.running_seconds

    @property
    def completed_at(self) -> float:
        return self.finalizing_at + self.phases.finalizing_seconds

    @property
    def expires_at(self) -> float:
        return self.created_at + self.window_seconds

    @property
    def ended_at(self) -> float:
        """The moment the batch becomes terminal, whichever way it ends."""
        if self.cancelled_at is not None:
            return self.cancelled_at + self.phases.cancelling_seconds
        if self.invalid:
            return min(self.in_progress_at, self.expires_at)
        return self.expires_at if self.finalizing_at > self.expires_at else self.completed_at

    def stage(self, now: float) -> Stage:
        if now >= self.ended_at:
            return self._last_stage()
        if self.cancelled_at is not None and now >= self.cancelled_at:
            return Stage.CANCELLING
        if now < self.in_progress_at:
            return Stage.VALIDATING
        return Stage.IN_PROGRESS if now < self.finalizing_at else Stage.FINALIZING

    def finished(self, now: float) -> int:
        """How many lines are done by `now`; none is done after the expiry or the cancellation."""
        until = min(now, self.expires_at, math.inf if self.cancelled_at is None else self.cancelled_at)
        if self.invalid or until < self.working_at:
            return 0
        if until >= self.finalizing_at:
            return self.requests
        most, running = self.requests * self.phases.stalls_at, self.phases.running_seconds
        if running <= 0:
            return int(most)
        return int(min(most, self.requests * (until - self.working_at) / running))

    def _last_stage(self) -> Stage:
        if self.cancelled_at is not None:
            return Stage.CANCELLED
        if self.invalid:
            return Stage.FAILED
        return Stage.EXPIRED if self.finalizing_at > self.expires_at else Stage.COMPLETED
