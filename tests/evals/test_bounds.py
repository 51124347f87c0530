"""The statistics hold: closed forms, coverage of the intervals, and false alarms where nothing differs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from offpeak.evals.bounds import (
    bootstrap,
    holm,
    least_half_width,
    mcnemar,
    sign_flips,
    t_of,
    tango,
    wilson,
    z_of,
)

TRIALS = 600


@pytest.mark.parametrize(("right", "cases"), [(0, 20), (1, 20), (7, 50), (500, 1_000), (20, 20)])
def test_wilsons_interval_is_the_textbooks(right: int, cases: int) -> None:
    known = stats.binomtest(right, cases).proportion_ci(method="wilson")
    found = wilson(right, cases, alpha=0.05)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-9)


@pytest.mark.parametrize("freedom", [4, 9, 30, 500])
def test_students_quantile_is_the_tables(freedom: int) -> None:
    assert t_of(0.05, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=3e-3)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (0, 5), (3, 9), (10, 10), (400, 350)])
def test_mcnemars_mid_p_is_the_binomials(better: int, worse: int) -> None:
    split, fewer = better + worse, min(better, worse)
    known = (
        2 * (stats.binom.cdf(fewer, split, 0.5) - 0.5 * stats.binom.pmf(fewer, split, 0.5)) if split else 1
    )
    assert mcnemar(better, worse) == pytest.approx(min(1.0, known), abs=1e-9)


@pytest.mark.parametrize(("better", "worse", "cases"), [(3, 9, 60), (40, 20, 500), (1, 0, 30), (0, 12, 40)])
def test_the_ends_of_tangos_interval_are_where_its_score_test_just_rejects(
    better: int, worse: int, cases: int
) -> None:
    found = tango(better, worse, cases, alpha=0.05)
    for end in (found.low, found.high):
        shares = np.linspace(max(0, -end), (1 - end) / 2, 400_001)[1:-1]  # of cases that are worse
        with np.errstate(divide="ignore", invalid="ignore"):
            likely = (
                better * np.log(shares + end)
                + worse * np.log(shares)
                + (cases - better - worse) * np.log(1 - 2 * shares - end)
            )
        share = shares[np.nanargmax(likely)]
        score = (better - worse - cases * end) / np.sqrt(cases * (2 * share + end - end**2))
        assert abs(score) == pytest.approx(z_of(0.05), abs=0.01)


def test_without_any_difference_tangos_interval_is_as_wide_as_the_cases_allow() -> None:
    found = tango(0, 0, 100, alpha=0.05)
    assert found.high == pytest.approx(least_half_width(100, alpha=0.05), abs=1e-6)
    assert found.low == pytest.approx(-found.high, abs=1e-9)


def _pairs(chance: np.random.Generator, cases: int, drop: float) -> tuple[int, int]:
    """Better and worse cases of a candidate that is worse by `drop`."""
    kinds = chance.multinomial(cases, [0.06, 0.06 + drop, 0.88 - drop])
    return int(kinds[0]), int(kinds[1])


@pytest.mark.parametrize("drop", [0.0, 0.05])
def test_the_interval_of_a_paired_difference_holds_the_truth_as_often_as_it_says(drop: float) -> None:
    chance = np.random.default_rng(1)
    found = [tango(*_pairs(chance, 200, drop), 200, alpha=0.05) for _ in range(TRIALS * 4)]
    held = sum(one.low <= -drop <= one.high for one in found) / len(found)
    assert 0.935 <= held <= 0.965


def test_mcnemars_test_raises_a_false_alarm_no_oftener_than_it_says() -> None:
    chance = np.random.default_rng(2)
    alarms = sum(mcnemar(*_pairs(chance, 200, 0.0)) <= 0.05 for _ in range(TRIALS * 4)) / (TRIALS * 4)
    assert 0.03 <= alarms <= 0.06


@pytest.mark.parametrize("cases", [12, 40, 200])
def test_the_bootstraps_interval_holds_a_skewed_mean_nearly_as_often_as_it_says(cases: int) -> None:
    chance = np.random.default_rng(3)
    draws = chance.beta(4.0, 1.0, (TRIALS, cases))
    held = sum(one.low <= 0.8 <= one.high for one in (bootstrap(row, alpha=0.05) for row in draws)) / TRIALS
    assert held >= 0.92  # with few cases it is wider than it need be: see least_half_width
    assert cases < 200 or held <= 0.985


@pytest.mark.parametrize("cases", [30, 150])
def test_the_bootstraps_interval_holds_a_difference_of_graded_scores_as_often_as_it_says(cases: int) -> None:
    chance = np.random.default_rng(10)
    draws = chance.choice([-1.0, -0.5, 0.0, 0.5, 1.0], p=[0.1, 0.15, 0.4, 0.2, 0.15], size=(TRIALS, cases))
    held = sum(one.low <= 0.075 <= one.high for one in (bootstrap(row, alpha=0.05) for row in draws)) / TRIALS
    assert 0.93 <= held <= 0.97


def test_the_bootstrap_is_as_wide_as_students_interval_where_both_hold() -> None:
    scores = np.random.default_rng(4).normal(0.0, 1.0, 400)
    known = stats.t.interval(0.95, 399, scores.mean(), stats.sem(scores))
    found = bootstrap(scores, alpha=0.05)
    assert (found.low, found.high) == pytest.approx(known, abs=0.02)


def test_several_samples_of_a_case_are_no_more_cases() -> None:
    """Answers to one case go together: counted as if they did not, the interval would be far too narrow."""
    chance = np.random.default_rng(5)
    held_by_case = held_by_answer = 0
    for _ in range(300):
        cases = chance.beta(0.4, 0.4, 60)
        answers = chance.random((60, 8)) < cases[:, None]
        by_case = bootstrap(answers.mean(axis=1), alpha=0.05)
        by_answer = wilson(int(answers.sum()), answers.size, alpha=0.05)
        held_by_case += by_case.low <= 0.5 <= by_case.high
        held_by_answer += by_answer.low <= 0.5 <= by_answer.high
    assert held_by_case / 300 >= 0.92
    assert held_by_answer / 300 < 0.75


def test_the_bootstrap_is_never_narrower_than_equal_scores_allow() -> None:
    found = bootstrap(np.zeros(50), alpha=0.05)
    assert found.half_width == pytest.approx(tango(0, 0, 50, alpha=0.05).half_width, abs=1e-6)


def test_the_same_scores_give_the_same_interval() -> None:
    scores = np.random.default_rng(6).random(300)
    assert bootstrap(scores, alpha=0.05) == bootstrap(scores.copy(), alpha=0.05)


def test_sign_flips_raise_false_alarms_as_often_as_they_say() -> None:
    chance = np.random.default_rng(7)
    alarms = [sign_flips(chance.normal(0, 1, 40)) <= 0.05 for _ in range(TRIALS)]
    assert 0.025 <= sum(alarms) / TRIALS <= 0.075


def test_sign_flips_agree_with_the_t_test() -> None:
    scores = np.random.default_rng(8).normal(0.15, 1.0, 200)
    assert sign_flips(scores) == pytest.approx(stats.ttest_1samp(scores, 0).pvalue, abs=0.02)


def test_of_many_slices_without_a_difference_holm_lets_one_stand_no_oftener_than_it_says() -> None:
    chance = np.random.default_rng(9)
    alarms = [any(holm(chance.random(12).tolist(), alpha=0.05)) for _ in range(2_000)]
    single = [bool((chance.random(12) <= 0.05).any()) for _ in range(2_000)]
    assert sum(alarms) / 2_000 <= 0.065
    assert sum(single) / 2_000 > 0.4


def test_holm_keeps_the_order_and_stops_at_the_first_that_does_not_stand() -> None:
    assert holm([0.04, 0.001, 0.02], alpha=0.05) == [True, True, True]
    assert holm([0.04, 0.001, 0.03], alpha=0.05) == [False, True, False]
