"""The page of an evaluation: one self-contained HTML document that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from offpeak.evals.bounds import Estimate
from offpeak.evals.facts import CandidateFacts, Evaluation
from offpeak.evals.history import night_of
from offpeak.report import wording
from offpeak.report.templates import environment_of

if TYPE_CHECKING:
    from jinja2 import Environment

TONES = {"passed": "good", "failed": "bad", "undecided": "busy", "baseline": "stopped", "ungated": "stopped"}
WORDS = {
    "failed": "Failed",
    "undecided": "Undecided",
    "passed": "Passed",
    "baseline": "Baseline",
    "ungated": "Compared",
}
_MARGIN = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """An estimate as a line with a dot, in per cent of its width; marks are other places on the same scale."""

    low: float
    value: float
    high: float
    zero: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One night's flips, in per cent of the chart."""

    label: str
    estimate: Estimate
    left: float
    low: float
    value: float
    high: float


def page(evaluation: Evaluation) -> str:
    """The HTML. Every text in it is escaped, and invisible characters are made visible."""
    return (
        _environment()
        .get_template("page.html")
        .render(
            evaluation=evaluation,
            headline=headline(evaluation),
            compared=[one for one in evaluation.candidates if one.name != evaluation.baseline],
            whiskers=whiskers(evaluation),
            nights={one.name: nights(one, evaluation.interval) for one in evaluation.candidates},
            tones=TONES,
            words=WORDS,
        )
    )


def headline(evaluation: Evaluation) -> str:
    """What was decided, in one sentence."""
    others = [one for one in evaluation.candidates if one.name != evaluation.baseline]
    if not others:
        main = evaluation.candidates[0].metric(evaluation.metric)
        return f"{evaluation.baseline} alone was asked: {evaluation.metric} {_percent(main.score.value)}."
    if len(others) == 1:
        return _sentence(evaluation, others[0])
    counts = {word: [one.name for one in others if one.decision == word] for word in WORDS}
    said = [f"{_listed(names)} {_VERBS[word](len(names))}" for word, names in counts.items() if names]
    return f"{'; '.join(said)}. Compared with {evaluation.baseline} on {evaluation.cases:,} cases."


_VERBS: Mapping[str, Any] = {
    "passed": lambda count: "passed",
    "failed": lambda count: "failed",
    "undecided": lambda count: "is undecided" if count == 1 else "are undecided",
    "baseline": lambda count: "is the baseline",
    "ungated": lambda count: "was compared" if count == 1 else "were compared",
}


def _sentence(evaluation: Evaluation, one: CandidateFacts) -> str:
    main = one.metric(evaluation.metric)
    difference = main.difference.value
    how = "the same as" if abs(difference) < 5e-4 else f"{_points(abs(difference))} points "
    if abs(difference) >= 5e-4:
        how += "above" if difference > 0 else "below"
    return (
        f"{one.name} {_VERBS[one.decision](1)}: {evaluation.metric} is {_percent(main.score.value)}, {how} "
        f"{evaluation.baseline} ({_signed(main.difference.low)} to {_signed(main.difference.high)}), on "
        f"{evaluation.cases:,} cases."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def whiskers(evaluation: Evaluation) -> dict[str, Whisker]:
    """By `candidate/score` and `candidate/difference`, and `candidate/slice/<n>`: drawn on common scales."""
    made: dict[str, Whisker] = {}
    mains = {one.name: one.metric(evaluation.metric) for one in evaluation.candidates}
    made |= _on_scale({f"{name}/score": one.score for name, one in mains.items()})
    limit = _limit(evaluation)
    others = {name: one for name, one in mains.items() if name != evaluation.baseline}
    made |= _on_scale({f"{name}/difference": one.difference for name, one in others.items()}, 0.0, limit)
    for one in evaluation.candidates:
        rows = {f"{one.name}/slice/{at}": part.compared.difference for at, part in enumerate(one.slices)}
        made |= _on_scale(rows, 0.0, limit)
    return made


def _limit(evaluation: Evaluation) -> float | None:
    return None if evaluation.max_drop is None else -evaluation.max_drop


def _on_scale(
    estimates: Mapping[str, Estimate], zero: float | None = None, limit: float | None = None
) -> dict[str, Whisker]:
    marks = [one for one in (zero, limit) if one is not None]
    places = [end for one in estimates.values() for end in (one.low, one.high)] + marks
    if not estimates:
        return {}
    low, high = min(places), max(places)
    room = _MARGIN * (high - low or 0.02)
    low, width = low - room, high - low + 2 * room

    def at(value: float) -> float:
        return round(100 * (value - low) / width, 2)

    return {
        name: Whisker(
            low=at(one.low),
            value=at(one.value),
            high=at(one.high),
            zero=None if zero is None else at(zero),
            limit=None if limit is None else at(limit),
        )
        for name, one in estimates.items()
    }


def nights(one: CandidateFacts, interval: str) -> tuple[Night, ...]:
    """The flips of the nights so far, this one last."""
    known = list(one.nights)
    if one.stability is not None and one.stability.flips is not None:
        known.append((interval, one.stability.flips))
    highest = max([estimate.high for _, estimate in known], default=0.0) or 1.0
    step = 100 / max(len(known), 1)
    return tuple(
        Night(
            label=label,
            estimate=estimate,
            left=round(step * (at + 0.5), 2),
            low=round(100 * estimate.low / highest, 2),
            value=round(100 * estimate.value / highest, 2),
            high=round(100 * estimate.high / highest, 2),
        )
        for at, (label, estimate) in enumerate(known)
    )


@cache
def _environment() -> Environment:
    return environment_of(
        "evals",
        finalize=wording.shown,
        filters={
            "percent": _percent,
            "points": _points,
            "signed": _signed,
            "dollars": wording.usd,
            "per_1000": _per_1000,
            "span": wording.span,
            "exactly": wording.exactly,
            "number": wording.number,
            "plural": wording.plural,
            "night": night_of,
            "iso": datetime.isoformat,
        },
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(change: float) -> str:
    return f"{100 * change:.1f}"


def _signed(change: float) -> str:
    text = f"{100 * abs(change):.1f}"
    return text if float(text) == 0 else f"{'+' if change > 0 else '−'}{text}"


def _per_1000(amount: float | None) -> str:
    return wording.UNKNOWN if amount is None else f"${amount:,.4f}" if amount < 1 else f"${amount:,.2f}"
