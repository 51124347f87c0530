"""Drift is told when answers change more than they do by themselves, and never from too little."""

from __future__ import annotations

import random

import pytest

from offpeak.alerts.drift import LEAST_ROWS, drifts
from tests.alerts.making import judged

USUAL = [judged(invalid=bad, refund=half, other=1000 - half) for bad, half in ((5, 500), (8, 520), (3, 490))]


def test_a_run_like_the_others_has_not_drifted() -> None:
    assert drifts(judged(invalid=9, refund=540, other=460), USUAL) == []


def test_a_share_of_invalid_rows_far_above_the_usual_one_is_drift() -> None:
    (found,) = drifts(judged(invalid=60, refund=500, other=500), USUAL)
    assert found.what == "invalid"
    assert found.now == pytest.approx(60 / 1060)
    assert found.usual == pytest.approx(5 / 1005)
    assert found.limit < found.now


def test_fewer_invalid_rows_than_usual_are_no_drift() -> None:
    assert drifts(judged(invalid=0), [judged(invalid=50) for _ in range(5)]) == []


def test_a_mix_that_moves_names_the_value_that_moved_most() -> None:
    (found,) = drifts(judged(refund=700, other=200, card=100), USUAL)
    assert (found.what, found.value) == ("intent", "other")
    assert found.now == pytest.approx(0.3)
    assert [found.value_now, found.value_usual] == pytest.approx([0.2, 0.5])


def test_one_odd_run_among_the_earlier_ones_moves_no_limit() -> None:
    odd = judged(invalid=400, refund=990, other=10)
    assert drifts(judged(refund=510, other=490), [*USUAL, odd]) == []
    assert [one.what for one in drifts(judged(invalid=90, refund=900, other=100), [*USUAL, odd])] == [
        "invalid",
        "intent",
    ]


def test_a_workload_whose_mix_moves_every_night_is_given_that_much_room() -> None:
    restless = [judged(refund=half, other=1000 - half) for half in (300, 500, 700, 420, 610)]
    assert drifts(judged(refund=720, other=280), restless) == []


@pytest.mark.parametrize("earlier", [USUAL[:2], [judged(20, 0) for _ in range(5)]])
def test_too_few_runs_or_rows_to_compare_with_say_nothing(earlier: list[dict[str, object]]) -> None:
    assert drifts(judged(invalid=900, refund=1, other=999), earlier) == []


def test_a_small_run_is_not_judged() -> None:
    assert drifts(judged(LEAST_ROWS - 1, 0, refund=LEAST_ROWS - 1), USUAL) == []


def test_chance_alone_is_hardly_ever_drift() -> None:
    draw = random.Random(6)

    def night() -> dict[str, object]:
        half = sum(draw.random() < 0.5 for _ in range(60))
        return judged(60, sum(draw.random() < 0.01 for _ in range(60)), refund=half, other=60 - half)

    told = sum(bool(drifts(night(), [night() for _ in range(10)])) for _ in range(400))
    assert told / 400 < 0.02


def test_facts_that_are_not_what_they_should_be_are_no_drift() -> None:
    assert drifts({"outcomes": 3, "distribution": None}, [{}, {}, {}, {}]) == []
