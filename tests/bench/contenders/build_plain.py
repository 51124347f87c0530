"""The limit: as many bytes as Offpeak's shards have, written from memory in pieces of 1 MB."""

from __future__ import annotations

from tests.bench.work import Outcome, Place

PIECE_BYTES = 1 << 20


def prepare(place: Place) -> None:
    """Nothing: the pieces are read before the first write."""


def run(place: Place) -> None:
    for path in sorted((place.data / "written").glob("*.jsonl")):
        with path.open("rb") as source:
            piece = source.read(PIECE_BYTES)
        left = path.stat().st_size
        with (place.out / path.name).open("wb", buffering=0) as target:
            while left > 0:
                left -= target.write(piece[:left])


def outcome(place: Place) -> Outcome | None:
    return None
