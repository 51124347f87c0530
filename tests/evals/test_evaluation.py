"""Whole evaluations against the emulator: asked, scored, decided, published, and followed over the nights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from offpeak import Prompt
from offpeak.errors import InputError
from offpeak.evals import Embeddings, Gate, Judge, exact, own, similarity
from offpeak.evals.gate import passed
from offpeak.run import new_run, start
from tests.evals.making import Evaluating, candidate, night, suite


def result(place: Evaluating, on: int = 20) -> dict[str, dict[str, Any]]:
    path = place.store / f"tables/evals/interval=2026-11-{on}T000000Z/answers.parquet"
    return {row["candidate"]: row for row in pq.ParquetFile(path).read().to_pylist()}


def facts(place: Evaluating, on: int = 20) -> dict[str, Any]:
    text = (place.store / f"evals/evals/2026-11-{on}T000000Z.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found | {"candidates": {one["name"]: one for one in found["candidates"]}}


def test_a_worse_model_fails_and_a_prompt_that_changes_nothing_passes(place: Evaluating) -> None:
    place.cases(300)
    longer = candidate("longer", prompt=Prompt(system="Sort bank tickets well.", user="{{ row.text }}"))
    made = suite(candidates=[candidate("mini"), candidate("nano", "openai:gpt-5-nano"), longer])
    done = place.evaluate(made)
    rows = result(place)
    assert {name: row["decision"] for name, row in rows.items()} == {
        "mini": "baseline",
        "nano": "failed",
        "longer": "passed",
    }
    assert done.exit_code == 4
    assert rows["mini"]["score"] == 1.0
    assert rows["nano"]["score"] == pytest.approx(0.92, abs=0.04)
    assert rows["nano"]["difference_high"] < -0.02 < rows["longer"]["difference_low"]
    assert rows["nano"]["worse"] == round(300 * (1 - rows["nano"]["score"]))
    assert rows["nano"]["cost_usd_per_1000"] < rows["mini"]["cost_usd_per_1000"] / 3
    assert any("nano failed" in line for line in done.said)
    assert "nano failed; longer passed" in place.page()


def test_few_cases_leave_it_undecided_with_the_number_that_is_missing(place: Evaluating) -> None:
    place.cases(30)
    done = place.evaluate(suite(candidates=[candidate("mini"), candidate("same", prompt=LIKE)]))
    assert done.exit_code == 5
    said = done.facts["candidates"]["same"]
    assert said["decision"] == "undecided"
    assert said["more_cases"] > 100


LIKE = Prompt(system="Sort the tickets.", user="{{ row.text }}")


def test_an_evaluation_that_is_finished_again_is_the_same_and_asks_nothing(place: Evaluating) -> None:
    place.cases(60)
    first = place.evaluate(suite())
    before, billed = result(place), place.billed()
    again = place.evaluate(suite())
    assert again.facts == first.facts
    assert result(place) == before
    assert place.billed() == billed


def test_the_next_evaluation_asks_only_what_is_new(place: Evaluating) -> None:
    place.cases(60)
    place.evaluate(suite())
    place.cases(66)
    place.evaluate(suite(), on=21)
    assert place.requests("evals__mini", on=20) == 60
    assert place.requests("evals__mini", on=21) == 6
    assert result(place, on=21)["mini"]["cases"] == 66


def test_samples_of_a_case_are_asked_each_for_itself_and_count_as_one_case(place: Evaluating) -> None:
    place.cases(40)
    place.evaluate(suite(samples=3))
    assert place.requests("evals__mini") == 120
    assert result(place)["mini"]["cases"] == 40
    place.evaluate(suite(samples=4), on=21)
    assert place.requests("evals__mini", on=21) == 40  # the fourth of each


def test_the_stability_sample_is_asked_anew_every_night_and_only_once_a_night(place: Evaluating) -> None:
    place.cases(60)
    made = suite(stability=10)
    place.evaluate(made)
    place.evaluate(made, on=21)
    assert (place.requests("evals__mini"), place.requests("evals__mini", on=21)) == (80, 20)
    billed = place.billed()
    site, interval, stage = place.site(), night(21), next(made.pipeline.stages())
    changed = replace(stage, prompt=stage.prompt, max_output_tokens=5_000)
    run = start(changed, site, new_run(changed, site, interval), interval)
    assert (run.facts["requests"], run.facts["carried"]) == (0, 80)  # the same night again is carried
    assert place.billed() == billed
    steady = facts(place, on=21)["candidates"]["mini"]["stability"]
    assert (steady["against"], steady["flips"]["value"], steady["cases"]) == ("2026-11-20T000000Z", 0.0, 10)
    assert facts(place)["candidates"]["mini"]["stability"]["flips"] is None


def test_the_same_cases_are_in_the_stability_sample_when_others_come(place: Evaluating) -> None:
    place.cases(400)
    made = suite(candidates=[candidate("mini")], stability=40)
    place.evaluate(made)
    place.cases(420)
    place.evaluate(made, on=21)
    assert facts(place, on=21)["candidates"]["mini"]["stability"]["flips"]["cases"] >= 35


def test_what_passed_becomes_the_last_good_one_and_never_goes_back(place: Evaluating) -> None:
    place.cases(300)
    made = suite(candidates=[candidate("mini"), candidate("same", prompt=LIKE)])
    assert place.evaluate(made).facts["last_good"]["name"] == "same"
    later = place.evaluate(made, on=21)
    assert later.facts["baseline"] == "same"
    assert later.facts["candidates"]["mini"]["decision"] == "passed"
    assert later.facts["last_good"] == {
        **later.facts["last_good"],
        "name": "same",
        "since": "2026-11-20T000000Z",
    }
    assert place.evaluate(made, on=22).facts["baseline"] == "same"


def test_a_named_baseline_stays_the_baseline(place: Evaluating) -> None:
    place.cases(300)
    made = suite(candidates=[candidate("mini"), candidate("same", prompt=LIKE)], baseline="mini")
    place.evaluate(made)
    assert place.evaluate(made, on=21).facts["baseline"] == "mini"


def test_a_last_good_one_that_is_not_asked_any_more_is_named(place: Evaluating) -> None:
    place.cases(300)
    place.evaluate(suite(candidates=[candidate("mini"), candidate("same", prompt=LIKE)]))
    done = place.evaluate(
        suite(candidates=[candidate("mini"), candidate("nano", "openai:gpt-5-nano")]), on=21
    )
    assert done.facts["baseline"] == "mini"
    assert "the last good one (same, as of 2026-11-20) is not asked in this suite any more" in place.page()


def test_an_older_interval_that_is_evaluated_late_sees_only_what_came_before_it(place: Evaluating) -> None:
    place.cases(300)
    made = suite(candidates=[candidate("mini"), candidate("same", prompt=LIKE)])
    place.evaluate(made, on=21)
    late = place.evaluate(made, on=20)
    assert late.facts["baseline"] == "mini"
    assert "Evaluation of 2026-11-21" in place.page()


def test_the_ledger_says_whether_what_a_workload_asks_has_passed(place: Evaluating) -> None:
    place.cases(300)
    made = suite(
        candidates=[candidate("mini"), candidate("nano", "openai:gpt-5-nano"), candidate("same", prompt=LIKE)]
    )
    done = place.evaluate(made)
    site = place.site()
    last = site.ledger.runs("evals__same", limit=1)[0]
    assert last.facts["finished"] == json.loads(json.dumps(done.facts))
    found = {one.name: passed(site.ledger, "evals", made.asks(one)) for one in made.candidates}
    assert {name: one.ok for name, one in found.items()} == {"mini": True, "nano": False, "same": True}
    assert found["nano"].said.startswith("evals of 2026-11-20T000000Z: failed. It is at least")
    unknown = passed(site.ledger, "evals", "0" * 16)
    assert (unknown.ok, unknown.decision) == (False, None)
    assert "Add it there" in unknown.said
    assert not passed(site.ledger, "eval", made.asks(made.candidates[0])).ok  # another suite's name begins so


def test_a_later_evaluation_overrules_an_earlier_one(place: Evaluating) -> None:
    place.cases(300)
    strict = suite(candidates=[candidate("mini"), candidate("same", prompt=LIKE)], baseline="mini")
    place.evaluate(strict)
    harder = suite(
        candidates=strict.candidates, baseline="mini", gate=Gate(metric="kind", max_cost_usd_per_1000=0.0)
    )
    assert place.evaluate(harder, on=21).exit_code == 4
    assert not passed(place.site().ledger, "evals", strict.asks(strict.candidates[1])).ok


def test_answers_that_are_missing_count_as_wrong_and_are_told(place: Evaluating) -> None:
    place.cases(60)
    place.emulator.control.add_fault("line_refusal", times=1)
    always = own(
        lambda row, answer: 1.0, name="always"
    )  # even of an answer that is not there, if it were asked
    place.evaluate(suite(candidates=[candidate("mini")], scorers=[exact("kind"), always]))
    row = result(place)["mini"]
    assert [one["score"]["value"] for one in facts(place)["candidates"]["mini"]["metrics"]] == [
        59 / 60,
        59 / 60,
    ]
    assert (row["unanswered"], row["cases"]) == (1, 60)
    assert row["score"] == pytest.approx(59 / 60)
    assert "1 answer missing, counted as wrong (1 refused)" in place.page()


def test_a_scorer_that_fails_names_itself_and_the_case(place: Evaluating) -> None:
    place.cases(30)

    def picky(row: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
        return 1 / (int(row["case_id"][1:]) - 7)

    with pytest.raises(InputError, match=r"scorer 'picky' failed on the case 'c00007': ZeroDivisionError"):
        place.evaluate(
            suite(scorers=[exact("kind"), own(lambda row, _: abs(picky(row, _)) * 0 + 1, name="picky")])
        )


def test_a_column_that_the_cases_lack_is_named_beside_those_they_have(place: Evaluating) -> None:
    place.cases(30)
    with pytest.raises(
        InputError, match="the column 'label', which the cases do not have; they have case_id, text"
    ):
        place.evaluate(suite(scorers=[exact("kind", against="label")]))


def test_two_cases_of_one_key_are_refused_before_anything_is_sent(place: Evaluating) -> None:
    place.cases(3, case_id=["a", "b", "a"])
    with pytest.raises(InputError, match=r"two cases have the case_id 'a'\. Nothing was sent"):
        place.evaluate(suite())
    assert place.creates() == 0


def test_a_case_is_scored_as_it_was_asked(place: Evaluating) -> None:
    place.cases(60)
    made = suite(candidates=[candidate("mini")])
    site, interval = place.site(), night(20)
    stage = next(made.pipeline.stages())
    run = start(stage, site, new_run(stage, site, interval), interval)
    place.cases(60, kind=["other"] * 60)  # the labels change while the answers are on their way
    from offpeak.drive import drive

    drive(stage, site, run.run_id)
    assert place.evaluate(made).facts["candidates"]["mini"]["score"]["value"] == 1.0


def test_slices_have_their_own_intervals_and_a_word_on_their_number(place: Evaluating) -> None:
    place.cases(300)
    place.evaluate(suite(slices=["region", "kind"]))
    found = facts(place)["candidates"]["nano"]["slices"]
    assert {(one["column"], one["value"]) for one in found} == {
        ("region", "north"), ("region", "south"), ("kind", "card"), ("kind", "refund"), ("kind", "transfer")
    }  # fmt: skip
    north = next(one["compared"] for one in found if one["value"] == "north")
    assert north["score"]["cases"] == 225
    assert any("5 slices were looked at" in note for note in facts(place)["notes"])


def test_the_judge_sees_each_pair_in_both_orders_and_equal_answers_never(place: Evaluating) -> None:
    place.cases(120)
    made = suite(judge=Judge(rubric="The right kind is better.", model="openai:gpt-5", show=("text",)))
    done = place.evaluate(made)
    nano = facts(place)["candidates"]["nano"]
    differ = nano["metrics"][0]["worse"]
    assert differ > 0
    assert place.requests("evals__judge") == 2 * differ
    assert nano["judge"]["pairs"] == differ
    scores = {one["metric"]: one for one in nano["metrics"]}
    assert scores["judge"]["score"]["cases"] == 120
    assert scores["judge"]["baseline"]["value"] == 0.5
    assert done.facts["candidates"]["mini"]["decision"] == "baseline"
    assert "The judge" in place.page()


def test_a_judge_without_any_pair_asks_nothing_and_says_nothing(place: Evaluating) -> None:
    place.cases(30)
    made = suite(
        candidates=[candidate("mini"), candidate("same", prompt=LIKE)],
        judge=Judge(rubric="Any.", model="openai:gpt-5"),
    )
    place.evaluate(made)
    assert place.requests("evals__judge") == 0
    assert {
        one["metric"]: one["score"]["value"] for one in facts(place)["candidates"]["same"]["metrics"]
    } == {
        "kind": 1.0,
        "judge": 0.5,
    }


def test_similarity_compares_embeddings_of_each_text_once(place: Evaluating) -> None:
    texts = [f"A ticket about the number {number} of a card." for number in range(60)]
    place.cases(60, text=texts, reference=texts)
    made = suite(
        candidates=[candidate("a", answer=str), candidate("b", answer=str, prompt=SHORT)],
        scorers=[similarity("answer", against="reference", name="near")],
        embeddings=Embeddings(dimensions=64),
        gate=Gate(metric="near"),
    )
    place.evaluate(made)
    rows = result(place)
    assert rows["a"]["score"] == pytest.approx(1.0)  # the stand-in repeats the only sentence there is
    assert 0.2 < rows["b"]["score"] < 0.95
    assert place.requests("evals__vectors") == 60 + 6  # the references, which are also the answers of a


SHORT = Prompt(user="A ticket from the {{ row.region }} about a {{ row.kind }} of somebody.")


def test_a_candidate_alone_is_followed_without_being_decided(place: Evaluating) -> None:
    place.cases(30)
    done = place.evaluate(suite(candidates=[candidate("mini")], stability=5))
    assert (done.exit_code, done.facts["decision"]) == (0, "baseline")
    assert "mini alone was asked: kind 100.0 %" in place.page()
