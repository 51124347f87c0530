"""Scores: what each candidate's answers are worth, as arrays over cases and samples. Answers are streamed, not held."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.errors import InputError
from offpeak.evals.cases import CASE, KEY, NIGHT, SAMPLE, split_key
from offpeak.evals.judge import METRIC, Judged
from offpeak.evals.reading import text_of
from offpeak.states import Outcome
from offpeak.tables.table import PROVENANCE

if TYPE_CHECKING:
    from offpeak.evals.bounds import Scores
    from offpeak.evals.scorers import Scorer
    from offpeak.evals.suite import EvalSuite
    from offpeak.evals.vectors import Vectors

LOST = (Outcome.ERRORED, Outcome.EXPIRED, Outcome.CANCELLED, Outcome.MISSING)
"""Outcomes that say nothing about the candidate: the provider gave no answer."""
_PROVENANCE = tuple(name for name, _ in PROVENANCE if name in ("_outcome", "_model"))
_BATCH_ROWS = 4_096
_ANSWERED = ""
"""Beside the metrics: 1 for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """The cases of one evaluation, in the order in which they were first seen."""

    places: dict[str, int] = field(default_factory=dict)
    slices: dict[str, list[str]] = field(default_factory=dict)
    """By slice column, the value of each case as text."""
    prints: list[int] = field(default_factory=list)
    """A hash of each case's content, by place: cases may change while a suite runs."""
    changed: set[int] = field(default_factory=set)
    """Places of cases that were not the same for all candidates."""

    def __len__(self) -> int:
        return len(self.places)

    def place(self, key: str, case: str, row: Mapping[str, Any]) -> int:
        """The place of a case, new or known."""
        made = hash_of(case)
        place = self.places.setdefault(key, len(self.places))
        if place == len(self.prints):
            self.prints.append(made)
            for name, values in self.slices.items():
                values.append(text_of(row.get(name)))
        elif self.prints[place] != made:
            self.changed.add(place)
        return place


def hash_of(case: str) -> int:
    return zlib.crc32(case.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One candidate's scores. A case that has no answer scores 0; one that was never asked is NaN."""

    candidate: str
    scores: dict[str, Scores]
    """By metric, the mean over the samples of each case."""
    answered: Scores
    """The share of the samples of each case that have an answer."""
    outcomes: Mapping[str, int]
    """Rows of cases by outcome."""
    seen: Mapping[str, tuple[Hashable, ...]]
    """What the deciding scorer saw in the answers to each case of the stability sample, this time."""
    models: tuple[str, ...]
    """Who answered, in the provider's words."""
    judged: Judged | None = None

    @property
    def asked(self) -> int:
        return sum(self.outcomes.values())

    @property
    def lost(self) -> int:
        return sum(self.outcomes.get(str(one), 0) for one in LOST)

    @property
    def unanswered(self) -> int:
        return self.asked - self.outcomes.get(str(Outcome.ANSWERED), 0)


class _Sums:
    """Sums and counts by metric and case, which grow with the cases."""

    def __init__(self, metrics: tuple[str, ...]) -> None:
        self.sums: dict[str, list[float]] = {name: [] for name in metrics}
        self.sums[_ANSWERED] = []
        self.counts: list[int] = []

    def add(self, place: int, scores: Mapping[str, float]) -> None:
        while len(self.counts) <= place:
            self.counts.append(0)
            for sums in self.sums.values():
                sums.append(0.0)
        self.counts[place] += 1
        for name, score in scores.items():
            self.sums[name][place] += score

    def means(self) -> dict[str, Scores]:
        import numpy as np

        counts = np.array(self.counts, np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: np.array(sums, np.float64) / counts for name, sums in self.sums.items()}


def score(
    suite: EvalSuite, candidate: str, path: Path, cases: Cases, vectors: Vectors | None = None
) -> Scored:
    """Score a candidate's published answers. InputError names the scorer and the case where one cannot be scored."""
    import pyarrow.parquet as pq

    scorers = suite.metrics
    sums, outcomes, models = _Sums(tuple(one.name for one in scorers)), Counter[str](), Counter[str]()
    seen: dict[str, list[Hashable]] = {}
    deciding = next((one for one in scorers if one.name == suite.metric), scorers[0])
    file = pq.ParquetFile(path)
    answer_columns = _answer_columns(file.schema_arrow.names)
    for batch in file.iter_batches(_BATCH_ROWS, columns=[KEY, CASE, *answer_columns, *_PROVENANCE]):
        for record in batch.to_pylist():
            case, sample = split_key(record[KEY])
            answer = {name: record[name] for name in answer_columns}
            answered = record["_outcome"] == Outcome.ANSWERED
            if sample.startswith(NIGHT):
                found = deciding.seen(answer) if answered else None
                seen.setdefault(case, []).append(found)
                continue
            row = orjson.loads(record[CASE])
            place = cases.place(case, record[CASE], row)
            outcomes[record["_outcome"]] += 1
            models[record["_model"] or ""] += 1
            made = _scores(scorers, case, row, answer, vectors) | {_ANSWERED: 1.0} if answered else {}
            sums.add(place, made)
    means = sums.means()
    return Scored(
        candidate=candidate,
        answered=means.pop(_ANSWERED),
        scores=means,
        outcomes=dict(outcomes),
        seen={case: tuple(found) for case, found in seen.items()},
        models=tuple(name for name, _ in models.most_common() if name),
    )


def _scores(
    scorers: tuple[Scorer, ...],
    case: str,
    row: Mapping[str, Any],
    answer: Mapping[str, Any],
    vectors: Vectors | None,
) -> dict[str, float]:
    made = {}
    for one in scorers:
        if one.against and one.against not in row:
            raise InputError(
                f"The scorer {one.name!r} holds answers against the column {one.against!r}, which the cases do not "
                f"have; they have {', '.join(row)}. The answers are kept and paid for: correct the scorer and run "
                "again."
            )
        try:
            if one.stage and vectors is not None:
                made[one.name] = vectors.similarity(text_of(answer[one.column]), text_of(row[one.against]))
            else:
                made[one.name] = one.of(row, answer)
        except InputError as error:
            raise InputError(
                f"The scorer {one.name!r} failed on the case {case!r}: {error}. Nothing was decided; the answers are "
                "kept and paid for: correct the scorer and run again."
            ) from error
    return made


def _answer_columns(names: list[str]) -> list[str]:
    own = {KEY, CASE, SAMPLE, *(name for name, _ in PROVENANCE)}
    return [name for name in names if name not in own]


def aligned(found: Scored, cases: Cases) -> Scored:
    """The scores over all cases: NaN where this candidate was not asked."""
    import numpy as np

    def longer(scores: Scores) -> Scores:
        return np.concatenate([scores, np.full(len(cases) - len(scores), np.nan)])

    scores = {name: longer(one) for name, one in found.scores.items()}
    return replace(found, scores=scores, answered=longer(found.answered))


def with_judge(found: Scored, baseline: Scored, judged: Judged, cases: Cases) -> Scored:
    """The scores with the judge's: its word where it was asked, else by who answered at all; 0.5 is a tie.

    The baseline against itself is a tie in every case.
    """
    import numpy as np

    ours, theirs = found.answered, baseline.answered
    scores = np.where(np.isnan(ours) | np.isnan(theirs), np.nan, 0.5 + (np.sign(ours) - np.sign(theirs)) / 2)
    for case, value in judged.scores.items():
        if case in cases.places:
            scores[cases.places[case]] = value
    return replace(found, scores={**found.scores, METRIC: scores}, judged=judged)
