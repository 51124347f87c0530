"""Stability: a fixed sample asked twice in every interval, so that drift of a model can be told from its noise.

Two answers of one night differ by noise alone. An answer of tonight and one of an earlier night differ by noise, and
by drift if there is any. The drift is how much more the second kind differs: over the cases of the sample, with an
interval. It is 0 for a model that stays what it was, however noisy it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.evals.bounds import Estimate, bootstrap
from offpeak.evals.cases import KEY, NIGHT, SAMPLE, split_key
from offpeak.states import Outcome
from offpeak.tables.table import PROVENANCE

if TYPE_CHECKING:
    from offpeak.evals.scorers import Scorer

Seen = Mapping[str, tuple[Hashable, ...]]
"""By case, what the deciding scorer saw in each of the night's answers; None for an answer that is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How a night compares with itself and with the one before it."""

    cases: int
    noise: Estimate
    """The share of cases whose two answers of tonight differ."""
    flips: Estimate | None = None
    """The share of answers that differ from the earlier night's; None when there was none."""
    drift: Estimate | None = None
    """How much more answers differ between the nights than within them."""
    against: str = ""
    """The earlier night's interval."""

    @property
    def drifted(self) -> bool:
        """Whether it is sure that the model changed."""
        return self.drift is not None and self.drift.low > 0


def stability(
    tonight: Seen, before: Seen | None = None, *, against: str = "", alpha: float
) -> Stability | None:
    """None when nothing was asked again."""
    import numpy as np

    both = {case: seen for case, seen in tonight.items() if len(seen) > 1}
    if not both:
        return None
    noise = _rate([_within(seen) for seen in both.values()], alpha)
    shared = [case for case in both if before is not None and len(before.get(case, ())) > 1]
    if before is None or not shared:
        return Stability(cases=len(both), noise=noise)
    across = np.array([_across(both[case], before[case]) for case in shared])
    within = np.array([(_within(both[case]) + _within(before[case])) / 2 for case in shared])
    return Stability(
        cases=len(both),
        noise=noise,
        flips=_rate(across.tolist(), alpha),
        drift=bootstrap(across - within, alpha=alpha),
        against=against,
    )


def _rate(shares: list[float], alpha: float) -> Estimate:
    import numpy as np

    from offpeak.evals.compare import estimated

    return estimated(np.array(shares, np.float64), alpha=alpha)


def _within(seen: tuple[Hashable, ...]) -> float:
    return float(seen[0] != seen[1])


def _across(one: tuple[Hashable, ...], other: tuple[Hashable, ...]) -> float:
    pairs = [a != b for a in one for b in other]
    return sum(pairs) / len(pairs)


def seen_in(path: Path, scorer: Scorer) -> Seen:
    """What the scorer sees in an earlier night's answers. Empty when that night had other columns."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    own = {KEY, "eval_case", SAMPLE, *(name for name, _ in PROVENANCE)}
    answer = [name for name in file.schema_arrow.names if name not in own]
    if scorer.column and scorer.column not in answer:
        return {}
    found: dict[str, list[Hashable]] = {}
    for batch in file.iter_batches(columns=[KEY, "_outcome", *answer]):
        for row in batch.to_pylist():
            case, sample = split_key(row[KEY])
            if sample.startswith(NIGHT):
                there = row["_outcome"] == Outcome.ANSWERED
                seen = scorer.seen({name: row[name] for name in answer}) if there else None
                found.setdefault(case, []).append(seen)
    return {case: tuple(seen) for case, seen in found.items()}
