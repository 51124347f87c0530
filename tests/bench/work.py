"""What a contender is given, and what it must show for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one repetition of one contender works."""

    data: Path
    """The part's inputs, the same for all contenders; not to be written to."""
    out: Path
    """An empty folder of this repetition's own."""
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out, so that contenders can be compared: equal work has equal outcomes."""

    count: int
    """Distinct requests, or answered rows."""
    digest: str
    """Of their content, whatever their order."""


class Work(Protocol):
    """A contender's module. Only `run` is measured."""

    def prepare(self, place: Place) -> None:
        """Import what is needed and bring the inputs into place."""

    def run(self, place: Place) -> None: ...

    def outcome(self, place: Place) -> Outcome | None:
        """What came out; None from one that only shows the limit."""


def digest(items: Iterable[bytes]) -> Outcome:
    """The outcome of these items; equal ones count once, and their order does not matter."""
    seen: set[int] = set()
    for item in items:
        seen.add(int.from_bytes(hashlib.blake2b(item, digest_size=8).digest()))
    return Outcome(count=len(seen), digest=f"{sum(seen) % 2**64:016x}")
