"""What the ledger promises about runs, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger import Ledger, ShardKey
from offpeak.states import RunState
from tests.ledger.making import (
    ANNA,
    LEASE,
    NOW,
    new_run,
)

MINUTE = timedelta(minutes=1)
UNFINISHED = (RunState.PLANNING, RunState.RUNNING, RunState.CHECKING)


def test_a_run_is_opened_once_for_its_interval(ledger: Ledger) -> None:
    run, is_new = ledger.open_run(new_run(), now=NOW)
    again, again_new = ledger.open_run(new_run(started_by="manual"), now=NOW + MINUTE)
    assert (is_new, again_new) == (True, False)
    assert again == run == ledger.run("ticket_triage/2026-11-22T070000Z")
    assert (run.edition, run.state, run.started_by) == (1, RunState.PLANNING, "scheduled__1")
    assert run.spec == {"model": "gpt-5-mini", "prompt": {"user": "{{ row.text }}"}}
    assert (run.created_at, run.due_at, run.ended_at) == (NOW, NOW + timedelta(minutes=45), None)


def test_an_ended_run_started_again_becomes_the_next_edition(ledger: Ledger) -> None:
    for edition in (1, 2, 3):
        run, is_new = ledger.open_run(new_run(spec_hash=f"spec{edition}"), now=NOW)
        assert (run.edition, is_new) == (edition, True)
        ledger.move_run(run.run_id, RunState.FAILED, since=UNFINISHED, now=NOW, error="no rows")
    assert [run.run_id for run in ledger.runs()] == [
        "ticket_triage/2026-11-22T070000Z~3",
        "ticket_triage/2026-11-22T070000Z~2",
        "ticket_triage/2026-11-22T070000Z",
    ]


def test_an_unfinished_run_of_another_spec_is_not_resumed(ledger: Ledger) -> None:
    run, _ = ledger.open_run(new_run(), now=NOW)
    with pytest.raises(LedgerConflict, match="spec 5pec, now other") as caught:
        ledger.open_run(new_run(spec_hash="other"), now=NOW)
    assert f"Run {run.run_id} is planning" in str(caught.value)
    assert f"`offpeak cancel {run.run_id}`" in str(caught.value)
    assert len(ledger.runs()) == 1


def test_the_newest_unfinished_like_run_is_found_whatever_its_interval(ledger: Ledger) -> None:
    for hour in (1, 2, 3):
        ledger.open_run(new_run(interval_key=f"hour{hour}"), now=NOW + hour * MINUTE)
    ledger.move_run("ticket_triage/hour3", RunState.CANCELLED, since=UNFINISHED, now=NOW)
    found = ledger.open_like("ticket_triage", "5pec")
    assert found is not None
    assert found.run_id == "ticket_triage/hour2"
    assert ledger.open_like("ticket_triage", "other") is None
    assert ledger.open_like("another", "5pec") is None


def test_runs_are_listed_newest_first_by_workload_and_state(ledger: Ledger) -> None:
    for minute, workload in enumerate(["a", "b", "a"]):
        ledger.open_run(new_run(workload=workload, interval_key=str(minute)), now=NOW + minute * MINUTE)
    ledger.move_run("a/0", RunState.REFUSED, since=UNFINISHED, now=NOW, error="3 checks failed")
    assert [run.run_id for run in ledger.runs()] == ["a/2", "b/1", "a/0"]
    assert [run.run_id for run in ledger.runs("a", limit=1)] == ["a/2"]
    assert [run.run_id for run in ledger.runs(states=[RunState.REFUSED, RunState.FAILED])] == ["a/0"]


def test_a_run_moves_only_from_a_state_it_is_in(ledger: Ledger) -> None:
    run, _ = ledger.open_run(new_run(), now=NOW)
    moved = ledger.move_run(
        run.run_id, RunState.CHECKING, since=UNFINISHED, now=NOW + MINUTE, facts={"rows": 3}
    )
    assert (moved.state, moved.updated_at, moved.facts) == (RunState.CHECKING, NOW + MINUTE, {"rows": 3})
    with pytest.raises(LedgerConflict, match=r"is checking .* and not planning or running") as caught:
        ledger.move_run(run.run_id, RunState.PUBLISHING, since=[RunState.RUNNING, RunState.PLANNING], now=NOW)
    assert "Nothing was changed" in str(caught.value)
    assert ledger.run(run.run_id) == moved


def test_the_end_of_a_run_is_noted_with_its_reason(ledger: Ledger) -> None:
    run, _ = ledger.open_run(new_run(), now=NOW)
    ended = ledger.move_run(run.run_id, RunState.REFUSED, since=UNFINISHED, now=NOW + MINUTE, error="no")
    assert (ended.ended_at, ended.error) == (NOW + MINUTE, "no")
    assert ledger.events(run.run_id)[-1].what == "run planning → refused"


def test_an_older_edition_is_not_opened_again_beside_a_newer_one(ledger: Ledger) -> None:
    first, _ = ledger.open_run(new_run(), now=NOW)
    ledger.move_run(first.run_id, RunState.REFUSED, since=UNFINISHED, now=NOW)
    reopened = ledger.move_run(first.run_id, RunState.PUBLISHING, since=[RunState.REFUSED], now=NOW)
    assert reopened.ended_at is None
    ledger.move_run(first.run_id, RunState.REFUSED, since=[RunState.PUBLISHING], now=NOW)
    second, _ = ledger.open_run(new_run(), now=NOW)
    with pytest.raises(LedgerConflict, match=f"go on with {second.run_id}"):
        ledger.move_run(first.run_id, RunState.PUBLISHING, since=[RunState.REFUSED], now=NOW)


def test_facts_are_merged_and_keep_their_kind(ledger: Ledger) -> None:
    run, _ = ledger.open_run(new_run(), now=NOW)
    ledger.note_run(run.run_id, {"rows": 3, "table": {"name": "t\x00ü\ud800"}}, now=NOW)
    ledger.note_run(run.run_id, {"rows": 4, "share": 0.1, "files": ("a", "b"), "none": None}, now=NOW)
    assert ledger.run(run.run_id).facts == {
        "rows": 4,
        "table": {"name": "t\x00ü\ud800"},
        "share": 0.1,
        "files": ["a", "b"],
        "none": None,
    }


@pytest.mark.parametrize("fact", [Decimal("1.5"), float("nan"), NOW, {1, 2}])
def test_a_fact_that_json_cannot_hold_is_refused_by_name(ledger: Ledger, fact: Any) -> None:
    run, _ = ledger.open_run(new_run(), now=NOW)
    with pytest.raises(SpecError, match="The fact 'estimate' cannot be kept in the ledger"):
        ledger.note_run(run.run_id, {"rows": 1, "estimate": fact}, now=NOW)
    assert ledger.run(run.run_id).facts == {}


def test_what_is_not_there_is_named_with_the_way_to_find_it(ledger: Ledger) -> None:
    with pytest.raises(SpecError, match=r"There is no run 'nope' in this ledger.*OFFPEAK_LEDGER"):
        ledger.run("nope")
    with pytest.raises(SpecError, match="There is no run 'nope'"):
        ledger.note_run("nope", {}, now=NOW)
    with pytest.raises(SpecError, match="There is no shard 1 round 2 of run nope"):
        ledger.claim(ShardKey(run_id="nope", round=2, number=1), ANNA, LEASE, now=NOW)
    assert ledger.events("nope") == []


def test_a_naive_time_is_refused_and_every_zone_comes_back_as_utc(ledger: Ledger) -> None:
    naive = datetime(2026, 11, 22)  # noqa: DTZ001 - the point of the test
    with pytest.raises(SpecError, match="2026-11-22T00:00:00 has no time zone"):
        ledger.open_run(new_run(), now=naive)
    with pytest.raises(SpecError, match="has no time zone"):
        ledger.open_run(new_run(due_at=naive), now=NOW)
    assert ledger.runs() == []
    kathmandu = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    run, _ = ledger.open_run(new_run(due_at=kathmandu), now=kathmandu + timedelta(microseconds=7))
    assert (str(run.due_at), str(run.created_at)) == (
        "2026-11-22 08:00:00+00:00",
        "2026-11-22 08:00:00.000007+00:00",
    )
