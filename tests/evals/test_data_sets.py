"""Cases that others score models with, in whole suites. The stand-in cannot solve them: the machinery is tested."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq
import pytest

from offpeak import Prompt, jsonl, parquet
from offpeak.evals import Gate, choice, numeric, own
from tests.evals.making import DATA, Evaluating, candidate, suite
from tests.evals.test_evaluation import facts

SETS = DATA / "evals"
pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason="the data sets are not here")


def test_word_problems_are_scored_by_the_last_number(place: Evaluating) -> None:
    (place.store / "problems").mkdir(parents=True)
    pq.write_table(
        pq.read_table(SETS / "gsm8k_train.parquet").slice(0, 1_000), place.store / "problems/some.parquet"
    )
    made = suite(
        cases=parquet("{store}/problems/*.parquet", key="item_id"),
        candidates=[candidate("a", answer=str, prompt=Prompt(user="{{ row.question }}"))],
        scorers=[numeric("answer", against="final_answer", name="right")],
        gate=Gate(metric="right"),
    )
    place.evaluate(made)
    (main,) = facts(place)["candidates"]["a"]["metrics"]
    assert main["score"]["cases"] == 1_000
    assert 0.0 < main["score"]["value"] < 0.3  # the last number of a question is seldom its answer
    truth = [numeric("answer", against="final_answer").of(row, row) for row in _rows("gsm8k_train.parquet")]
    assert min(truth) == 1.0  # and the set's own solutions are all read right


def test_choices_of_many_tasks_are_scored_and_sliced(place: Evaluating) -> None:
    made = suite(
        cases=parquet(str(SETS / "bbh.parquet"), key="item_id"),
        candidates=[candidate("a", answer=str, prompt=Prompt(user="{{ row.input }}"))],
        scorers=[choice("answer", against="target", name="right")],
        slices=["task"],
        gate=Gate(metric="right"),
    )
    place.evaluate(made)
    found = facts(place)["candidates"]["a"]
    assert len(found["slices"]) == 12
    assert found["metrics"][0]["score"]["cases"] == len(_rows("bbh.parquet"))
    lettered = [row for row in _rows("bbh.parquet") if row["target"].startswith("(")]
    assert {
        choice(against="target").of(row, {"answer": f"So it is {row['target']}."}) for row in lettered
    } == {1.0}


def looks_like_python(row: Mapping[str, Any], answer: str) -> float:
    """Parsed and looked at, never run: a function of the user's own decides what is done with code."""
    try:
        tree = ast.parse(f"{row['prompt']}\n{answer}")
    except (SyntaxError, ValueError):
        return 0.0
    return float(any(isinstance(node, ast.Return) for node in ast.walk(tree)))


def test_code_is_scored_only_by_a_function_of_the_users_own(place: Evaluating) -> None:
    made = suite(
        cases=jsonl(str(SETS / "humaneval.jsonl"), key="task_id"),
        candidates=[candidate("a", answer=str, prompt=Prompt(user="Complete:\n{{ row.prompt }}"))],
        scorers=[looks_like_python],
        gate=Gate(metric="looks_like_python"),
    )
    place.evaluate(made)
    (main,) = facts(place)["candidates"]["a"]["metrics"]
    assert main["score"]["cases"] == 164
    assert main["score"]["value"] < 0.5
    row = {"prompt": "def one():\n    '''one'''\n"}
    assert own(looks_like_python).of(row, {"answer": "    return 1\n"}) == 1.0


def _rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(SETS / name).to_pylist()
    return found
