"""What a user gets when the provider misbehaves: every row still ends in one outcome, and is paid once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offpeak.dead_letters import dead_letters
from offpeak.emulator import FAULTS
from offpeak.errors import ProviderRefused
from offpeak.states import RunState
from tests.run.making import CREATE_PATHS, Place

A_DAY_A_SECOND = 86_400.0

HARMLESS: list[tuple[str, str, dict[str, Any]]] = [
    ("lost_response", "the batch is found again, not sent again", {}),
    (
        "html_success",
        "a page instead of a batch is looked into, not sent again",
        {"method": "POST", "path": "CREATE"},
    ),
    ("rate_limited", "the wait that was asked for is kept", {"params": {"retry_after": 1}}),
    ("unreachable", "a connection that is refused is tried again", {"times": 3}),
    ("server_error", "an error while looking is looked past", {"times": 2, "method": "GET"}),
    ("unavailable", "an overload while looking is waited out", {"times": 2, "method": "GET"}),
    ("overloaded", "a 529 while looking is waited out", {"times": 2, "method": "GET"}),
    ("bad_gateway", "a proxy's page while looking is waited out", {"times": 2, "method": "GET"}),
    ("http_error", "an odd status while looking is waited out", {"params": {"status": 408}, "method": "GET"}),
    ("not_found", "a batch that seems gone is looked for again", {"times": 2}),
    ("not_found_early", "a new batch that is not visible yet is waited for", {"params": {"for_seconds": 30}}),
    ("late_in_list", "a batch that is listed late is not sent again", {"params": {"for_seconds": 10}}),
    ("reset_download", "a download that breaks off is begun anew", {}),
    ("truncated_results", "a download that is cut is begun anew", {}),
    ("slow_body", "a slow answer is waited for", {}),
    ("unknown_status", "a status nobody knows is waited on", {"times": 2}),
    ("duplicated_line", "the first of two results counts", {"params": {"lines": 3}}),
    ("foreign_line", "a result that nobody asked for is left out", {"params": {"lines": 3}}),
    ("input_order", "results in the order of the input are read", {}),
    ("line_separators", "a line separator in a text cuts no row", {"times": -1}),
]


@pytest.mark.parametrize(
    ("fault", "details"),
    [(fault, details) for fault, _, details in HARMLESS],
    ids=[f"{f}: {t}" for f, t, _ in HARMLESS],
)
def test_a_run_survives_and_pays_each_row_once(place: Place, fault: str, details: dict[str, Any]) -> None:
    place.rows(30)
    if details.get("path") == "CREATE":
        details = details | {"path": CREATE_PATHS[place.provider]}
    place.emulator.control.add_fault(fault, **details)
    run = place.run(place.workload())
    assert run.state is RunState.PUBLISHED
    assert run.facts["outcomes"] == {"answered": 30}
    assert place.creates() == 1
    assert place.billed() == 30


AGAIN: list[tuple[str, dict[str, Any]]] = [
    ("missing_line", {"params": {"lines": 4}}),
    ("expired_partial", {}),
    ("line_truncated", {"times": -1, "once": "custom_id", "share": 0.2}),
    ("line_invalid_json", {"times": -1, "once": "custom_id", "share": 0.2}),
    ("line_schema_break", {"times": -1, "once": "custom_id", "share": 0.2}),
    ("line_error_500", {"times": -1, "once": "custom_id", "share": 0.2}),
]


@pytest.mark.parametrize(("fault", "details"), AGAIN, ids=[name for name, _ in AGAIN])
def test_only_rows_that_failed_are_asked_again(place: Place, fault: str, details: dict[str, Any]) -> None:
    place.rows(40)
    place.emulator.control.add_fault(fault, **details)
    if fault == "expired_partial":
        place.emulator.control.set_speed(A_DAY_A_SECOND)
    run = place.run(place.workload())
    first, second = place.emulator.control.creates()
    assert run.facts["outcomes"] == {"answered": 40}
    assert first.requests == 40
    assert 0 < second.requests < 40


def test_an_expired_batch_whose_lines_say_only_server_error_is_asked_again(openai_place: Place) -> None:
    openai_place.rows(20)
    openai_place.emulator.control.add_fault("expired_partial")
    openai_place.emulator.control.add_fault("generic_expiry_error")
    openai_place.emulator.control.set_speed(A_DAY_A_SECOND)
    assert openai_place.run(openai_place.workload()).facts["outcomes"] == {"answered": 20}


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("line_refusal", "refused"), ("line_error_400", "errored")],
)
def test_what_would_fail_again_is_a_dead_letter_at_once(place: Place, fault: str, outcome: str) -> None:
    place.rows(40)
    place.emulator.control.add_fault(fault, times=-1, share=0.1)
    run = place.run(place.workload(max_failed=0.5))
    letters = list(dead_letters(place.site(), run.run_id))
    assert place.creates() == 1
    assert letters
    assert {letter.outcome for letter in letters} == {outcome}
    assert all(letter.reason and letter.user for letter in letters)
    assert run.facts["outcomes"] == {"answered": 40 - len(letters), outcome: len(letters)}


def test_an_unknown_kind_of_result_is_kept_as_it_came(place: Place) -> None:
    if place.provider == "openai":
        pytest.skip("OpenAI's result lines have no kind")
    place.rows(20)
    place.emulator.control.add_fault("unknown_result_type", times=1)
    run = place.run(place.workload(max_failed=0.5))
    (letter,) = dead_letters(place.site(), run.run_id)
    assert (letter.outcome, letter.code) == ("errored", "unknown_result")


def test_a_batch_in_which_every_line_failed_has_no_output_file_and_ends_in_dead_letters(
    openai_place: Place,
) -> None:
    openai_place.rows(10)
    openai_place.emulator.control.add_fault("all_failed", times=-1)
    run = openai_place.run(openai_place.workload(max_failed=1.0))
    assert set(run.facts["outcomes"]) == {"errored"}


def test_an_empty_error_file_id_is_no_file(openai_place: Place) -> None:
    openai_place.rows(10)
    openai_place.emulator.control.add_fault("empty_error_file_id")
    assert openai_place.run(openai_place.workload()).facts["outcomes"] == {"answered": 10}


@pytest.mark.parametrize("fault", ["token_limit_exceeded", "file_not_accessible"])
def test_a_batch_that_failed_for_a_passing_reason_is_submitted_again(openai_place: Place, fault: str) -> None:
    openai_place.rows(10)
    openai_place.emulator.control.add_fault(fault)
    run = openai_place.run(openai_place.workload())
    assert run.facts["outcomes"] == {"answered": 10}
    assert openai_place.creates() == 2
    assert openai_place.billed() == 10


def test_a_batch_that_failed_for_good_stops_the_run_with_the_providers_reason(openai_place: Place) -> None:
    openai_place.rows(10)
    openai_place.emulator.control.add_fault("batch_failed")
    with pytest.raises(ProviderRefused, match="None of its 10 requests ran or was billed"):
        openai_place.run(openai_place.workload())
    (run,) = openai_place.site().ledger.runs("sorting")
    assert run.state is RunState.FAILED
    assert openai_place.run(openai_place.workload()).run_id == run.run_id  # taken up, once it is mended


def test_a_quota_that_is_used_up_is_said_in_a_plain_sentence(place: Place) -> None:
    place.rows(10)
    place.emulator.control.add_fault("insufficient_quota", times=-1, method="POST")
    with pytest.raises(ProviderRefused) as caught:
        place.run(place.workload())
    assert "test-key" not in str(caught.value)
    assert place.creates() == 0


def test_a_list_that_cannot_be_read_never_leads_to_a_second_submission(place: Place) -> None:
    place.rows(10)
    path = CREATE_PATHS[place.provider]
    place.emulator.control.add_fault("lost_response", method="POST", path=path)
    place.emulator.control.add_fault("list_fails", times=3)
    run = place.run(place.workload())
    assert run.state is RunState.PUBLISHED
    assert place.creates() == 1


def test_a_batch_that_is_stuck_until_its_window_ends_is_asked_again(openai_place: Place) -> None:
    openai_place.rows(10)
    openai_place.emulator.control.add_fault("stuck")
    openai_place.emulator.control.set_speed(A_DAY_A_SECOND)
    run = openai_place.run(openai_place.workload())
    assert run.facts["outcomes"] == {"answered": 10}
    assert openai_place.creates() == 2
    assert openai_place.billed() == 10


def test_every_fault_of_the_emulator_has_a_test_of_what_a_user_gets() -> None:
    here = Path(__file__).parent
    tests = "".join((here / name).read_text() for name in ("test_faults.py", "test_run.py", "test_cli.py"))
    assert [name for name in FAULTS if f'"{name}"' not in tests] == []
