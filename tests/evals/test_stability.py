"""Drift is told from noise: however noisy a model is, only a change of it is called drift."""

from __future__ import annotations

import numpy as np
import pytest

from offpeak.evals.stability import Seen, stability

CASES, NIGHTS = 80, 300


def night(chance: np.random.Generator, tendencies: np.ndarray) -> Seen:
    """Two answers to each case of a model that says `yes` to it with its own probability."""
    said = chance.random((len(tendencies), 2)) < tendencies[:, None]
    return {f"c{at}": tuple("yes" if one else "no" for one in row) for at, row in enumerate(said)}


def drifts(noise: float, change: float) -> tuple[float, float]:
    """The share of nights that are called drift, and the mean drift that is found."""
    chance = np.random.default_rng(12)
    before = np.where(np.arange(CASES) % 2, 1 - noise, noise)
    after = before.copy()
    moved = int(change * CASES)
    after[:moved] = 1 - before[:moved]
    found = [stability(night(chance, after), night(chance, before), alpha=0.05) for _ in range(NIGHTS)]
    called = [one.drifted for one in found if one is not None]
    return sum(called) / NIGHTS, float(np.mean([one.drift.value for one in found if one and one.drift]))


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2, 0.5])
def test_noise_is_not_called_drift_oftener_than_the_interval_may_miss(noise: float) -> None:
    called, mean = drifts(noise, 0.0)
    assert called <= 0.045
    assert mean == pytest.approx(0.0, abs=0.01)


def test_a_model_that_answers_a_third_otherwise_is_called_drift() -> None:
    called, mean = drifts(0.05, 1 / 3)
    assert called > 0.98
    assert mean == pytest.approx((1 - 2 * 0.05) ** 2 / 3, abs=0.03)


def test_a_night_without_another_says_only_its_noise() -> None:
    found = stability({"a": ("x", "x"), "b": ("x", "y")}, alpha=0.05)
    assert found is not None
    assert (found.cases, found.noise.value, found.flips, found.drifted) == (2, 0.5, None, False)


def test_nothing_asked_again_says_nothing() -> None:
    assert stability({}, alpha=0.05) is None


def test_cases_that_only_one_night_has_are_left_out_of_the_flips() -> None:
    found = stability({"a": ("x", "x"), "b": ("y", "y")}, {"a": ("x", "x"), "z": ("q", "q")}, alpha=0.05)
    assert found is not None
    assert found.flips is not None
    assert (found.flips.cases, found.flips.value) == (1, 0.0)
