"""The limit: the same bytes read from the disk and split into lines, and nothing done with them."""

from __future__ import annotations

from tests.bench.answers import batches
from tests.bench.work import Outcome, Place


def prepare(place: Place) -> None:
    """Nothing is needed."""


def run(place: Place) -> None:
    for path in batches(place.data):
        with path.open("rb", buffering=1 << 20) as lines:
            for _ in lines:
                pass


def outcome(place: Place) -> Outcome | None:
    return None
