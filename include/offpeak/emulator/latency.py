"""How long a batch takes: a small object that can be swapped for another distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The virtual seconds of one batch. An infinite phase is a batch that is stuck there."""

    validating_seconds: float
    running_seconds: float
    finalizing_seconds: float
    cancelling_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What a batch's phases may depend on. Equal draws give equal phases."""

    seed: int
    number: int  # of the batch, from 1, counted since the emulator started or was reset
    provider: str
    requests: int


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
