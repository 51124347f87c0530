"""How long batches last: the share that is still open after a time, from few or many past ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

TAIL_INDEX = 1.0
"""Beyond the longest past batch the share still open falls as 1/t: twice the time, half the batches."""
NOBODY_KNOWS = (timedelta(hours=1), timedelta(hours=24))
"""Half and nine tenths of the batches, when there is no past batch: the providers promise 24 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """The share of batches that is still open after each time, by Kaplan and Meier.

    A batch that was cancelled, or is still open, counts as "longer than this", never as finished: a
    history of which the slow ones were cancelled does not look quick. One batch that never ends is
    always added, so that n batches never promise more than n/(n+1).
    """

    count: int
    """Past batches that finished."""
    seconds: tuple[float, ...]
    """The moments at which batches finished, rising."""
    open_after: tuple[float, ...]
    """The share still open right after each."""

    @classmethod
    def of(cls, lasted: Iterable[tuple[float, bool]]) -> Survival:
        """From (seconds, whether it finished) of each past batch."""
        known = sorted(((max(seconds, 1.0), done) for seconds, done in lasted), key=lambda one: one[0])
        at_risk, share = len(known) + 1, 1.0
        moments: list[float] = []
        shares: list[float] = []
        for seconds, done in known:
            if done:
                share *= 1 - 1 / at_risk
                moments.append(seconds)
                shares.append(share)
            at_risk -= 1
        return cls(count=len(moments), seconds=tuple(moments), open_after=tuple(shares))

    def open_share(self, seconds: float) -> float:
        """The share of batches that is still open after `seconds`."""
        if self.seconds and seconds > self.seconds[-1]:
            return self.open_after[-1] * float((self.seconds[-1] / seconds) ** TAIL_INDEX)
        place = bisect_right(self.seconds, seconds)
        return 1.0 if place == 0 else self.open_after[place - 1]

    def quantile(self, level: float, *, lasted: float) -> float:
        """The age by which a share `level` of the batches that are open after `lasted` has finished.

        Always later than `lasted`. Beyond what history has seen it grows as its tail does: of batches
        that outlast all others, half last twice as long again.
        """
        if not self.seconds:
            return _nobody_knows(level, lasted)
        wanted = self.open_share(lasted) * (1 - level)
        if wanted < self.open_after[-1]:
            beyond: float = (self.open_after[-1] / wanted) ** (1 / TAIL_INDEX)
            return max(self.seconds[-1] * beyond, lasted)
        low, high = bisect_right(self.seconds, lasted), len(self.seconds) - 1
        while low < high:
            middle = (low + high) // 2
            if self.open_after[middle] <= wanted:
                high = middle
            else:
                low = middle + 1
        return max(self.seconds[low], lasted)


def _nobody_knows(level: float, lasted: float) -> float:
    half, most = (one.total_seconds() for one in NOBODY_KNOWS)
    if level <= 0.5:
        return max(half, lasted * 2)
    return max(most, lasted / (1 - level))
