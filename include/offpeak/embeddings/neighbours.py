"""Neighbourhoods: whether texts that were near each other before are near each other now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

SAMPLE = 5_000
"""So many texts are held at most of each side: those of the smallest hashes, so both sides pick the same."""
PROBES = 100
NEAREST = 10


class Sample(NamedTuple):
    """Texts by their hash, in its order, each once, with their vectors."""

    hashes: np.ndarray[Any, Any]
    vectors: np.ndarray[Any, Any]


class Overlaps(NamedTuple):
    compared: int
    """Texts that both sides have."""
    probes: list[str]
    overlap: list[float]
    """Of each probe: the share of its ten nearest that are the same on both sides."""


def sampled(batches: Iterable[tuple[list[str], np.ndarray[Any, Any]]], size: int = SAMPLE) -> Sample:
    """The `size` texts with the smallest hashes. Holds about twice as many."""
    import numpy as np

    hashes, vectors = np.empty(0, np.uint64), np.empty((0, 0), np.float32)
    for texts, numbers in batches:
        made = np.array([_hash(text) for text in texts], np.uint64)
        there = np.concatenate([hashes, made])
        rows = np.concatenate([vectors, numbers]) if len(hashes) else numbers
        hashes, first = np.unique(there, return_index=True)
        hashes, vectors = hashes[:size], rows[first[:size]]
    return Sample(hashes, vectors)


def overlaps(before: Sample, now: Sample) -> Overlaps:
    """Each side's neighbours are sought among the texts that both have, by cosine."""
    import numpy as np

    shared, left, right = np.intersect1d(before.hashes, now.hashes, assume_unique=True, return_indices=True)
    if len(shared) <= 1:
        return Overlaps(len(shared), [], [])
    nearest = min(NEAREST, len(shared) - 1)
    old, new = _nearest(before.vectors[left], nearest), _nearest(now.vectors[right], nearest)
    shares = [len(set(a) & set(b)) / nearest for a, b in zip(old.tolist(), new.tolist(), strict=True)]
    return Overlaps(len(shared), [f"{one:016x}" for one in shared[:PROBES].tolist()], shares)


def _nearest(vectors: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """The places of the nearest to each of the first vectors, without itself."""
    import numpy as np

    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.nan_to_num(vectors / np.where(length > 0, length, 1.0))
    probes = unit[:PROBES]
    scores = probes @ unit.T
    scores[np.arange(len(probes)), np.arange(len(probes))] = -np.inf
    return np.argpartition(-scores, count - 1, axis=1)[:, :count]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b((text or "").encode(), digest_size=8).digest(), "big")
