"""A report is made of a run in any state, and says what an analyst needs to know of it."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from offpeak import gxe, run
from offpeak.errors import SpecError
from offpeak.prompt import Prompt
from offpeak.report import gather
from offpeak.site import Interval
from offpeak.states import Route, RunState
from tests.report.desk import Desk, said
from tests.report.making import Page, Place, plain_answer, workload

STRICT = gxe.ExpectColumnValuesToBeBetween(column="confidence", min_value=0.9, max_value=1)
BROKEN = gxe.ExpectColumnValuesToMatchJsonSchema(column="summary", json_schema={"type": "object"})


def never(text: str, round_number: int) -> dict[str, Any]:
    raise AssertionError(f"round {round_number} asked again: {text}")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.tickets(30)
    return made


def published_before(place: Place) -> str:
    """A published run, after which a day passes and every row changes."""
    run_id = place.whole(workload()).run_id
    place.clock.pass_(hours=25)
    place.tickets(0, [f"ticket {number} of another customer" for number in range(1, 31)])
    return run_id


def test_a_published_run_says_how_much_when_and_how_long_before_due(place: Place) -> None:
    done = place.whole(workload())
    html, data = place.report(done.run_id)
    page = Page(html)
    assert data["headline"]["sentence"] == "Published 30 of 30 rows at 06:04 UTC, 40 min before due."
    assert data["headline"]["sentence"] in page.text
    assert "Rows answered 100 % 30 of 30" in page.text
    assert "Readers may have this table." in page.text
    assert "Last good table" not in page.text
    assert data["identity"]["table_address"] in page.text


def test_a_late_run_says_by_how_much(place: Place) -> None:
    done = place.whole(workload(due=timedelta(minutes=2)))
    data = gather(place.site, done.run_id)
    assert data.headline.late
    assert data.headline.sentence.endswith("3 min late.")


def test_a_refused_run_names_the_table_that_readers_still_see_and_its_age(place: Place) -> None:
    published_before(place)
    refused = place.whole(workload(checks=[STRICT]))
    assert refused.state is RunState.REFUSED
    page = Page(place.report(refused.run_id)[0])
    assert "because 1 check failed: nothing was published." in page.text
    assert "Readers still see the table of 22 Nov 06:04 UTC, 25 h old." in page.text
    assert "Last good table: published 22 Nov 2026, 06:04 UTC by run ticket_triage/" in page.text
    assert "A critical check failed, so readers keep the last good table." in page.text
    failed = page.text.index("Failed confidence is between 0.9 and 1")
    assert failed < page.text.index("Passed")


def test_a_refused_first_run_says_that_readers_see_nothing_yet(place: Place) -> None:
    refused = place.whole(workload(checks=[STRICT]))
    text = Page(place.report(refused.run_id)[0]).text
    assert "There is no earlier table: readers see nothing yet." in text
    assert "this workload has not been published before" in text


def test_a_run_planned_only_has_a_report_although_it_has_no_files(place: Place) -> None:
    now = place.clock()
    new = run.new_run(workload(), place.site, Interval(start=now - timedelta(hours=1), end=now))
    planning, _ = place.site.ledger.open_run(new, now=now)
    html, data = place.report(planning.run_id)
    text = Page(html).text
    assert (
        "Planning: the rows are being read, nothing has been sent yet. Due at 06:45 UTC, in 45 min." in text
    )
    assert "The rows have not been counted" in text
    assert data["coverage"]["rows"] is None
    assert data["money"]["total"]["actual_usd"] == "0"


def test_a_run_that_failed_before_planning_gives_the_reason(place: Place) -> None:
    now = place.clock()
    new = run.new_run(workload(), place.site, Interval(start=now - timedelta(hours=1), end=now))
    begun, _ = place.site.ledger.open_run(new, now=now)
    run.fail(place.site, begun.run_id, "Workload ticket_triage: no file at tickets.csv.\nNothing was sent.")
    text = Page(place.report(begun.run_id)[0]).text
    assert (
        "Failed at 06:00 UTC: Workload ticket_triage: no file at tickets.csv. Nothing was published." in text
    )
    assert "tickets.csv. Nothing was sent." in text


def test_a_running_run_counts_what_is_in_flight(place: Place) -> None:
    made = workload(shard_requests=10)
    begun = place.begin(made)
    place.fly(made, begun.run_id, Desk(place.clock, plain_answer, slow=True))
    html, data = place.report(begun.run_id)
    text = Page(html).text
    assert "Running: 0 of 30 requests answered so far; 3 batches in flight. Due at" in text
    assert "30 requests not billed yet" in text
    assert [line["status"] for line in data["timing"]["shards"]] == ["running"] * 3
    assert "5 completed so far" in text
    assert "goes on" in text


def test_a_half_collected_run_counts_answers_of_every_round_once(place: Place) -> None:
    def wrong_at_first(text: str, round_number: int) -> dict[str, Any]:
        number = int(text.split()[1])
        return said("no JSON") if number <= 4 and round_number == 1 else plain_answer(text, round_number)

    made = workload()
    begun = place.begin(made)
    desk = Desk(place.clock, wrong_at_first)
    place.fly(made, begun.run_id, desk)
    data = gather(place.site, begun.run_id)
    assert {line.outcome: line.count for line in data.coverage.outcomes} == {"answered": 30}
    assert data.coverage.requests_answered == 30
    assert [(one.name, one.requests) for one in data.money.rounds] == [("round 1", 30), ("round 2", 4)]


def test_a_cancelled_run_says_so(place: Place) -> None:
    begun = place.begin(workload())
    place.site.ledger.move_run(begun.run_id, RunState.CANCELLED, since=(RunState.RUNNING,), now=place.clock())
    html, _ = place.report(begun.run_id)
    assert "Cancelled at 06:00 UTC: nothing was published." in Page(html).text
    assert 'class="tone-stopped"' in html


def test_a_broken_check_is_told_apart_from_a_failed_one(place: Place) -> None:
    done = place.whole(workload(checks=[BROKEN]))
    assert done.state is RunState.FAILED
    html, data = place.report(done.run_id)
    assert data["judged"]["decision"] == "broken"
    assert (data["judged"]["failed"], data["judged"]["broken"]) == (0, 1)
    assert data["judged"]["checks"][0]["found"] == "broken"
    assert "could not be evaluated. That says nothing about the data." in Page(html).text


def test_facts_of_another_shape_than_expected_do_not_stop_the_report(place: Place) -> None:
    done = place.whole(workload())
    strange: dict[str, Any] = {
        "outcomes": None,
        "verdict": [],
        "distribution": {"intent": None},
        "estimate": "?",
        "rows": "many",
    }
    place.site.ledger.note_run(done.run_id, {**strange, "folder": "runs/gone", "table": 7}, now=place.clock())
    html, data = place.report(done.run_id)
    assert data["headline"]["sentence"].startswith("Published at 06:04 UTC")
    assert "not known" in Page(html).text


def test_dead_letters_that_are_gone_are_said_to_be_gone(place: Place) -> None:
    done = place.whole(
        workload(), lambda text, n: said("{}") if "ticket 1 " in text else plain_answer(text, n)
    )
    place.site.store.delete(f"{done.facts['folder']}/dead_letters.parquet")
    place.site.store.write_bytes(f"{done.facts['folder']}/staged.parquet", b"not Parquet")
    text = Page(place.report(done.run_id)[0]).text
    assert "Examples of dead letters are missing here" in text
    assert "dead_letters.parquet could not be read" in text


def test_a_run_that_is_not_in_the_ledger_is_an_error(place: Place) -> None:
    with pytest.raises(SpecError, match="There is no run 'nobody/now'"):
        gather(place.site, "nobody/now")


def test_emulated_answers_are_labelled_even_when_they_were_carried(place: Place) -> None:
    def emulated(text: str, round_number: int) -> dict[str, Any]:
        return {**plain_answer(text, round_number), "model": "emulated/gpt-5-mini"}

    first = place.whole(workload(), emulated)
    place.clock.pass_(hours=1)
    second = place.whole(workload(), never)
    assert second.facts["carried"] == 30
    label = "These answers were made by Offpeak's emulator, not by a model."
    assert label in Page(place.report(first.run_id)[0]).text
    assert label in Page(place.report(second.run_id)[0]).text


def test_answers_of_a_model_are_not_labelled_as_emulated(place: Place) -> None:
    assert "emulator" not in place.report(place.whole(workload()).run_id)[0]


def test_the_report_is_written_over_and_its_addresses_are_in_the_ledger(place: Place) -> None:
    begun = place.begin(workload())
    before, _ = place.report(begun.run_id)
    place.fly(workload(), begun.run_id, Desk(place.clock, plain_answer))
    after, _ = place.report(begun.run_id)
    assert before != after
    noted = place.site.ledger.run(begun.run_id).facts["report"]
    folder = f"{place.site.store.root}/runs/ticket_triage/{begun.interval_key}~1"
    assert noted == {"html": f"{folder}/report.html", "json": f"{folder}/report.json"}
    assert sorted(path.name for path in Path(folder).glob("*report*")) == ["report.html", "report.json"]


def test_changes_are_told_since_the_last_published_run(place: Place) -> None:
    published_before(place)
    prompt = Prompt(system="You sort bank tickets.\nBe thorough.", user="{{ row.text }}")
    changed = place.whole(workload(prompt=prompt, params={"top_p": 0.5}))
    html, data = place.report(changed.run_id)
    assert [one["what"] for one in data["changes"]["changes"]] == ["system prompt", "parameters"]
    text = Page(html).text
    assert "−removed: Be brief." in text
    assert "+added: Be thorough." in text


def test_a_diff_keeps_lines_that_look_like_its_own_marks(place: Place) -> None:
    user = "{{ row.text }}\n-- a\n1\n2\n3\n4\n++ b"
    place.whole(workload(prompt=Prompt(user=user)))
    place.clock.pass_(hours=1)
    changed = place.whole(workload(prompt=Prompt(user=user.replace("-- a", "a").replace("++ b", "b"))))
    lines = gather(place.site, changed.run_id).changes.changes[0].lines
    assert [(line.kind, line.text) for line in lines if line.kind in ("added", "removed")] == [
        ("removed", "-- a"),
        ("added", "a"),
        ("removed", "++ b"),
        ("added", "b"),
    ]
    assert [line.kind for line in lines].count("cut") == 1


def test_an_unchanged_workload_is_said_to_be_unchanged(place: Place) -> None:
    published_before(place)
    text = Page(place.report(place.whole(workload()).run_id)[0]).text
    assert "Nothing in the workload, since the last published run ticket_triage/2026-11-22T050000Z" in text


def test_distributions_stand_beside_those_of_the_last_published_run(place: Place) -> None:
    published_before(place)

    def all_refunds(text: str, round_number: int) -> dict[str, Any]:
        return said('{"intent": "refund", "confidence": 0.8, "summary": "refund"}')

    data = gather(place.site, place.whole(workload(), all_refunds).run_id)
    assert data.answers is not None
    intent = next(column for column in data.answers.columns if column.name == "intent")
    refund = intent.values[0]
    assert (refund.value, refund.count, refund.share) == ("refund", 30, 1.0)
    assert refund.count_before is not None
    assert refund.change_points == pytest.approx(100 * (1 - refund.count_before / 30))
    assert intent.largest == refund
    gone = [one for one in intent.values if one.count == 0]
    assert {one.value for one in gone} == {"card_lost", "other"}


def test_the_page_agrees_with_the_json(place: Place) -> None:
    place.tickets(0, [f"ticket {number} of a customer" for number in (*range(1, 1501), 7, 7)])
    done = place.whole(
        workload(rounds=1), lambda t, n: said("{}") if "ticket 9 " in t else plain_answer(t, n)
    )
    html, data = place.report(done.run_id)
    text = Page(html).text
    money, cover = data["money"], data["coverage"]
    assert (cover["rows"], cover["asked"], cover["folded"], cover["answered"]) == (1502, 1500, 2, 1501)
    assert "1,502 rows in: 1,500 asked, 2 folded" in text
    assert re.search(r"answered 1,501 99\.93 %", text)
    assert re.search(r"invalid 1 0\.07 %", text)
    assert f"${float(money['total']['actual_usd']):.4f}" in text
    assert f"${float(money['saving_usd']):.4f} less than realtime" in text
    spent = [one.cost_usd or Decimal(0) for one in place.site.ledger.spent(run_id=done.run_id)]
    actual, realtime = Decimal(money["total"]["actual_usd"]), Decimal(money["total"]["realtime_usd"])
    assert actual == sum(spent) > 0
    assert Decimal(money["saving_usd"]) == realtime - actual
    assert money["saving_share"] == 0.5
    assert Decimal(money["usd_per_1000_answered"]) == actual * 1000 / 1501
    assert [one["tokens"] for one in money["tokens"]] == [150_000, 60_000, 0, 0, 30_000, 7_500]
    assert "Input 150,000" in text
    assert data["timing"]["shards"][0]["submitted_at"] == "2026-11-22T06:00:30Z"
    assert data["made_at"].endswith("Z")


def test_both_routes_are_told_apart_when_both_were_paid(place: Place) -> None:
    done = place.whole(workload())
    batch = place.site.ledger.spent(run_id=done.run_id)[0]
    place.site.ledger.spend(
        dataclasses.replace(batch, route=Route.REALTIME, requests=3, cost_usd=Decimal("0.5"))
    )
    html, data = place.report(done.run_id)
    assert [(one["name"], one["requests"]) for one in data["money"]["routes"]] == [
        ("batch", 30),
        ("realtime", 3),
    ]
    assert "realtime route 3 $0.5000" in Page(html).text


def test_many_shards_are_folded_away(place: Place) -> None:
    for shard_requests, folded in ((10, False), (1, True)):
        done = place.whole(workload(shard_requests=shard_requests))
        html, data = place.report(done.run_id)
        assert len(data["timing"]["shards"]) == 30 // shard_requests
        details = html.split("Shards and batches")[0].rsplit("<details", 1)[1]
        assert ("open" not in details) is folded
        place.clock.pass_(hours=1)
        place.tickets(0, [f"ticket {number} once more" for number in range(1, 31)])


def test_no_key_of_the_account_is_in_the_report(place: Place) -> None:
    html, data = place.report(place.whole(workload()).run_id)
    assert "sk-never-shown" not in html + json.dumps(data)


def test_an_unknown_price_is_said_plainly(place: Place) -> None:
    html, data = place.report(place.whole(workload(model="openai:gpt-nobody-listed")).run_id)
    assert data["money"]["total"]["actual_usd"] is None
    text = Page(html).text
    assert "whose price is not known: so what this run cost is not known." in text
    assert "Cost not known" in text
