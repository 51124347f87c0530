"""The evaluation: everything that its page, its row and the next evaluation say of it, as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from offpeak.evals.bounds import Estimate
from offpeak.evals.compare import Compared, Sliced
from offpeak.evals.costs import Cost
from offpeak.evals.gate import Decision
from offpeak.evals.stability import Stability


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """One case that the baseline does better, or the judge's word on it. Texts are cut for the page."""

    case: str
    shown: str
    expected: str
    baseline: str
    candidate: str
    lost: float
    said: str = ""
    """The judge's reason, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeFacts:
    """How the judge's two orders agree, for one candidate."""

    pairs: int
    flipped: Estimate
    """The share of pairs of which the two orders said different things."""
    first_favoured: int
    second_favoured: int
    unjudged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateFacts:
    """One candidate of one evaluation."""

    name: str
    model: str
    asks: str
    answered_by: tuple[str, ...]
    decision: Decision
    reasons: tuple[str, ...]
    more_cases: int | None
    metrics: tuple[Compared, ...]
    slices: tuple[Sliced, ...]
    outcomes: Mapping[str, int]
    unanswered: int
    cost: Cost
    regressions: tuple[Regression, ...]
    regressed: int
    stability: Stability | None
    judge: JudgeFacts | None
    nights: tuple[tuple[str, Estimate], ...] = ()
    """Earlier nights of the same candidate: interval, and the share of answers that flipped. Oldest first."""

    def metric(self, name: str) -> Compared:
        return next(one for one in self.metrics if one.metric == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluation of a suite."""

    suite: str
    interval: str
    made_at: datetime
    offpeak_version: str
    decision: Decision
    """The worst of the candidates'."""
    metric: str
    rules: tuple[str, ...]
    max_drop: float | None
    """Of the gate; None when there is none."""
    alpha: float
    baseline: str
    baseline_why: str
    last_good: Mapping[str, str]
    """`name`, `asks` and `since` (an interval) of the last good one after this evaluation."""
    cases: int
    samples: int
    notes: tuple[str, ...]
    candidates: tuple[CandidateFacts, ...]
    second_layer_usd: Decimal
    """What judge and embeddings cost."""

    @property
    def spent_usd(self) -> Decimal:
        return self.second_layer_usd + sum((one.cost.spent_usd for one in self.candidates), Decimal(0))

    @property
    def emulated(self) -> bool:
        return any(model.startswith("emulated/") for one in self.candidates for model in one.answered_by)

    def candidate(self, name: str) -> CandidateFacts:
        return next(one for one in self.candidates if one.name == name)

    def as_json(self) -> bytes:
        """For the next evaluation, and for programs."""
        return orjson.dumps(_plain(self), option=orjson.OPT_INDENT_2)


def _plain(value: Any) -> Any:
    """Named tuples and dataclasses as objects, money as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Estimate):
        return {name: _plain(one) for name, one in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return format(value, "f") if isinstance(value, Decimal) else value


def for_ledger(evaluation: Evaluation, page: str) -> dict[str, Any]:
    """What is kept in the ledger, sent with the asset event and read by `gate.passed`: small, no texts of cases."""
    return {
        "suite": evaluation.suite,
        "interval": evaluation.interval,
        "decision": evaluation.decision,
        "metric": evaluation.metric,
        "cases": evaluation.cases,
        "baseline": evaluation.baseline,
        "last_good": dict(evaluation.last_good),
        "spent_usd": format(evaluation.spent_usd, "f"),
        "page": page,
        "candidates": {one.name: _for_ledger(evaluation, one) for one in evaluation.candidates},
    }


def _for_ledger(evaluation: Evaluation, one: CandidateFacts) -> dict[str, Any]:
    found = one.metric(evaluation.metric)
    return {
        "asks": one.asks,
        "model": one.model,
        "decision": one.decision,
        "reasons": list(one.reasons),
        "more_cases": one.more_cases,
        "score": _plain(found.score),
        "difference": _plain(found.difference),
        "cost_usd_per_1000": one.cost.usd_per_1000,
        "unanswered": one.unanswered,
        "drifted": one.stability is not None and one.stability.drifted,
    }
