"""A run that would fail for every row is stopped after a small first batch."""

from __future__ import annotations

import pytest

from offpeak.errors import RunEnded
from offpeak.progress import summary
from offpeak.states import RunState
from tests.run.making import Place


def test_a_new_prompt_sends_a_canary_first_and_the_rest_after_it(place: Place) -> None:
    place.rows(100)
    run = place.run(place.workload(canary=25, shard_requests=50))
    sizes = [create.requests for create in place.emulator.control.creates()]
    assert sizes[0] == 25
    assert sorted(sizes) == [25, 25, 50]
    assert run.facts["outcomes"] == {"answered": 100}


def test_a_prompt_that_was_published_before_needs_no_canary(openai_place: Place) -> None:
    openai_place.rows(60)
    openai_place.run(openai_place.workload(canary=25))
    openai_place.rows(120)
    openai_place.run(openai_place.workload(canary=25), hour=9)
    assert [create.requests for create in openai_place.emulator.control.creates()] == [25, 35, 60]


def test_a_canary_that_fails_alike_stops_the_run_before_the_others_are_paid(place: Place) -> None:
    place.rows(100)
    place.emulator.control.add_fault("line_error_400", times=-1)
    with pytest.raises(RunEnded, match="all 25 rows ended errored in the same way"):
        place.run(place.workload(canary=25, max_failed=1.0))
    assert place.creates() == 1
    (run,) = place.site().ledger.runs("sorting")
    assert run.state is RunState.FAILED
    assert "Correct the prompt, the model or the answer type" in run.error
    place.emulator.control.clear_faults()
    after = place.run(place.workload(canary=25))
    assert after.run_id != run.run_id
    assert summary(place.site(), after.run_id)["outcomes"] == {"answered": 100}


def test_rows_that_fail_for_different_reasons_do_not_stop_a_run(openai_place: Place) -> None:
    openai_place.rows(60)
    openai_place.emulator.control.add_fault("line_error_400", times=-1, share=0.5)
    openai_place.emulator.control.add_fault("line_refusal", times=-1)
    run = openai_place.run(openai_place.workload(max_failed=1.0))
    assert set(run.facts["outcomes"]) == {"errored", "refused"}


def test_a_workload_can_change_what_is_asked_again(openai_place: Place) -> None:
    openai_place.rows(30)
    openai_place.emulator.control.add_fault("line_refusal", times=-1, once="custom_id", share=0.3)
    run = openai_place.run(openai_place.workload(policy={"refused": "same"}))
    assert run.facts["outcomes"] == {"answered": 30}
    assert openai_place.creates() == 2
