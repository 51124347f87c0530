"""The gate: whether a candidate passes, fails or is undecided against the last good one, by stated rules.

Everything is decided by confidence intervals, never by a bare number: a candidate passes when it is sure not to be
worse than allowed, fails when it is sure to be, and is undecided when more cases are needed to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from offpeak.errors import SpecError
from offpeak.evals.bounds import Estimate
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.ledger import Ledger

Decision = Literal["passed", "failed", "undecided", "baseline", "ungated"]
EXIT_CODES: Mapping[str, int] = {"passed": 0, "baseline": 0, "ungated": 0, "undecided": 5, "failed": 4}
"""Of `offpeak run`: the worst of the candidates decides, a failed one before an undecided one."""
MOST_MORE_CASES = 1_000_000
"""Above this it is said that the difference is too close to the limit, not how many cases it would take."""
LOOK_BACK_RUNS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The rules. SpecError for numbers that cannot be rules."""

    metric: str
    """The scorer that decides."""
    max_drop: float = 0.01
    """So much lower than the baseline's the score may be, from 0 to 1: 0.01 is one percentage point."""
    min_score: float | None = None
    """The score must be above this, whatever the baseline's is."""
    max_cost_usd_per_1000: float | None = None
    """A thousand requests may cost so much on the batch route."""
    max_lost: float = 0.02
    """Nobody is judged when the provider lost more answers than this share, of either."""
    alpha: float = 0.05
    """How often an interval may miss. A candidate that is worse by `max_drop` passes half as often."""

    def __post_init__(self) -> None:
        mistakes = [
            f"{name}={value}: give a number from 0 to 1"
            for name in ("max_drop", "min_score", "max_lost")
            if (value := getattr(self, name)) is not None and not 0 <= value <= 1
        ]
        if not 0 < self.alpha <= 0.5:
            mistakes.append(f"alpha={self.alpha}: give a number above 0, at most 0.5")
        if self.max_cost_usd_per_1000 is not None and self.max_cost_usd_per_1000 < 0:
            mistakes.append(f"max_cost_usd_per_1000={self.max_cost_usd_per_1000}: give 0 or more")
        if mistakes:
            raise SpecError(f"Gate({self.metric!r}): {'; '.join(mistakes)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the gate looks at."""

    score: Estimate
    difference: Estimate
    """Candidate minus baseline, on the cases of both."""
    cost_usd_per_1000: float | None
    lost_share: float
    """Of answers that the provider did not give: errored, expired, cancelled, missing; the higher of the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decision and its reasons, each a sentence."""

    decision: Decision
    reasons: tuple[str, ...]
    more_cases: int | None = None
    """When undecided: about so many cases more would decide, if scores stay as they are. None when unknown."""


def decide(gate: Gate, measured: Measured) -> Decided:
    """Pure: the rules, in their order: whether there is enough to judge, sure failures, then what is still open."""
    if not measured.difference.cases:
        return Decided(decision="undecided", reasons=("There is no case that both were asked.",))
    against = _failures(gate, measured)
    if measured.lost_share > gate.max_lost:
        lost = (
            f"The provider gave no answer to {_percent(measured.lost_share)} of the requests, more than "
            f"max_lost={gate.max_lost:g}: that says nothing about the candidate. Run the interval again."
        )
        return Decided(decision="undecided", reasons=(lost,))
    if against:
        return Decided(decision="failed", reasons=tuple(against))
    open_, more = _open(gate, measured)
    if open_:
        return Decided(decision="undecided", reasons=tuple(open_), more_cases=more)
    said = f"It is {_at_most(-measured.difference.low)} worse than the baseline, {_sure(gate)}"
    if measured.difference.low >= 0:
        said = f"It is not worse than the baseline, {_sure(gate)}"
    return Decided(decision="passed", reasons=(f"{said}; max_drop allows {_points(gate.max_drop)}.",))


def _failures(gate: Gate, measured: Measured) -> list[str]:
    found = []
    if measured.difference.high < -gate.max_drop:
        found.append(
            f"It is at least {_points(-measured.difference.high)} worse than the baseline, {_sure(gate)}; "
            f"max_drop allows {_points(gate.max_drop)}."
        )
    if gate.min_score is not None and measured.score.high < gate.min_score:
        found.append(
            f"Its score is at most {_percent(measured.score.high)}, {_sure(gate)}; min_score wants "
            f"{_percent(gate.min_score)}."
        )
    limit, cost = gate.max_cost_usd_per_1000, measured.cost_usd_per_1000
    if limit is not None and cost is not None and cost > limit:
        found.append(f"A thousand requests cost ${cost:.4f}; max_cost_usd_per_1000 allows ${limit:.4f}.")
    return found


def _open(gate: Gate, measured: Measured) -> tuple[list[str], int | None]:
    """What is not sure yet, and how many more cases would make all of it sure."""
    found, more = [], []
    if measured.difference.low <= -gate.max_drop:
        more.append(_more_cases(measured.difference, -gate.max_drop))
        found.append(
            f"It may be up to {_points(-measured.difference.low)} worse than the baseline, or not at all: "
            f"{_more_said(more[-1], 'max_drop')}"
        )
    if gate.min_score is not None and measured.score.low < gate.min_score:
        more.append(_more_cases(measured.score, gate.min_score))
        found.append(
            f"Its score may be as low as {_percent(measured.score.low)}; min_score wants "
            f"{_percent(gate.min_score)}: {_more_said(more[-1], 'min_score')}"
        )
    if gate.max_cost_usd_per_1000 is not None and measured.cost_usd_per_1000 is None:
        found.append("What it costs is not known, so max_cost_usd_per_1000 could not be kept. Give price=.")
        more.append(None)
    known = [one for one in more if one is not None]
    return found, max(known) if known and len(known) == len(more) else None


def _more_cases(estimate: Estimate, limit: float) -> int | None:
    """The interval shrinks with the root of the cases; it must become as narrow as the way to the limit."""
    way = abs(estimate.value - limit)
    if not estimate.cases or way <= 0:
        return None
    half = max(estimate.value - estimate.low, estimate.high - estimate.value)
    needed = math.ceil(estimate.cases * (half / way) ** 2 * 1.05) - estimate.cases
    return max(1, needed) if needed <= MOST_MORE_CASES else None


def _more_said(more: int | None, rule: str) -> str:
    if more is None:
        return f"it is too close to {rule} for any number of cases to tell soon."
    return f"about {more:,} more cases would tell, if the scores stay as they are."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(change: float) -> str:
    return "less than 0.1 points" if 0 < change < 0.0005 else f"{100 * change:.1f} points"


def _at_most(change: float) -> str:
    return _points(change) if 0 < change < 0.0005 else f"at most {_points(change)}"


def _sure(gate: Gate) -> str:
    return f"with {100 * (1 - gate.alpha):g} % confidence"


def worst(decisions: list[Decision]) -> Decision:
    """Of all candidates: failed before undecided before passed; the baseline counts only when it is alone."""
    for one in ("failed", "undecided", "passed", "ungated"):
        if one in decisions:
            return one
    return "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a suite's latest evaluation says of something that is asked."""

    ok: bool
    decision: Decision | None
    """None when no evaluation has seen it."""
    said: str
    """A sentence for people, with what to do next."""
    run_id: str = ""


def passed(ledger: Ledger, suite_name: str, asks: str) -> Standing:
    """Whether what is asked (`spec.asks_of(workload)`) has passed the suite, by the latest evaluation that has it.

    The last good one itself counts as passed. An evaluation of an older interval never overrules a newer one.
    """
    found: list[tuple[str, str, Mapping[str, Any]]] = []
    for run in ledger.runs(f"{suite_name}__*", states=(RunState.PUBLISHED,), limit=LOOK_BACK_RUNS):
        facts = run.facts.get("finished") or {}
        if facts.get("suite") != suite_name:
            continue
        own = [one for one in facts.get("candidates", {}).values() if one.get("asks") == asks]
        found += [(run.interval_key, run.run_id, one) for one in own]
    if not found:
        return Standing(
            ok=False,
            decision=None,
            said=f"No evaluation of {suite_name} has this model, prompt and parameters as a candidate. Add it there "
            f"(Candidate.of(...)) and run {suite_name}.",
        )
    interval, run_id, latest = max(found, key=lambda one: one[0])
    decision: Decision = latest["decision"]
    ok = decision in ("passed", "baseline")
    reason = " ".join(latest.get("reasons", ()))
    return Standing(
        ok=ok,
        decision=decision,
        said=f"{suite_name} of {interval}: {decision}. {reason}".strip(),
        run_id=run_id,
    )
