"""Places in two files, of 700 and 9 rows, with one of none between them: what rows and vectors are taken from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

Place = tuple[int, int]
"""File and row; -1 for none."""

_PLACES = st.one_of(
    st.tuples(st.just(0), st.integers(0, 699)), st.tuples(st.just(2), st.integers(0, 8)), st.just((-1, -1))
)
_RUNS = st.tuples(st.just(0), st.integers(0, 600), st.integers(1, 99)).map(
    lambda run: [(run[0], run[1] + n) for n in range(run[2])]
)
TAKES = st.lists(st.lists(_PLACES.map(lambda place: [place]) | _RUNS, max_size=6), max_size=3)
"""Several takes, each of several runs of places."""


def taken(
    take: Callable[[np.ndarray, np.ndarray], Any], takes: list[list[list[Place]]]
) -> Iterator[tuple[list[Place], Any]]:
    """Each take's places and what came. All are there at once: in a run one is written while the next is made."""
    flat = [[place for run in runs for place in run] for runs in takes]
    pairs = [np.array(places, np.int64).reshape(-1, 2) for places in flat]
    found = [take(one[:, 0], one[:, 1]) for one in pairs]
    yield from zip(flat, found, strict=True)
