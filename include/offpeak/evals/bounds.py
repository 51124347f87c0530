"""Confidence intervals and tests over cases. Pure functions of counts and arrays; every draw has a fixed seed.

A rate has Wilson's interval, the difference of two rates on the same cases Tango's, a mean of graded scores the
expanded percentile bootstrap. Each is compared with its closed form, and its coverage counted, in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

SEED = 20_261_122
DRAWS = 2_000
MOST_VALUES = 64
_CHUNK_CELLS = 2_000_000
"""Drawn at once, so that memory does not grow with cases times draws."""


class Estimate(NamedTuple):
    """A number, the interval that it is in, and the cases that it rests on."""

    value: float
    low: float
    high: float
    cases: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def z_of(alpha: float) -> float:
    """The normal quantile of a two-sided interval that misses with probability `alpha`."""
    return NormalDist().inv_cdf(1 - alpha / 2)


def t_of(alpha: float, freedom: int) -> float:
    """Student's quantile of a two-sided interval, to about three decimals from 3 degrees of freedom on."""
    z, v = z_of(alpha), float(max(freedom, 1))
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / v**power for power, term in enumerate(terms, 1))


def wilson(right: int, cases: int, *, alpha: float) -> Estimate:
    """The share `right / cases` with Wilson's score interval; 0 to 1 when there are no cases."""
    if not cases:
        return Estimate(0.0, 0.0, 1.0, 0)
    z, share = z_of(alpha), right / cases
    middle = (share + z * z / (2 * cases)) / (1 + z * z / cases)
    half = z / (1 + z * z / cases) * math.sqrt(share * (1 - share) / cases + z * z / (4 * cases * cases))
    low = 0.0 if right == 0 else max(0.0, middle - half)
    high = 1.0 if right == cases else min(1.0, middle + half)
    return Estimate(share, low, high, cases)


def tango(better: int, worse: int, cases: int, *, alpha: float) -> Estimate:
    """`(better - worse) / cases` with Tango's score interval for rates on the same cases.

    Where no case differs it is still as wide as `cases` allows: ten equal answers prove little.
    """
    if not cases:
        return Estimate(0.0, -1.0, 1.0, 0)
    z = z_of(alpha)

    def distance(delta: float) -> float:
        spread = cases * (2 * _worse_share(better, worse, cases, delta) + delta * (1 - delta))
        return (
            (better - worse - cases * delta) / math.sqrt(spread) if spread > 0 else math.inf * (-delta or 1)
        )

    value = (better - worse) / cases
    low = _root(lambda delta: distance(delta) > z, -1.0, value)
    high = _root(lambda delta: distance(delta) > -z, value, 1.0)
    return Estimate(value, low, high, cases)


def _worse_share(better: int, worse: int, cases: int, delta: float) -> float:
    """The likeliest share of cases that are worse, if the difference were `delta`."""
    b = -better - worse + (2 * cases - better + worse) * delta
    c = -worse * delta * (1 - delta)
    return (math.sqrt(max(b * b - 8 * cases * c, 0.0)) - b) / (4 * cases)


def _root(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Where a falling condition ends, between two points."""
    for _ in range(60):
        middle = (low + high) / 2
        if is_below(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def mcnemar(better: int, worse: int) -> float:
    """The two-sided mid-p value of McNemar's test: how likely so uneven a split is if neither is better."""
    split = better + worse
    if not split:
        return 1.0
    fewer = min(better, worse)
    logs = [_log_choose(split, k) - split * math.log(2) for k in range(fewer + 1)]
    below = sum(math.exp(one) for one in logs[:-1])
    return min(1.0, 2 * (below + 0.5 * math.exp(logs[-1])))


def _log_choose(of: int, some: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(some + 1) - math.lgamma(of - some + 1)


def bootstrap(scores: Scores, *, alpha: float, seed: int = SEED) -> Estimate:
    """The mean of one score per case with the expanded percentile interval; cases are drawn, not answers.

    Never narrower than what as many cases without any spread would leave open (see `least_half_width`).
    """
    import numpy as np

    cases = len(scores)
    if cases == 0:
        return Estimate(0.0, -1.0, 1.0, 0)
    value = float(scores.mean())
    if cases == 1 or float(scores.std()) == 0.0:
        low = high = value
    else:
        wider = NormalDist().cdf(-math.sqrt(cases / (cases - 1)) * t_of(alpha, cases - 1))
        low, high = (float(q) for q in np.quantile(_means(scores, seed), (wider, 1 - wider)))
    least = least_half_width(cases, alpha=alpha)
    return Estimate(value, min(low, value - least), max(high, value + least), cases)


def least_half_width(cases: int, *, alpha: float) -> float:
    """What Tango's interval leaves open on either side when not one of so many cases differs."""
    z = z_of(alpha)
    return z * z / (cases + z * z)


def _means(scores: Scores, seed: int) -> Scores:
    """Means of DRAWS samples of the cases. Where many cases have one score, how many of each are drawn is enough."""
    import numpy as np

    chance = np.random.default_rng(seed)
    values, counts = np.unique(scores, return_counts=True)
    cases, made = len(scores), []
    if len(values) <= MOST_VALUES:
        return chance.multinomial(cases, counts / cases, DRAWS) @ values / cases
    at_once = max(1, min(DRAWS, _CHUNK_CELLS // cases))
    for start in range(0, DRAWS, at_once):
        rows = min(at_once, DRAWS - start)
        made.append(scores[chance.integers(0, cases, (rows, cases), dtype=np.int32)].mean(axis=1))
    return np.concatenate(made)


def sign_flips(differences: Scores, *, seed: int = SEED) -> float:
    """The two-sided p value of a mean difference: how often as large a one comes of signs drawn by chance."""
    import numpy as np

    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    chance = np.random.default_rng(seed)
    seen, as_far, at_once = abs(float(moved.sum())), 0, max(1, min(DRAWS, _CHUNK_CELLS // len(moved)))
    for start in range(0, DRAWS, at_once):
        rows = min(at_once, DRAWS - start)
        signs = 2.0 * chance.integers(0, 2, (rows, len(moved)), dtype=np.int8) - 1.0
        as_far += int((np.abs(signs @ moved) >= seen - 1e-9).sum())
    return (1 + as_far) / (1 + DRAWS)


def holm(p_values: list[float], *, alpha: float) -> list[bool]:
    """Which of several tests stand when all of them together may be wrong with probability `alpha`."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    stands = [False] * len(p_values)
    for rank, at in enumerate(order):
        if p_values[at] > alpha / (len(p_values) - rank):
            break
        stands[at] = True
    return stands
