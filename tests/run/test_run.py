"""A run from its rows to its published table, on both providers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from offpeak.cancel import cancel
from offpeak.dead_letters import dead_letters
from offpeak.drive import drive
from offpeak.errors import BudgetError, GateRefused, InputError, LedgerConflict, ProviderRefused, SpecError
from offpeak.progress import summary
from offpeak.run import publish
from offpeak.states import RunState
from tests.run.making import Place


def test_every_row_is_published_once_with_its_answer_and_provenance(place: Place) -> None:
    place.rows(120)
    run = place.run(place.workload(shard_requests=50))
    rows = place.table(run)
    assert run.state is RunState.PUBLISHED
    assert [row["id"] for row in rows] == [f"t{n:05d}" for n in range(120)]
    assert {row["_outcome"] for row in rows} == {"answered"}
    assert {row["kind"] for row in rows} <= {"card", "refund", "transfer", "other"}
    assert all(row["_model"].startswith("emulated/") and row["_run"] == run.run_id for row in rows)
    assert place.creates() == 3
    facts = summary(place.site(), run.run_id)
    paid = sum((row["_cost_usd"] for row in rows), Decimal(0))
    assert float(paid) == pytest.approx(facts["cost_usd"]["actual"], abs=1e-6)
    assert facts["cost_usd"]["realtime"] == pytest.approx(2 * facts["cost_usd"]["actual"], rel=1e-6)
    assert place.billed() == 120


def test_a_second_night_asks_only_what_changed(place: Place) -> None:
    place.rows(60)
    place.run(place.workload())
    place.rows(60, texts={7: "A wholly new text about my card"})
    run = place.run(place.workload(), hour=9)
    assert (run.facts["carried"], run.facts["requests"]) == (59, 1)
    assert place.billed() == 61
    rows = place.table(run)
    assert [row["id"] for row in rows if row["_cost_usd"]] == ["t00007"]
    assert all(row["_outcome"] == "answered" for row in rows)


def test_a_night_without_news_sends_nothing_and_costs_nothing(place: Place) -> None:
    place.rows(30)
    place.run(place.workload())
    before = place.creates()
    run = place.run(place.workload(), hour=9)
    assert place.creates() == before
    assert summary(place.site(), run.run_id)["cost_usd"]["actual"] == 0
    assert run.facts["table_rows"] == 30


def test_rows_that_say_the_same_are_one_request(place: Place) -> None:
    place.rows(10, texts=dict.fromkeys(range(10), "Where is my card?"))
    run = place.run(place.workload())
    assert (run.facts["requests"], run.facts["folded"]) == (1, 9)
    rows = place.table(run)
    assert len(rows) == 10
    assert len([row for row in rows if row["_cost_usd"]]) == 1


def test_the_same_run_started_twice_is_one_run(place: Place) -> None:
    place.rows(20)
    workload = place.workload()
    first = place.begin(workload, place.site())
    again = place.begin(workload, place.site())
    assert again.run_id == first.run_id
    assert drive(workload, place.site(), first.run_id).state is RunState.PUBLISHED
    assert place.creates() == 1


def test_an_unfinished_run_with_another_prompt_is_not_taken_for_its_like(openai_place: Place) -> None:
    from offpeak import Prompt

    openai_place.rows(5)
    openai_place.begin(openai_place.workload(), openai_place.site())
    with pytest.raises(LedgerConflict, match="offpeak cancel"):
        openai_place.begin(
            openai_place.workload(prompt=Prompt(user="Other: {{ row.text }}")), openai_place.site()
        )


def test_an_estimate_above_the_budget_sends_nothing(place: Place) -> None:
    place.rows(50)
    with pytest.raises(BudgetError, match="Nothing was sent or billed"):
        place.run(place.workload(budget_usd=Decimal("0.0001")))
    assert place.creates() == 0
    (run,) = place.site().ledger.runs("sorting")
    assert run.state is RunState.FAILED
    assert "budget" in run.error


def test_missing_credentials_are_found_before_a_row_is_read(openai_place: Place) -> None:
    openai_place.env.pop("OPENAI_API_KEY")
    with pytest.raises(SpecError, match="OPENAI_API_KEY"):
        openai_place.run(openai_place.workload())


def test_a_missing_column_names_those_that_are_there(openai_place: Place) -> None:
    from offpeak import Prompt

    openai_place.rows(5)
    with pytest.raises(InputError, match="'id', 'text'"):
        openai_place.run(openai_place.workload(prompt=Prompt(user="{{ row.body }}")))


def test_checks_that_say_no_keep_the_old_table_and_the_paid_answers(place: Place) -> None:
    from offpeak import gxe

    place.rows(20)
    never = gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=["no such kind"])
    with pytest.raises(GateRefused, match="Nothing was published"):
        place.run(place.workload(checks=[never]))
    (refused,) = place.site().ledger.runs("sorting")
    assert refused.state is RunState.REFUSED
    assert not (place.store / "tables").exists()
    billed = place.billed()
    run = place.run(place.workload())  # the author removes the check
    assert run.state is RunState.PUBLISHED
    assert run.facts["carried"] == 20
    assert place.billed() == billed


def test_publishing_again_changes_nothing(openai_place: Place) -> None:
    openai_place.rows(5)
    run = openai_place.run(openai_place.workload())
    assert publish(openai_place.workload(), openai_place.site(), run.run_id) is None
    assert len(openai_place.table(run)) == 5


def test_a_bad_key_fails_the_run_and_a_good_one_takes_it_up(openai_place: Place) -> None:
    openai_place.rows(10)
    workload = openai_place.workload()
    openai_place.emulator.control.add_fault("bad_key", times=-1)
    with pytest.raises(ProviderRefused):
        openai_place.run(workload)
    (failed,) = openai_place.site().ledger.runs("sorting")
    assert failed.state is RunState.FAILED
    openai_place.emulator.control.clear_faults()
    run = openai_place.run(workload)
    assert run.run_id == failed.run_id
    assert run.state is RunState.PUBLISHED
    assert openai_place.creates() == 1


def test_a_cancelled_run_keeps_what_was_finished_and_the_next_run_does_not_pay_it_again(place: Place) -> None:
    from datetime import timedelta

    place.rows(40)
    workload, site = place.workload(shard_requests=20), place.site()
    run = place.begin(workload, site)
    # both shards are in flight, neither is collected
    from offpeak.advance import advance
    from offpeak.run import connect

    client = connect(workload, site)
    for number in (1, 2):
        advance(workload, site, client, run.run_id, number)
    done = cancel(workload, site, run.run_id, patience=timedelta(seconds=30))
    assert done.still_ending == ()
    assert site.ledger.run(run.run_id).state is RunState.CANCELLED
    billed = place.billed()
    after = place.run(workload, hour=9)
    assert after.state is RunState.PUBLISHED
    assert after.facts["carried"] == billed
    assert place.billed() == 40


def test_a_bad_row_is_a_dead_letter_and_the_others_are_published(place: Place) -> None:
    place.rows(50, texts={3: "   "})
    run = place.run(place.workload(max_failed=0.05))
    assert run.facts["outcomes"] == {"answered": 49, "errored": 1}
    (letter,) = dead_letters(place.site(), run.run_id)
    assert (letter.key, letter.outcome) == ("t00003", "errored")
    assert "empty" in str(letter.reason)
    (row,) = [row for row in place.table(run) if row["id"] == "t00003"]
    assert row["kind"] is None
    assert row["_outcome"] == "errored"
