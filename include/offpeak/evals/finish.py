"""The last step of a suite: score what was answered, compare, decide, and leave the row, the page and the facts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.errors import TableError
from offpeak.evals.bounds import Estimate, wilson
from offpeak.evals.compare import Compared, compared, regressions, sliced
from offpeak.evals.costs import cost_of
from offpeak.evals.examples import examples
from offpeak.evals.facts import CandidateFacts, Evaluation, JudgeFacts, for_ledger
from offpeak.evals.gate import EXIT_CODES, Decided, Decision, Measured, decide, worst
from offpeak.evals.history import Baseline, Earlier, baseline_of, earlier, folder, is_latest
from offpeak.evals.judge import METRIC, Judged, read_judged
from offpeak.evals.page import page
from offpeak.evals.result import publish_result
from offpeak.evals.scoring import Cases, Scored, aligned, score, with_judge
from offpeak.evals.stability import Stability, seen_in, stability
from offpeak.evals.suite import answers_of
from offpeak.evals.vectors import Vectors
from offpeak.pipeline import Finished, Finishing

if TYPE_CHECKING:
    from offpeak.evals.candidate import Candidate
    from offpeak.evals.suite import EvalSuite

REGRESSIONS_SHOWN = 8
NOBODY = Judged(scores={}, pairs=0, flipped=0, first_favoured=0, second_favoured=0, unjudged=0)
"""What the judge says of the baseline, against itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """All that is known while an evaluation is made."""

    suite: EvalSuite
    finishing: Finishing
    files: Mapping[str, Path]
    """The published answers, by candidate or layer."""
    cases: Cases
    scored: Mapping[str, Scored]
    baseline: Baseline
    before: list[Earlier]

    def compared(self, name: str, metric: str) -> Compared:
        ours, theirs = self.scored[name], self.scored[self.baseline.candidate.name]
        return compared(metric, ours, theirs, alpha=self.suite.alpha)


def finish(suite: EvalSuite, finishing: Finishing) -> Finished:
    """Safe to call again: the same answers give the same evaluation, and replace the page and the row.

    Raises InputError when a scorer fails on a case, TableError when answers or results cannot be read or written.
    """
    site, key = finishing.site, finishing.interval.key
    with ExitStack() as stack:
        names = [one.name for one in suite.candidates]
        names += ["vectors"] * (suite.embeddings is not None) + [METRIC] * (suite.judge is not None)
        files = {name: stack.enter_context(answers_of(suite, site.store, key, name)) for name in names}
        work = _scored(suite, finishing, files)
        evaluation = _evaluation(work)
    store, place = site.store, folder(suite)
    html = page(evaluation).encode()
    address = store.write_bytes(f"{place}/{key}.html", html)
    store.write_bytes(f"{place}/{key}.json", evaluation.as_json())
    if is_latest(suite, store, key):
        store.write_bytes(f"{place}/latest.html", html)
    publish_result(suite, finishing, evaluation)
    return Finished(
        said=tuple(_said(evaluation, address)),
        facts=for_ledger(evaluation, address),
        exit_code=EXIT_CODES[evaluation.decision],
    )


def _scored(suite: EvalSuite, finishing: Finishing, files: Mapping[str, Path]) -> Work:
    store, key = finishing.site.store, finishing.interval.key
    cases = Cases(slices={name: [] for name in suite.slices})
    vectors = Vectors(files["vectors"]) if "vectors" in files else None
    found = {one.name: score(suite, one.name, files[one.name], cases, vectors) for one in suite.candidates}
    scored = {name: aligned(one, cases) for name, one in found.items()}
    before = earlier(suite, store, key)
    baseline = baseline_of(suite, before)
    if METRIC in files:
        base = scored[baseline.candidate.name]
        for name, one in scored.items():
            judged = NOBODY if one is base else read_judged(files[METRIC], name)
            scored[name] = with_judge(one, base, judged, cases)
    return Work(
        suite=suite,
        finishing=finishing,
        files=files,
        cases=cases,
        scored=scored,
        baseline=baseline,
        before=before,
    )


def _evaluation(work: Work) -> Evaluation:
    from importlib.metadata import version

    suite, base = work.suite, work.baseline
    candidates = tuple(_facts(work, one) for one in suite.candidates)
    second = (suite.stage_name(name) for name in ("vectors", METRIC) if name in work.files)
    ledger, runs = work.finishing.site.ledger, work.finishing.runs
    spends = [spend for name in second for spend in ledger.spent(run_id=runs[name].run_id)]
    return Evaluation(
        suite=suite.name,
        interval=work.finishing.interval.key,
        made_at=work.finishing.site.now(),
        offpeak_version=version("offpeak"),
        decision=worst([one.decision for one in candidates]),
        metric=suite.metric,
        rules=_rules(suite),
        max_drop=None if suite.gate is None else suite.gate.max_drop,
        alpha=suite.alpha,
        baseline=base.candidate.name,
        baseline_why=base.why,
        last_good=_last_good(work, candidates),
        cases=len(work.cases),
        samples=suite.samples,
        notes=tuple(_notes(work)),
        candidates=candidates,
        second_layer_usd=sum((one.cost_usd or Decimal(0) for one in spends), Decimal(0)),
    )


def _facts(work: Work, candidate: Candidate) -> CandidateFacts:
    suite, name = work.suite, candidate.name
    found, base = work.scored[name], work.scored[work.baseline.candidate.name]
    metrics = tuple(work.compared(name, metric) for metric in found.scores)
    stage = suite.stage(candidate)
    cost = cost_of(stage, work.finishing.site, work.finishing.runs[stage.name], work.files[name])
    main = next(one for one in metrics if one.metric == suite.metric)
    decided = _decided(work, candidate, main, cost.usd_per_1000)
    asks = suite.asks(candidate)
    worst_cases = regressions(suite.metric, found, base, count=REGRESSIONS_SHOWN)
    return CandidateFacts(
        name=name,
        model=candidate.model,
        asks=asks,
        answered_by=found.models,
        decision=decided.decision,
        reasons=decided.reasons,
        more_cases=decided.more_cases,
        metrics=metrics,
        slices=sliced(suite.metric, found, base, work.cases, alpha=suite.alpha),
        outcomes=found.outcomes,
        unanswered=found.unanswered,
        cost=cost,
        regressions=examples(work, name, worst_cases),
        regressed=main.worse,
        stability=_stability(work, candidate, asks),
        judge=_judge(found, suite.alpha),
        nights=tuple(_nights(work.before, name, asks)),
    )


def _decided(work: Work, candidate: Candidate, main: Compared, cost: float | None) -> Decided:
    suite, base = work.suite, work.baseline.candidate.name
    if candidate.name == base:
        return Decided(decision="baseline", reasons=(f"It is the baseline: {work.baseline.why}.",))
    if suite.gate is None:
        return Decided(decision="ungated", reasons=("The suite has no gate.",))
    lost = [
        one.lost / one.asked if one.asked else 1.0 for one in (work.scored[candidate.name], work.scored[base])
    ]
    measured = Measured(
        score=main.score, difference=main.difference, cost_usd_per_1000=cost, lost_share=max(lost)
    )
    return decide(suite.gate, measured)


def _judge(found: Scored, alpha: float) -> JudgeFacts | None:
    said = found.judged
    if said is None or said is NOBODY:
        return None
    return JudgeFacts(
        pairs=said.pairs,
        flipped=wilson(said.flipped, said.pairs, alpha=alpha),
        first_favoured=said.first_favoured,
        second_favoured=said.second_favoured,
        unjudged=said.unjudged,
    )


def _stability(work: Work, candidate: Candidate, asks: str) -> Stability | None:
    """Against the latest earlier night on which the same was asked."""
    suite, alpha = work.suite, work.suite.alpha
    tonight = work.scored[candidate.name].seen
    scorer = next((one for one in suite.metrics if one.name == suite.metric), suite.metrics[0])
    for night in work.before:
        if night.of(candidate.name, asks) is None:
            continue
        try:
            with answers_of(suite, work.finishing.site.store, night.interval, candidate.name) as path:
                before = seen_in(path, scorer)
        except TableError:
            continue  # that night's answers were deleted; an older night may still be there
        if before:
            return stability(tonight, before, against=night.interval, alpha=alpha)
    return stability(tonight, alpha=alpha)


def _nights(before: list[Earlier], name: str, asks: str) -> list[tuple[str, Estimate]]:
    """The flips of earlier nights on which the same was asked, oldest first."""
    found = []
    for night in reversed(before):
        said = ((night.of(name, asks) or {}).get("stability") or {}).get("flips")
        if said:
            found.append((night.interval, Estimate(**said)))
    return found


def _last_good(work: Work, candidates: tuple[CandidateFacts, ...]) -> dict[str, str]:
    """The newest candidate that passed, when it comes after the present last good one; else that one."""
    order = [one.name for one in candidates]
    base = candidates[order.index(work.baseline.candidate.name)]
    newer = [one for one in candidates[order.index(base.name) + 1 :] if one.decision == "passed"]
    if newer:
        return {"name": newer[-1].name, "asks": newer[-1].asks, "since": work.finishing.interval.key}
    last = next((one.facts["last_good"] for one in work.before if "last_good" in one.facts), None)
    if last is not None and last["asks"] == base.asks:
        return {"name": base.name, "asks": base.asks, "since": last["since"]}
    return {"name": base.name, "asks": base.asks, "since": work.finishing.interval.key}


def _notes(work: Work) -> list[str]:
    found = []
    if work.cases.changed:
        found.append(
            f"{len(work.cases.changed):,} cases changed while the suite ran; each candidate was scored against the "
            "case as it was asked."
        )
    bad = {name: run.facts.get("bad") or 0 for name, run in work.finishing.runs.items()}
    found += [f"{count:,} rows of {name} could not be asked." for name, count in bad.items() if count]
    if slices := sum(len(values) and len(set(values)) for values in work.cases.slices.values()):
        found.append(
            f"{slices} slices were looked at: of so many, about {slices * work.suite.alpha:.1f} would differ by chance "
            "alone. Those that hold when all are counted together (Holm) are marked."
        )
    return found


def _rules(suite: EvalSuite) -> tuple[str, ...]:
    gate = suite.gate
    if gate is None:
        return ()
    sure = f"with {100 * (1 - gate.alpha):g} % confidence"
    found = [
        f"It passes when it is at most {100 * gate.max_drop:g} points worse than the baseline {sure}, and fails "
        "when it is more than that worse with the same confidence."
    ]
    if gate.min_score is not None:
        found.append(f"Its score must be above {100 * gate.min_score:g} % {sure}.")
    if gate.max_cost_usd_per_1000 is not None:
        found.append(f"A thousand requests may cost ${gate.max_cost_usd_per_1000:g}.")
    found.append(
        "An answer that is missing counts as wrong. When the provider lost more than "
        f"{100 * gate.max_lost:g} % of the answers, nothing is decided."
    )
    return tuple(found)


_WORDS: Mapping[Decision, str] = {
    "passed": "passed",
    "failed": "failed",
    "undecided": "is undecided",
    "baseline": "is the baseline",
    "ungated": "was compared",
}


def _said(evaluation: Evaluation, address: str) -> list[str]:
    lines = [f"{evaluation.suite}: {evaluation.cases:,} cases, against {evaluation.baseline}."]
    for one in evaluation.candidates:
        found = one.metric(evaluation.metric)
        lines.append(
            f"  {one.name} {_WORDS[one.decision]}: {evaluation.metric} {100 * found.score.value:.1f} % "
            f"({100 * found.score.low:.1f} to {100 * found.score.high:.1f}). {' '.join(one.reasons)}"
        )
        if one.stability is not None and one.stability.drifted:
            lines.append(f"  {one.name} answers otherwise than on {one.stability.against}: it drifted.")
    return [*lines, f"  {address}"]
