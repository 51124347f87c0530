"""`requires=`: a changed prompt or model waits for an evaluation, an unchanged one for nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak import Prompt, parquet
from offpeak.errors import GateRefused, SpecError
from offpeak.evals import Candidate
from offpeak.states import RunState
from tests.evals.making import PROMPT, Evaluating, Sorted, suite


@pytest.fixture
def desk(place: Evaluating) -> Evaluating:
    """Labelled cases, and tickets to sort."""
    place.cases(120)
    place.rows(12)
    return place


def test_a_workload_asks_nothing_before_the_suite_that_it_requires_has_passed_it(desk: Evaluating) -> None:
    work = desk.workload(answer=Sorted, prompt=PROMPT, requires="evals", rows=_rows())
    with pytest.raises(GateRefused, match="was never published, and it requires evals to have passed it"):
        desk.run(work, hour=1)
    assert desk.creates() == 0
    refused = desk.site().ledger.runs("sorting")[0]
    assert refused.state is RunState.FAILED
    assert "Nothing was sent or billed" in refused.error
    desk.evaluate(suite(candidates=[Candidate.of("now", work)]))
    assert desk.run(work, hour=2).state is RunState.PUBLISHED


def test_only_a_change_of_what_is_asked_waits_for_a_new_evaluation(desk: Evaluating) -> None:
    first = desk.workload(answer=Sorted, prompt=PROMPT, rows=_rows())
    desk.run(first, hour=1)
    gated = replace(first, requires="evals")
    assert desk.run(gated, hour=2).state is RunState.PUBLISHED, "what is published is not held up"
    worse = replace(gated, model="openai:gpt-5-nano")
    other = replace(gated, prompt=Prompt(system="Sort them well.", user="{{ row.text }}"))
    candidates = [Candidate.of("now", first), Candidate.of("cheap", worse)]
    desk.evaluate(suite(candidates=candidates))
    with pytest.raises(GateRefused, match=r"asks something else than its last published run.*: failed") as no:
        desk.run(worse, hour=3)
    assert "worse than the baseline" in str(no.value)
    with pytest.raises(GateRefused, match="No evaluation of evals has this model, prompt and parameters"):
        desk.run(other, hour=4)
    assert desk.run(gated, hour=5).state is RunState.PUBLISHED


def test_requires_is_the_name_of_a_suite(desk: Evaluating) -> None:
    with pytest.raises(SpecError, match="requires='The Suite': give the name of an evaluation suite"):
        desk.workload(requires="The Suite")


def _rows() -> object:
    return parquet("{store}/tickets/*.parquet", key="id")
