"""The comparison: each candidate's score with its interval, and its difference to the baseline on the same cases."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offpeak.evals.bounds import Estimate, bootstrap, holm, mcnemar, sign_flips, tango, wilson

if TYPE_CHECKING:
    from offpeak.evals.bounds import Scores
    from offpeak.evals.scoring import Cases, Scored

MOST_SLICE_VALUES = 12
LEAST_SLICE_CASES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One metric of one candidate, over all cases or over a slice of them."""

    metric: str
    score: Estimate
    baseline: Estimate
    difference: Estimate
    """On the cases that both were asked."""
    better: int
    worse: int
    """Cases whose score is above, and below, the baseline's."""
    p_value: float
    method: str
    """How the interval and the p value were made, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sliced:
    """The deciding metric on the cases with one value of a column."""

    column: str
    value: str
    compared: Compared
    stands: bool = False
    """Whether it differs even when all slices that were looked at are counted (Holm)."""


def compared(metric: str, found: Scored, baseline: Scored, *, alpha: float) -> Compared:
    """Over all cases."""
    return _compared(metric, found.scores[metric], baseline.scores[metric], alpha)


def _compared(metric: str, ours: Scores, theirs: Scores, alpha: float) -> Compared:
    import numpy as np

    both = ~(np.isnan(ours) | np.isnan(theirs))
    differences = ours[both] - theirs[both]
    better, worse = int((differences > 1e-12).sum()), int((differences < -1e-12).sum())
    binary = _is_binary(ours[both]) and _is_binary(theirs[both])
    return Compared(
        metric=metric,
        score=estimated(ours, alpha=alpha),
        baseline=estimated(theirs, alpha=alpha),
        difference=tango(better, worse, len(differences), alpha=alpha)
        if binary
        else bootstrap(differences, alpha=alpha),
        better=better,
        worse=worse,
        p_value=mcnemar(better, worse) if binary else sign_flips(differences),
        method="Tango's interval and McNemar's test (mid-p)"
        if binary
        else "paired bootstrap over cases and sign flips",
    )


def estimated(scores: Scores, *, alpha: float) -> Estimate:
    """The mean over cases: Wilson's interval where every case is right or wrong, else the bootstrap's."""
    import numpy as np

    asked = scores[~np.isnan(scores)]
    if _is_binary(asked):
        return wilson(round(float(asked.sum())), len(asked), alpha=alpha)
    found = bootstrap(asked, alpha=alpha)
    return found._replace(low=max(0.0, found.low), high=min(1.0, found.high))


def _is_binary(scores: Scores) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())


def sliced(metric: str, found: Scored, baseline: Scored, cases: Cases, *, alpha: float) -> tuple[Sliced, ...]:
    """Each slice column's commonest values; those that stand when all of them are counted are marked."""
    import numpy as np

    made = []
    for column, values in cases.slices.items():
        every = np.array(values, dtype=object)
        for value, count in Counter(values).most_common(MOST_SLICE_VALUES):
            if count < LEAST_SLICE_CASES:
                continue
            here = every == value
            one = _compared(metric, found.scores[metric][here], baseline.scores[metric][here], alpha)
            made.append(Sliced(column=column, value=value, compared=one))
    stands = holm([one.compared.p_value for one in made], alpha=alpha)
    return tuple(replace(one, stands=stand) for one, stand in zip(made, stands, strict=True))


def regressions(metric: str, found: Scored, baseline: Scored, *, count: int) -> list[int]:
    """Places of the cases that lost most, the worst first; ties in the order of the cases."""
    import numpy as np

    losses = np.nan_to_num(baseline.scores[metric] - found.scores[metric], nan=0.0)
    order = np.argsort(-losses, kind="stable")[:count]
    return [int(place) for place in order if losses[place] > 1e-12]
