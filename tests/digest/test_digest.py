"""A night through the library: levels, citations, numbers, what is left out, and a second night."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from offpeak.digest.rows import StageRows
from offpeak.errors import CheckBroken, GateRefused, InputError
from offpeak.rows.source import Opening, RowBatch
from offpeak.run import new_run, start
from offpeak.site import Interval
from offpeak.states import RunState
from offpeak.workload import Workload
from tests.digest.making import DAY, NIGHT, Desk, item, night, tickets


def test_a_group_of_one_window_goes_straight_to_the_last_stage(any_desk: Desk) -> None:
    any_desk.items(tickets("cards", 5) + tickets("cash", 3))
    runs = any_desk.stages(any_desk.digest())
    assert [run.facts["rows"] for run in runs.values()] == [0, 0, 2]
    assert [run.state for run in runs.values()] == [RunState.PUBLISHED] * 3
    rows = {row["team"]: row for row in any_desk.table(runs["nightly"])}
    assert [rows[team]["items"] for team in ("cards", "cash")] == [5, 3]
    assert rows["cards"]["digest"] == "2026-11-24 cards"
    assert rows["cards"]["date"] == date(2026, 11, 24)
    assert any_desk.billed() == 2


def test_a_large_group_is_condensed_in_levels_until_one_text_remains(any_desk: Desk) -> None:
    rows = tickets("cards", 1_000) + tickets("cash", 3)
    any_desk.items(rows)
    digest = any_desk.digest(levels=4)
    runs = any_desk.stages(digest)
    counts = [run.facts["rows"] for run in runs.values()]
    assert counts[0] > counts[1] > 1
    assert counts[-1] == 2
    assert all(run.facts["outcomes"].get("answered", 0) == run.facts["rows"] for run in runs.values())
    row = next(row for row in any_desk.table(runs["nightly"]) if row["team"] == "cards")
    cards = {one["ticket_id"] for one in rows if one["team"] == "cards"}
    cited = [name for said in row["statements"] for name in said["items"]]
    assert cited
    assert set(cited) <= cards
    assert (row["items"], row["unread"]) == (1_000, 0)
    assert {source["item"] for source in row["sources"]} <= cards


def test_every_statement_cites_items_that_say_it(desk: Desk) -> None:
    desk.items(tickets("cards", 60))
    texts = {one["ticket_id"]: one["text"] for one in tickets("cards", 60)}
    row = desk.digests(desk.digest())["cards"]
    assert 3 <= len(row["statements"]) <= 8
    for said in row["statements"]:
        trouble = said["text"].split(",")[0]
        assert any(trouble in texts[name] for name in said["items"])


def test_an_item_longer_than_a_window_is_split_and_its_parts_keep_its_id(desk: Desk) -> None:
    chat = "\n".join(f"Customer: turn {n} about the broken card reader in Porto." for n in range(120))
    desk.items([item("C-1", "cards", chat), item("C-2", "cards", "The reader is broken.")])
    runs = desk.stages(desk.digest())
    assert runs["nightly__condense_1"].facts["rows"] > 2
    (row,) = desk.table(runs["nightly"])
    assert {name for said in row["statements"] for name in said["items"]} <= {"C-1", "C-2"}
    assert (row["items"], row["unread"]) == (2, 0)


def test_the_same_night_again_asks_nothing_and_a_late_item_asks_only_its_group(desk: Desk) -> None:
    desk.items(tickets("cards", 80) + tickets("cash", 4))
    digest = desk.digest()
    desk.stages(digest)
    before = desk.billed()
    again = desk.stages(digest)
    assert desk.billed() == before
    assert sum(run.facts["requests"] for run in again.values()) == 0
    desk.items([item("late", "cash", "The cash machine in Lyon is empty.", hour=23)], name="late")
    late = desk.stages(digest)
    assert [run.facts["requests"] for run in late.values()] == [0, 0, 1]


def test_the_order_of_the_rows_changes_no_request(desk: Desk) -> None:
    rows = tickets("cards", 120) + tickets("cash", 9)
    desk.items(rows)
    digest = desk.digest()
    desk.stages(digest)
    before = desk.billed()
    random.Random(7).shuffle(rows)
    desk.items(rows)
    desk.stages(digest)
    assert desk.billed() == before


def test_a_group_that_needs_more_levels_is_refused_at_the_first_plan_with_the_cure(desk: Desk) -> None:
    desk.items(tickets("cards", 400))
    digest = desk.digest(levels=2)
    with pytest.raises(InputError) as caught:
        desk.stages(digest)
    said = str(caught.value)
    assert "the items of 'cards' are about" in said
    assert "need levels=" in said
    assert "there are 2. Nothing was sent. Raise levels or window_tokens" in said
    assert desk.creates() == 0


class _Fewer:
    """The rows of a stage, told to know nothing of one id that stands in the window."""

    def __init__(self, rows: StageRows, missing: str) -> None:
        self._rows, self._missing = rows, missing
        self.key, self.describe = rows.key, rows.describe

    def batches(self, opening: Opening) -> Any:
        for batch in self._rows.batches(opening):
            records = batch.records.to_pylist()
            for row in records:
                for name in ("sources", "ids"):
                    row[name] = [one for one in row.get(name) or () if self._missing not in str(one)]
            made = type(batch.records).from_pylist(records, batch.records.schema)
            yield RowBatch(made, batch.origin, batch.first, batch.problems)


def _not_knowing(stage: Workload, missing: str) -> Workload:
    assert isinstance(stage.rows, StageRows)
    return replace(stage, rows=_Fewer(stage.rows, missing))


def test_an_answer_that_cites_an_id_which_was_not_there_is_asked_again_and_never_published(
    any_desk: Desk,
) -> None:
    any_desk.items([item("T1", "cards", "The reader in Porto is broken again."), *tickets("cash", 3)])
    digest = any_desk.digest()
    *condensing, last = digest.pipeline.stages()
    site = any_desk.site()
    for stage in condensing:
        any_desk.stage(stage, night(), site)
    wrong = _not_knowing(last, "T1")
    run = start(wrong, site, new_run(wrong, site, night()), night())
    with pytest.raises(GateRefused, match="Nothing was published"):
        any_desk.stage(wrong, night(), site)
    ended = site.ledger.run(run.run_id)
    assert ended.facts["outcomes"] == {"answered": 1, "invalid": 1}
    assert any_desk.billed() == 1 + wrong.rounds
    folder = any_desk.store / ended.facts["folder"]
    import pyarrow.parquet as pq

    (letter,) = pq.read_table(folder / "dead_letters.parquet").to_pylist()
    assert letter["code"] == "not_accepted"
    assert "the ids 'T1' do not stand in the text" in letter["reason"]
    assert "Porto" in letter["raw"]
    assert letter["rounds"] == wrong.rounds


def test_notes_that_cite_an_id_which_was_not_there_are_not_accepted_either(desk: Desk) -> None:
    desk.items(tickets("cards", 80))
    first = desk.digest().pipeline.layers[0][0]
    site = desk.site()
    row = {"notes_on": "cards/0001", "ids": ["T1"]}
    assert first.accept is not None
    good = {"statements": [{"text": "It is broken.", "items": ["T1"]}]}
    assert first.accept(row, good) == ""
    assert "the ids 'T9' do not stand" in first.accept(
        row, {"statements": [{"text": "It is.", "items": ["T1", "T9"]}]}
    )
    long = {"statements": [{"text": "ä" * 200, "items": ["T1"]}] * 4}
    assert "are allowed; write less" in first.accept(row, long)
    assert desk.stage(first, night(), site).state is RunState.PUBLISHED


def test_a_digest_of_too_few_statements_or_with_marks_in_its_words_is_not_accepted(desk: Desk) -> None:
    accept = desk.digest().pipeline.last.accept
    assert accept is not None
    row = {"sources": [{"id": f"T{n}", "item": f"T{n}"} for n in range(9)]}

    def said(text: str, count: int, headline: str = "All is well") -> dict[str, Any]:
        return {"headline": headline, "statements": [{"text": text, "items": ["T1"]}] * count}

    assert accept(row, said("It is broken.", 3)) == ""
    assert accept(row, said("It is broken.", 2)) == "there are 2 statements; write at least 3"
    assert accept({"sources": row["sources"][:2]}, said("It is broken.", 2)) == ""
    assert "holds a mark in its text" in accept(row, said("It is broken [#T1].", 3))
    assert "the headline holds a mark" in accept(row, said("It is.", 3, "[#T1] broke"))
    assert accept(row, said("  ", 3)) == "statement 1 is blank"


def test_a_function_that_fails_itself_asks_nothing_again_and_says_what_is_still_true(desk: Desk) -> None:
    desk.items(tickets("cards", 3))
    site = desk.site()
    digest = desk.digest(levels=1)

    def broken(row: Any, answer: Any) -> str:
        return str(row["no_such_column"])

    stage = replace(digest.pipeline.last, accept=broken)
    with pytest.raises(CheckBroken, match=r"accept function failed on the row '2026-11-24 cards' \(KeyError"):
        desk.stage(stage, night(), site)
    assert desk.billed() == 1
    run = desk.stage(digest.pipeline.last, night(), site)
    assert (run.state, desk.billed()) == (RunState.PUBLISHED, 1)


def test_the_numbers_are_counted_from_the_source(desk: Desk) -> None:
    rows = tickets("cards", 12)
    for week, count in ((1, 8), (2, 6), (3, 10), (4, 8)):
        rows += tickets("cards", count, day=-7 * week)
    rows += tickets("cards", 3, day=-1) + tickets("cash", 2)
    for one in rows[:3]:
        one["channel"] = "phone"
    desk.items(rows)
    found = desk.digests(desk.digest(category="channel"))
    cards = found["cards"]
    assert (cards["items"], cards["usual"], cards["change"]) == (12, 8.0, 0.5)
    assert cards["trend"][-1] == 12
    assert cards["trend"][-2] == 3
    assert (len(cards["trend"]), cards["trend"][-8], cards["trend"][-15]) == (28, 8, 6)
    assert [(one["value"], one["items"], one["share"]) for one in cards["shares"]] == [
        ("app", 9, 0.75),
        ("phone", 3, 0.25),
    ]
    assert (found["cash"]["usual"], found["cash"]["change"]) == (0.0, None)


def test_only_the_weeks_that_the_source_goes_back_to_are_the_usual(desk: Desk) -> None:
    desk.items(tickets("cards", 6) + tickets("cards", 4, day=-7))
    row = desk.digests(desk.digest())["cards"]
    assert (row["usual"], row["change"]) == (4.0, 0.5)
    assert row["trend"][:20] == [None] * 20


def test_an_empty_interval_is_about_the_last_full_day_in_the_zone(desk: Desk) -> None:
    desk.items([item("in", "cards", "In Berlin it is the day before.", day=-1, hour=23), *tickets("cash", 2)])
    moment = datetime(2026, 11, 25, 6, tzinfo=UTC)
    found = desk.digests(desk.digest(zone="Europe/Berlin"), Interval(start=moment, end=moment))
    assert found.keys() == {"cards", "cash"}  # 23:00 UTC is midnight there
    assert found["cards"]["date"] == date(2026, 11, 24)


def test_times_may_be_texts_and_what_has_none_is_counted(desk: Desk) -> None:
    rows = tickets("cards", 4)
    for one in rows:
        one["created_at"] = one["created_at"].isoformat()
    rows[1]["created_at"] = "yesterday-ish"
    rows[2]["created_at"] = None
    rows.append({**rows[0], "text": "The same ticket once more."})
    rows.append({**rows[3], "ticket_id": "mute", "text": "  "})
    desk.items(rows)
    finished = desk.finished(desk.digest())
    assert finished.facts["left_out"] == {"unreadable": 0, "undated": 2, "repeated": 1, "textless": 1}
    assert finished.facts["items"] == 3
    page = desk.text("latest.html")
    assert "2 items of the source without a readable time, of whatever day." in page
    assert "1 item without a text: counted, but there was nothing to read." in page


def test_a_column_of_times_that_holds_none_is_refused(desk: Desk) -> None:
    rows = tickets("cards", 2)
    desk.items([{**one, "created_at": 17} for one in rows])
    with pytest.raises(
        InputError, match=r"'created_at' is of type int64, which is no time\. Nothing was sent"
    ):
        desk.stages(desk.digest())
    desk.items([{**one, "created_at": "soon"} for one in rows])
    with pytest.raises(InputError, match="none of the 2 items has a time"):
        desk.stages(desk.digest())


def test_without_a_time_and_a_group_every_row_is_in_one_digest(desk: Desk) -> None:
    desk.items(tickets("cards", 3) + tickets("cash", 3, day=-9))
    found = desk.digests(desk.digest(time=None, group=None))
    assert (found["all"]["items"], found["all"]["usual"], found["all"]["trend"]) == (6, None, None)


def test_a_night_without_items_publishes_no_row_and_says_so(desk: Desk) -> None:
    desk.items(tickets("cards", 3, day=-7))
    digest = desk.digest()
    finished = desk.finished(digest)
    assert finished.said[0] == "No items on Tuesday, 24 November 2026."
    assert "There was nothing to read." in desk.text("latest.html")
    assert "Nothing came from cards (usually 3)." in desk.text("latest.html")
    assert desk.creates() == 0
    desk.items(tickets("cards", 3, day=1), name="next")
    assert desk.digests(digest, night(1)).keys() == {"cards"}  # the empty table has the same columns


def test_groups_without_a_name_are_one_of_their_own(desk: Desk) -> None:
    rows = [item("A", "cards", "A card is lost."), item("B", "", "Who am I?"), item("C", "", "And I?")]
    desk.items([{**one, "team": one["team"] or None} for one in rows])
    assert {team: row["items"] for team, row in desk.digests(desk.digest()).items()} == {
        "cards": 1,
        "(none)": 2,
    }


def test_a_group_without_an_answer_is_named_on_the_page_when_that_is_allowed(desk: Desk) -> None:
    desk.items([*tickets("cards", 3), *tickets("cash", 3)])
    digest = desk.digest(levels=1, max_failed=0.5)
    site = desk.site()
    desk.stage(_not_knowing(digest.pipeline.last, "CAS50-001"), night(), site)
    from offpeak.stage import finish

    finished = finish(digest.pipeline, site, night())
    assert finished.facts["unanswered"]
    page = desk.text("latest.html")
    assert "without an answer" in page
    assert "do not stand in the text" in page
    assert "got no answer" in desk.text("latest.md")


def test_the_budget_is_of_the_whole_pipeline(desk: Desk) -> None:
    pipeline = desk.digest(budget_usd=Decimal("0.5"), due="07:00 Europe/Berlin").pipeline
    assert pipeline.budget_usd == Decimal("0.5")
    assert [stage.due for stage in pipeline.stages()] == [None, None, "07:00 Europe/Berlin"]
    assert [stage.name for stage in pipeline.stages()] == [
        "nightly__condense_1",
        "nightly__condense_2",
        "nightly",
    ]


def test_a_week_is_compared_with_the_weeks_before(desk: Desk) -> None:
    desk.items([*tickets("cards", 6, day=2), *tickets("cards", 3, day=-5), *tickets("cards", 1, day=-8)])
    week = Interval(start=NIGHT, end=NIGHT + timedelta(days=7))
    row = desk.digests(desk.digest(), week)["cards"]
    assert (row["items"], row["usual"], row["trend"][-3:]) == (6, 2.0, [1, 3, 6])
    assert (week.end - week.start) / DAY == 7
