"""Claims: which of the requests sent have their result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offpeak.arrays import listed, offsets_of, positions
from offpeak.requests import custom_id
from offpeak.results import Tally

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FOREIGN, NAMELESS = -1, -2
"""Places of an id that is none of this shard's, and of no id at all."""
_ODD = 0x9E3779B97F4A7C15


class Claims:
    """Each request has one result: the first that claims it. Counts in the tally what is not one of them."""

    def __init__(self, sent: pa.Array, tag: str, tally: Tally) -> None:
        import numpy as np

        self._sent = sent
        self._prefix = custom_id(tag, "").encode()
        self._open = np.ones(len(sent), bool)
        self._tally = tally
        self._bytes = np.diff(offsets_of(sent))
        self._longest = int(self._bytes.max(initial=0))
        _, names = _behind(b"", sent, self._longest)
        keys = _mixed(names)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._names = names[self._order]
        self._are_mixed = not (np.diff(self._keys) == 0).any()
        if not self._are_mixed:
            self._order = np.argsort(names, kind="stable")
            self._keys = self._names = names[self._order]
        self._bytes = self._bytes[self._order]

    def places(self, custom_ids: pa.Array) -> np.ndarray:
        """Which of the requests each id names, counted from 0; FOREIGN or NAMELESS for one that names none."""
        import numpy as np

        sizes = np.diff(offsets_of(custom_ids))
        ours, names = _behind(self._prefix, custom_ids, self._longest)
        found = np.full(len(sizes), FOREIGN, np.int64)
        found[sizes == 0] = NAMELESS
        if not len(self._names) or not len(sizes):
            return found
        keys = _mixed(names) if self._are_mixed else names
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._names) - 1)
        # numpy's bytes end where nothing but NUL follows: the length tells them from a name that has these too
        ours &= (self._names[at] == names) & (self._bytes[at] == sizes - len(self._prefix))
        found[ours] = self._order[at[ours]]
        return found

    def claim(self, places: np.ndarray) -> np.ndarray:
        """A bool for each place, in the order of the lines: whether it is a request that had no result so far."""
        import numpy as np

        if (places >= 0).all() and self._open[places].all():
            before = np.count_nonzero(self._open)
            self._open[places] = False
            if before - np.count_nonzero(self._open) == len(places):
                return np.ones(len(places), bool)
            self._open[places] = True  # one is there twice
        return np.array([self._claimed(place) for place in places.tolist()], bool)

    def fingerprints(self, places: np.ndarray) -> pa.Array:
        """Of the requests at these places, as strings."""
        return self._sent.take(positions(places))

    def left(self) -> list[str]:
        """The fingerprints of the requests without a result, in the order in which they were sent."""
        return listed(self.fingerprints(self._open.nonzero()[0]))

    def _claimed(self, place: int) -> bool:
        if place >= 0 and self._open[place]:
            self._open[place] = False
            return True
        self._tally.unreadable += place == NAMELESS
        self._tally.foreign += place == FOREIGN
        self._tally.repeated += place >= 0
        return False


def _behind(prefix: bytes, names: pa.Array, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the names begin so, and what follows in each, as numpy's bytes; b"" if that is longer than `longest`."""
    import numpy as np

    start, offsets = len(prefix), offsets_of(names)
    sizes = np.diff(offsets)
    if len(sizes) and start < sizes[0] <= start + longest and (sizes == sizes[0]).all():
        width = int(sizes[0])
        whole = np.frombuffer(names.buffers()[2], np.uint8, width * len(sizes), int(offsets[0]))
        rows = whole.reshape(len(sizes), width)
        begin_so = (rows[:, :start] == np.frombuffer(prefix, np.uint8)).all(axis=1)
        return begin_so, np.ascontiguousarray(rows[:, start:]).view((np.bytes_, width - start)).ravel()
    raw = [one.encode() for one in listed(names)]
    begin_so = np.array([one.startswith(prefix) for one in raw], bool)
    # numpy gives each the room of the longest: one that is nobody's must not make all of them large
    return begin_so, np.array([one[start:] if len(one) <= start + longest else b"" for one in raw], np.bytes_)


def _mixed(names: np.ndarray) -> np.ndarray:
    """A number of 64 bits for each of the names, numpy's bytes; whatever room an array has, the same for a name."""
    import numpy as np

    words = -(-names.dtype.itemsize // 8)
    whole = np.ascontiguousarray(names.astype((np.bytes_, 8 * words))).view("<u8").reshape(len(names), words)
    mixed = np.zeros(len(names), np.uint64)
    for place in range(words):
        mixed += whole[:, place] * np.uint64(pow(_ODD, place + 1, 2**64))
    return mixed
