"""How long a batch takes: a small object that can be swapped for another distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

HALF_DAY_SECONDS = 43_200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The virtual seconds of one batch. An infinite phase is a batch that is stuck there."""

    validating_seconds: float
    running_seconds: float
    finalizing_seconds: float
    cancelling_seconds: float
    waiting_seconds: float = 0.0
    """In progress, but before the first line is done."""
    stalls_at: float = 1.0
    """The share of the lines after which nothing more is done; below 1 the batch never completes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What a batch's phases may depend on. Equal draws give equal phases."""

    seed: int
    number: int  # of the batch, from 1, counted since the emulator started or was reset
    provider: str
    requests: int
    night: int = 0  # of the batch's creation, see `night_of`


def night_of(created_at: float) -> int:
    """Days from noon to noon, UTC, since the epoch: batches of one night share its weather."""
    return int((created_at - HALF_DAY_SECONDS) // (2 * HALF_DAY_SECONDS))


class Latency(Protocol):
    """Decides the phases of a batch once, when it is created. Must be deterministic in the draw."""

    def phases(self, draw: Draw) -> Phases: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedLatency:
    """Every batch takes the same virtual time, whatever its size."""

    validating_seconds: float = 2.0
    running_seconds: float = 6.0
    finalizing_seconds: float = 2.0
    cancelling_seconds: float = 2.0

    def phases(self, draw: Draw) -> Phases:
        return Phases(
            validating_seconds=self.validating_seconds,
            running_seconds=self.running_seconds,
            finalizing_seconds=self.finalizing_seconds,
            cancelling_seconds=self.cancelling_seconds,
        )
