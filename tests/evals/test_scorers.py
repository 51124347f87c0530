"""Scorers: what they read in an answer, and what a hostile answer can do to them."""

from __future__ import annotations

import builtins
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from offpeak.errors import InputError, SpecError
from offpeak.evals import (
    Scorer,
    choice,
    exact,
    json_fields,
    matches,
    normalised_match,
    numeric,
    overlap_f1,
    own,
)
from offpeak.evals.reading import choice_of, last_number, normalised
from offpeak.evals.scorers import scorers_of


def score(scorer: Scorer, answer: Any, expected: Any) -> float:
    return scorer.of({"right": expected}, {"answer": answer})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 1,234.50 in all", 1234.5),
        ("First 3, then 4. #### 72", 72.0),
        ("−7", -7.0),
        ("costs $ 1,000,000.", 1_000_000.0),
        ("about 2e3 units", 2_000.0),
        ("12 345 rows", 12_345.0),
        ("0.5", 0.5),
        (".5 of it", 0.5),
        ("minus -3.0%", -3.0),
        ("the years 2024-2025", 2025.0),
        ("no number", None),
        ("v1.2.3", None),
        ("", None),
        (42, 42.0),
        (True, None),
    ],
)
def test_the_last_number_is_read(text: object, number: float | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("(B)", "B"),
        ("b", "B"),
        ("B.", "B"),
        ("The answer is (C).", "C"),
        ("the answer is: c", "C"),
        ("Option A is wrong, so the answer is D", "D"),
        ("**Answer:** B", "B"),
        ("(A) is tempting, but (B)", "B"),
        ("I don't know", ""),
        ("A dog and a cat", ""),
        ("", ""),
    ],
)
def test_the_letter_that_is_chosen_is_read(text: str, letter: str) -> None:
    assert choice_of(text) == letter


def test_plain_forms_are_equal_across_case_space_and_punctuation() -> None:
    assert normalised("  The  Ｃafé,\n“Zürich”! ") == normalised("the café zürich")
    assert normalised("refund") != normalised("refunds")


def test_each_scorer_grades_as_it_says() -> None:
    assert score(exact(against="right"), " yes ", "yes") == 1.0
    assert score(exact(against="right"), "Yes", "yes") == 0.0
    assert score(normalised_match(against="right"), "Yes!", "yes") == 1.0
    assert score(numeric(against="right"), "so it is 1,000", "1000") == 1.0
    assert score(numeric(against="right", tolerance=0.5), "9.6", 10) == 1.0
    assert score(numeric(against="right"), "9.6", 10) == 0.0
    assert score(numeric(against="right"), "none", 10) == 0.0
    assert score(choice(against="right"), "The answer is (B)", "(B)") == 1.0
    assert score(choice(against="right"), "I don't know", "") == 0.0
    assert score(matches(r"order (\d+)", against="right"), "your order 77 is late", "77") == 1.0
    assert score(matches(r"^Dear", against=""), "Dear Ann", None) == 1.0
    assert score(overlap_f1(against="right"), "a, b, c", ["A", "b"]) == pytest.approx(0.8)
    assert score(overlap_f1(against="right"), [], []) == 1.0


def test_fields_are_compared_one_by_one_with_the_cases_own() -> None:
    scorer = json_fields(["intent", "urgent"])
    row = {"intent": "refund", "urgent": True}
    assert scorer.of(row, {"intent": "refund", "urgent": False}) == 0.5
    text = json_fields(["intent", "urgent"], column="answer")
    assert text.of(row, {"answer": '```json\n{"intent": "refund", "urgent": true}```'}) == 1.0
    assert text.of(row, {"answer": "[1, 2]"}) == 0.0


def test_a_function_of_ones_own_is_given_the_row_and_the_answer() -> None:
    def polite(row: Mapping[str, Any], answer: str) -> bool:
        return answer.startswith("Dear") and row["right"] == "yes"

    (scorer,) = scorers_of([polite])
    assert scorer.name == "polite"
    assert score(scorer, "Dear Ann", "yes") == 1.0
    assert score(scorer, "Hi", "yes") == 0.0


def test_a_function_that_fails_or_gives_no_score_is_told_by_what_it_did() -> None:
    with pytest.raises(InputError, match="ZeroDivisionError"):
        score(own(lambda row, answer: 1 / 0, name="broken"), "x", "y")
    with pytest.raises(InputError, match=r"gave 7\.0, and a score lies between 0 and 1"):
        score(own(lambda row, answer: 7, name="loud"), "x", "y")
    with pytest.raises(InputError, match="gave nan"):
        score(own(lambda row, answer: float("nan"), name="nothing"), "x", "y")


def test_a_function_without_a_name_is_refused_with_the_cure() -> None:
    with pytest.raises(SpecError, match=r"own\(function, name='...'\)"):
        scorers_of([lambda row, answer: 1.0])


def test_two_scorers_of_one_name_are_refused() -> None:
    with pytest.raises(SpecError, match="two are called kind"):
        scorers_of([exact("kind"), normalised_match("kind")])


HOSTILE = (
    "__import__('os').system('touch /tmp/hit')",
    "{{ 7 * 7 }}${7*7}#{7*7}",
    '{"__class__": "os.system", "intent": "' + "x" * 10_000 + '"}',
    "!!python/object/apply:os.system ['touch /tmp/hit']",
    "9" * 5_000,
    "1e99999",
    "(" * 10_000,
    "[" * 100_000,
    "\x00\u202e\ud7ff",
    "1,1" * 30_000,
    "answer is " * 20_000,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_answer_is_only_ever_text(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something in an answer was executed")

    for name in ("eval", "exec"):
        monkeypatch.setattr(builtins, name, never)
    monkeypatch.setattr(subprocess, "Popen", never)
    for scorer in (
        exact(against="right"),
        normalised_match(against="right"),
        numeric(against="right"),
        choice(against="right"),
        matches("x(.)", against="right"),
        overlap_f1(against="right"),
        json_fields(["intent"], column="answer"),
        own(lambda row, answer: float(answer == row["right"]), name="mine"),
    ):
        assert 0.0 <= scorer.of({"right": "refund", "intent": "refund"}, {"answer": text}) <= 1.0
