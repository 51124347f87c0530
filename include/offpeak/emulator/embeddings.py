"""Embeddings: hashed words and character grams, so that near texts get near vectors."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from offpeak.emulator import text as reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_DIMENSIONS = 1_536
DIMENSIONS = {
    "text-embedding-3-large": 3_072,
    "text-embedding-3-small": 1_536,
    "text-embedding-ada-002": 1_536,
}
WORD_WEIGHT, STOP_WEIGHT, GRAM_WEIGHT = 1.0, 0.15, 0.25


def vector(text: str, dimensions: int) -> NDArray[np.float32]:
    """A unit vector of `dimensions` float32; equal texts give equal bytes."""
    import numpy as np

    found = np.zeros(dimensions, dtype=np.float32)
    features = [feature for word in reading.words(text) for feature in _features(word)]
    if not features:
        features = [(zlib.crc32(text.encode("utf-8", "surrogatepass")), 1.0)]
    hashes = np.array([hashed for hashed, _ in features], dtype=np.int64)
    weights = np.array([weight for _, weight in features], dtype=np.float32)
    signs = np.where(hashes & 0x8000_0000, -1.0, 1.0).astype(np.float32)
    np.add.at(found, hashes % dimensions, weights * signs)
    length = float(np.linalg.norm(found))
    if length == 0.0:  # every feature met its opposite in the same place
        found[hashes[0] % dimensions] = length = 1.0
    return found / np.float32(length)


@lru_cache(maxsize=65_536)
def _features(word: str) -> tuple[tuple[int, float], ...]:
    stemmed = reading.stem(word)
    weight = STOP_WEIGHT if word in reading.STOP_WORDS else WORD_WEIGHT
    found = [(zlib.crc32(b"w" + stemmed.encode()), weight)]
    found += [
        (zlib.crc32(b"g" + gram.encode()), weight * GRAM_WEIGHT) for gram in sorted(reading.grams(stemmed))
    ]
    return tuple(found)
