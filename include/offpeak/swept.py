"""Swept: what a sweep found and did, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Act(StrEnum):
    """What was done, or seen."""

    HARVESTED = "harvested"  # what a batch finished is kept; the workload's next run does not ask it again
    ATTACHED = "attached"  # a batch that was found at the provider is its shard's again
    FREED = "freed"  # a shard of which nothing was made may be sent again
    RUNNING = "running"
    CANCELLED = "cancelled"  # the provider was asked to end a batch of a cancelled run
    STRAY = "stray"  # a second batch of a shard that has one
    FOREIGN = "foreign"  # made by Offpeak with another ledger; never touched
    UNPROVEN = "unproven"  # perhaps ours; the provider cannot tell before it has ended
    DELETED = "deleted"  # uploaded shard files that nothing needs any more
    STUCK = "stuck"  # could not be looked at or put right


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was found."""

    act: Act
    said: str
    run_id: str = ""
    batch_id: str = ""
    count: int = 1
    for_person: bool = False
    """Somebody has to decide or mend something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did."""

    lines: tuple[Line, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """By act."""
        found: Counter[str] = Counter()
        for line in self.lines:
            found[line.act] += line.count
        return dict(found)

    @property
    def for_person(self) -> bool:
        return any(line.for_person for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "for_person": self.for_person,
            "lines": [asdict(line) for line in self.lines],
        }
