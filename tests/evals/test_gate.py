"""The gate: its rules, how often it is wrong, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offpeak.errors import SpecError
from offpeak.evals.bounds import Estimate, tango, wilson
from offpeak.evals.gate import EXIT_CODES, Decision, Gate, Measured, decide, worst


def measured(value: float, half: float, **changes: Any) -> Measured:
    settings: dict[str, Any] = {
        "score": Estimate(0.9, 0.88, 0.92, 1_000),
        "difference": Estimate(value, value - half, value + half, 1_000),
        "cost_usd_per_1000": 0.05,
        "lost_share": 0.0,
    }
    return Measured(**{**settings, **changes})


GATE = Gate(metric="kind", max_drop=0.02)


@pytest.mark.parametrize(
    ("value", "half", "decision"),
    [
        (0.0, 0.01, "passed"),
        (0.03, 0.01, "passed"),
        (-0.01, 0.009, "passed"),  # worse, but surely by less than is allowed
        (-0.05, 0.01, "failed"),
        (-0.02, 0.01, "undecided"),
        (0.0, 0.05, "undecided"),
        (-0.06, 0.05, "undecided"),
    ],
)
def test_the_interval_decides_and_not_the_number(value: float, half: float, decision: Decision) -> None:
    assert decide(GATE, measured(value, half)).decision == decision


def test_a_bound_that_lies_on_the_limit_does_not_pass() -> None:
    assert decide(GATE, measured(0.0, 0.02)).decision == "undecided"


def test_an_undecided_candidate_is_told_how_many_more_cases_would_decide() -> None:
    found = decide(GATE, measured(0.0, 0.04))
    assert found.more_cases == pytest.approx(3_200, rel=0.01)  # half the width takes four times the cases
    assert "about 3,200 more cases would tell" in found.reasons[0]


def test_as_many_more_cases_do_decide() -> None:
    small = tango(12, 12, 400, alpha=0.05)
    more = decide(GATE, measured(0, 0, difference=small)).more_cases
    assert more is not None
    scale = (400 + more) / 400
    grown = tango(round(12 * scale), round(12 * scale), 400 + more, alpha=0.05)
    assert decide(GATE, measured(0, 0, difference=grown)).decision == "passed"


def test_a_difference_that_lies_at_the_limit_is_not_promised_a_number_of_cases() -> None:
    found = decide(GATE, measured(-0.02, 0.01))
    assert found.more_cases is None
    assert "too close to max_drop" in found.reasons[0]


def test_a_score_that_is_surely_too_low_fails_however_good_the_baseline_is() -> None:
    gate = Gate(metric="kind", max_drop=0.02, min_score=0.95)
    found = decide(gate, measured(0.05, 0.01))
    assert found.decision == "failed"
    assert found.reasons == ("Its score is at most 92.0 %, with 95 % confidence; min_score wants 95.0 %.",)


def test_a_score_that_may_be_too_low_is_undecided() -> None:
    gate = Gate(metric="kind", max_drop=0.02, min_score=0.89)
    assert decide(gate, measured(0.05, 0.01)).decision == "undecided"


def test_a_candidate_that_costs_too_much_fails_and_one_of_unknown_cost_is_undecided() -> None:
    gate = Gate(metric="kind", max_cost_usd_per_1000=0.04)
    assert "cost $0.0500" in decide(gate, measured(0.05, 0.01)).reasons[0]
    unknown = decide(gate, measured(0.05, 0.01, cost_usd_per_1000=None))
    assert (unknown.decision, unknown.more_cases) == ("undecided", None)


def test_nobody_is_failed_for_answers_that_the_provider_lost() -> None:
    found = decide(GATE, measured(-0.5, 0.01, lost_share=0.3))
    assert found.decision == "undecided"
    assert "no answer to 30.0 % of the requests" in found.reasons[0]


def test_without_a_case_that_both_were_asked_nothing_is_decided() -> None:
    nothing = measured(0, 0, difference=Estimate(0.0, -1.0, 1.0, 0))
    assert decide(GATE, nothing).decision == "undecided"


def _share(drop: float, decision: str, trials: int = 2_000) -> float:
    chance = np.random.default_rng(11)
    gate, count = Gate(metric="kind", max_drop=0.03), 0
    for better, worse, _ in chance.multinomial(500, [0.05, 0.05 + drop, 0.9 - drop], size=trials):
        difference = tango(int(better), int(worse), 500, alpha=gate.alpha)
        found = Measured(
            score=wilson(450, 500, alpha=0.05), difference=difference, cost_usd_per_1000=None, lost_share=0.0
        )
        count += decide(gate, found).decision == decision
    return count / trials


def test_a_candidate_at_the_limit_passes_no_oftener_than_one_time_in_forty() -> None:
    assert _share(0.03, "passed") <= 0.035


def test_a_candidate_at_the_limit_fails_no_oftener_than_one_time_in_forty() -> None:
    assert _share(0.03, "failed") <= 0.035


def test_a_candidate_that_is_as_good_never_fails_and_one_far_below_never_passes() -> None:
    assert _share(0.0, "failed") == 0.0
    assert _share(0.12, "passed") == 0.0
    assert _share(0.12, "failed") > 0.95


def test_the_worst_of_the_candidates_decides_the_exit_code() -> None:
    assert EXIT_CODES[worst(["baseline", "passed", "undecided", "failed"])] == 4
    assert EXIT_CODES[worst(["baseline", "passed", "undecided"])] == 5
    assert EXIT_CODES[worst(["baseline", "passed"])] == 0
    assert worst(["baseline"]) == "baseline"


def test_rules_that_cannot_be_are_refused_together() -> None:
    with pytest.raises(SpecError, match=r"max_drop=-1.*alpha=0: give a number above 0"):
        Gate(metric="kind", max_drop=-1, alpha=0)
