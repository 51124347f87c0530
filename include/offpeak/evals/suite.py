"""The evaluation suite: what a DAG file declares. Cases × candidates, asked side by side, scored and decided."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from offpeak.alerts.channels import Channel
from offpeak.errors import SpecError, TableError
from offpeak.evals.candidate import Candidate
from offpeak.evals.cases import CASE, SAMPLE, CaseRows
from offpeak.evals.gate import Gate
from offpeak.evals.judge import METRIC, Judge, JudgeRows, Preference
from offpeak.evals.scorers import OwnScorer, Scorer, scorers_of
from offpeak.evals.vectors import Embeddings, TextRows
from offpeak.pipeline import Finished, Finishing, Pipeline
from offpeak.prompt import Prompt
from offpeak.rows.source import Opening, RowSource
from offpeak.spec import asks_of
from offpeak.store import Store
from offpeak.tables.parquet import parquet_table
from offpeak.tables.table import Table
from offpeak.workload import Workload

LAST_GOOD = "last_good"
MOST_SAMPLES = 20
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, kw_only=True)
class EvalSuite:
    """Candidates compared on the same cases. SpecError lists every mistake, each with its cure."""

    name: str
    cases: RowSource
    """Labelled cases; the key names a case for good. Every column may be scored against and sliced by."""
    candidates: Sequence[Candidate]
    """From old to new: what passes becomes the last good one when it comes after the present one."""
    scorers: Sequence[Scorer | OwnScorer]
    into: Table
    """Results: one row for each candidate and evaluation."""
    baseline: str = LAST_GOOD
    """A candidate's name, or `last_good`: the newest that has passed, and the first one until there is one."""
    samples: int = 1
    """How often each case is asked; a case's score is the mean of its samples."""
    slices: Sequence[str] = ()
    """Columns of the cases whose values are also looked at one by one."""
    judge: Judge | None = None
    embeddings: Embeddings | None = None
    """For `similarity`."""
    gate: Gate | None = None
    stability: int = 0
    """So many cases, always the same, are asked twice again in each interval: drift is told from noise by them."""
    budget_usd: Decimal | None = None
    """Of all stages of an evaluation together."""
    due: timedelta | str | None = None
    alerts: Sequence[Channel] = ()

    def __post_init__(self) -> None:
        mistakes = [told for check in _CHECKS for told in _try(check, self)]
        if mistakes:
            listed = "".join(f"\n  - {mistake}" for mistake in mistakes)
            count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
            raise SpecError(f"EvalSuite {self.name!r}: {count}.{listed}")

    @cached_property
    def metrics(self) -> tuple[Scorer, ...]:
        """The scorers, a user's functions among them."""
        return scorers_of(self.scorers)

    @property
    def metric(self) -> str:
        """The one that decides and that regressions and stability are told by: the gate's, else the first."""
        return self.gate.metric if self.gate is not None else self.metrics[0].name

    @property
    def alpha(self) -> float:
        return self.gate.alpha if self.gate is not None else 0.05

    def candidate(self, name: str) -> Candidate:
        return next(one for one in self.candidates if one.name == name)

    def stage_name(self, candidate: str) -> str:
        return f"{self.name}__{candidate}"

    def stage(self, candidate: Candidate) -> Workload:
        """The candidate as a workload over the cases. What it asks is what the workload asks that it is made of."""
        name = self.stage_name(candidate.name)
        return Workload(
            name=name,
            rows=CaseRows(cases=self.cases, samples=self.samples, stability=self.stability),
            prompt=candidate.prompt,
            answer=candidate.answer,
            model=candidate.model,
            into=parquet_table(f"{{store}}/tables/{name}"),
            keep=(CASE, SAMPLE),
            endpoint=candidate.endpoint,
            params=candidate.params,
            max_output_tokens=candidate.max_output_tokens,
            connection=candidate.connection,
            price=candidate.price,
            max_failed=1.0,  # an answer that is missing counts as wrong, and the gate looks at how many are
            due=self.due,
            alerts=self.alerts,
        )

    def asks(self, candidate: Candidate) -> str:
        """What it asks, as the ledger knows it."""
        return asks_of(self.stage(candidate))

    @contextmanager
    def answers(self, opening: Opening, stage: str) -> Iterator[Path]:
        """The published answers of a stage in this interval, by the candidate's (or the layer's) name."""
        with answers_of(self, opening.store, opening.interval.key, stage) as path:
            yield path

    @cached_property
    def pipeline(self) -> Pipeline:
        """Candidates side by side, then vectors and judge where they are wanted, then the comparison."""
        second = tuple(stage for stage in (self._vectors(), self._judging()) if stage is not None)
        first = tuple(self.stage(candidate) for candidate in self.candidates)
        return Pipeline(
            name=self.name,
            layers=(first, second) if second else (first,),
            finish=self._finish,
            budget_usd=self.budget_usd,
        )

    def _finish(self, finishing: Finishing) -> Finished:
        from offpeak.evals.finish import finish

        return finish(self, finishing)

    def _vectors(self) -> Workload | None:
        if self.embeddings is None:
            return None
        return self._second_layer(
            "vectors",
            rows=TextRows(suite=self),
            prompt=Prompt(user="{{ row.text }}"),
            answer=self.embeddings.answer,
            model=self.embeddings.model,
        )

    def _judging(self) -> Workload | None:
        if self.judge is None:
            return None
        return self._second_layer(
            METRIC,
            rows=JudgeRows(suite=self),
            prompt=self.judge.prompt(),
            answer=Preference,
            model=self.judge.model,
            params=self.judge.params,
            max_output_tokens=self.judge.max_output_tokens,
        )

    def _second_layer(self, stage: str, **said: Any) -> Workload:
        name = self.stage_name(stage)
        into = parquet_table(f"{{store}}/tables/{name}")
        return Workload(name=name, into=into, max_failed=1.0, due=self.due, alerts=self.alerts, **said)


@contextmanager
def answers_of(suite: EvalSuite, store: Store, interval_key: str, stage: str) -> Iterator[Path]:
    """A local path to a stage's partition of one interval. TableError when it is not there."""
    folder = Store(store.expand(f"{{store}}/tables/{suite.stage_name(stage)}"))
    name = f"interval={interval_key}/answers.parquet"
    if not folder.exists(name):
        raise TableError(
            f"{folder.address(name)} is not there, so {suite.name} cannot compare the answers of {stage!r} for this "
            "interval. Run the suite again: what was answered is not asked twice."
        )
    with folder.reading(name) as path:
        yield path


def _try(check: Callable[[EvalSuite], list[str]], suite: EvalSuite) -> list[str]:
    try:
        return check(suite)
    except SpecError as error:
        return [str(error)]


def _names(suite: EvalSuite) -> list[str]:
    names = [one.name for one in suite.candidates]
    found = [
        f"candidate {name!r}: use lower-case letters, digits and '_', a letter first, at most 32."
        for name in names
        if not _NAME.fullmatch(name)
    ]
    if reserved := sorted({METRIC, "vectors", LAST_GOOD}.intersection(names)):
        found.append(f"a candidate cannot be called {', '.join(reserved)}; the suite uses the name itself.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        found.append(f"two candidates are called {', '.join(twice)}; give each its own name.")
    if not names:
        found.append("candidates is empty; give at least one Candidate(...).")
    elif suite.baseline != LAST_GOOD and suite.baseline not in names:
        found.append(
            f"baseline={suite.baseline!r} is no candidate; there are {', '.join(names)}, or '{LAST_GOOD}'."
        )
    return found


def _numbers(suite: EvalSuite) -> list[str]:
    found = []
    if not 1 <= suite.samples <= MOST_SAMPLES:
        found.append(f"samples={suite.samples}: give 1 to {MOST_SAMPLES}.")
    if suite.stability < 0:
        found.append(f"stability={suite.stability}: give 0 for none, or a number of cases.")
    return found


def _metrics(suite: EvalSuite) -> list[str]:
    names = [one.name for one in suite.metrics]
    found = [] if names else ["scorers is empty; give at least one, e.g. exact('intent')."]
    if METRIC in names:
        found.append(f"a scorer is called {METRIC!r}, which is the judge's own metric; give it name='...'.")
    known = [*names, *([METRIC] if suite.judge is not None else [])]
    if suite.gate is not None and suite.gate.metric not in known:
        found.append(f"gate: there is no scorer {suite.gate.metric!r}; there are {', '.join(known)}.")
    vectors = [one.name for one in suite.metrics if one.stage == "similarity"]
    if vectors and suite.embeddings is None:
        found.append(f"the scorer {vectors[0]!r} compares embeddings; give embeddings=Embeddings(...).")
    if not vectors and suite.embeddings is not None:
        found.append("embeddings is given, but no scorer is similarity(...); leave it out.")
    return found


def _stages(suite: EvalSuite) -> list[str]:
    found = []
    for candidate in suite.candidates:
        try:
            stage = suite.stage(candidate)
        except SpecError as error:
            found.append(f"candidate {candidate.name!r}: {error}")
            continue
        found += _prompt(suite, candidate, stage) + _columns(suite, candidate, stage)
    for second in (suite._vectors, suite._judging):
        second()
    return found


def _prompt(suite: EvalSuite, candidate: Candidate, stage: Workload) -> list[str]:
    """A prompt must not show the model what it is scored against."""
    columns = [template.columns for template in stage.templates]
    if any(one is None for one in columns):
        return [
            f"candidate {candidate.name!r}: its prompt uses the row as a whole, with the expected answers in it. "
            "Name the columns it needs: {{ row.text }}."
        ]
    expected = {one.against for one in suite.metrics if one.against and one.stage != "similarity"}
    if shown := sorted(expected.intersection(*[set().union(*(one for one in columns if one))])):
        return [
            f"candidate {candidate.name!r}: its prompt shows row.{shown[0]}, which a scorer holds its answer against. "
            "Leave it out of the prompt."
        ]
    return []


def _columns(suite: EvalSuite, candidate: Candidate, stage: Workload) -> list[str]:
    there = [column.name for column in stage.form.columns]
    return [
        f"candidate {candidate.name!r}: the scorer {one.name!r} looks at {one.column!r}, which its answer does not "
        f"have; it has {', '.join(there)}."
        for one in suite.metrics
        if one.column and one.column not in there
    ]


_CHECKS = (_names, _numbers, _metrics, _stages)
