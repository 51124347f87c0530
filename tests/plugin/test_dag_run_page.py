"""The tab of a dag run: its own report, whichever edition, and a plain sentence where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offpeak import run as stages
from offpeak.report.page import page
from offpeak.states import RunState
from offpeak.tables.parquet import parquet_table
from tests.plugin.making import TRIAGE, KnownDags, browser, finish, plan
from tests.report.desk import Desk
from tests.report.making import Page, Place, plain_answer, workload

DAG_RUN = "manual__2026-11-22T06:00:00+00:00"
TAB = "/offpeak/runs/ticket_triage/manual__2026-11-22T06%3A00%3A00%2B00%3A00/report.html"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.tickets(9)
    return made


def test_a_published_run_shows_its_report_byte_for_byte_as_it_was_written(place: Place) -> None:
    run = finish(place, plan(place, started_by=DAG_RUN))
    place.clock.pass_(hours=3)
    answer = browser(place).get(TAB)
    assert answer.status_code == 200
    assert answer.content == Path(run.facts["report"]["html"]).read_bytes()
    assert "refresh" not in answer.headers


def test_the_facts_are_beside_the_page_as_its_link_says(place: Place) -> None:
    run = finish(place, plan(place, started_by=DAG_RUN))
    answer = browser(place).get(TAB.replace("report.html", "report.json"))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["identity"]["run_id"] == run.run_id
    assert answer.content == Path(run.facts["report"]["json"]).read_bytes()


def test_while_the_run_goes_on_the_page_shows_its_progress_and_renews_itself(place: Place) -> None:
    run = plan(place, started_by=DAG_RUN)
    pages = browser(place)
    before = pages.get(TAB)
    place.fly(TRIAGE, run.run_id, Desk(place.clock, plain_answer))
    after = pages.get(TAB)
    assert "Running: 0 of 9 requests answered so far" in Page(before.text).text
    assert "Running: 9 of 9 requests answered so far" in Page(after.text).text
    assert before.headers["refresh"] == after.headers["refresh"] == "30"
    assert not place.site.store.names("runs/**/report.html"), "looking at a run writes nothing"


def test_a_report_of_before_the_run_ended_is_not_taken_for_its_last(place: Place) -> None:
    run = plan(place, started_by=DAG_RUN)
    stages.fail(place.site, run.run_id, "the worker was lost")
    place.report(run.run_id)
    stages.take_up(place.site, run.run_id)
    place.clock.pass_(minutes=1)
    finish(place, run, report=False)
    assert "Published 9 of 9 rows" in Page(browser(place).get(TAB).text).text


def test_without_a_written_report_an_ended_run_is_gathered_from_the_ledger(place: Place) -> None:
    run = finish(place, plan(place, started_by=DAG_RUN), report=False)
    answer = browser(place).get(TAB)
    assert f"<title>Published: {run.run_id}" in answer.text
    assert json.loads(browser(place).get(TAB.replace(".html", ".json")).content)["state"] == "published"


def test_a_cleared_dag_run_shows_its_newest_edition_and_the_list_leads_to_each(place: Place) -> None:
    first = finish(place, plan(place, started_by=DAG_RUN))
    second = plan(place, started_by=DAG_RUN, interval_end=first.interval_end)
    assert (first.edition, second.edition) == (1, 2)
    pages = browser(place)
    assert f"<title>Running: {second.run_id} " in pages.get(TAB).text
    links = [at["href"] for tag, at in Page(pages.get("/offpeak/runs").text).elements if tag == "a"]
    reports = [pages.get(link or "").text for link in links if link and link.endswith("report.html")]
    assert [f"<title>Running: {second.run_id} " in text for text in reports] == [True, False]
    assert f"<title>Published: {first.run_id} " in reports[1]


def test_a_run_from_the_command_line_is_no_dag_runs(place: Place) -> None:
    finish(place, plan(place))
    answer = browser(place).get(TAB)
    assert "This dag run has no run of ticket_triage in the ledger sqlite://" in Page(answer.text).text
    assert browser(place).get("/offpeak/runs/ticket_triage//report.html").status_code == 200


def test_a_dag_run_of_another_dag_with_the_same_id_shows_nothing_of_ours(place: Place) -> None:
    finish(place, plan(place, started_by=DAG_RUN))
    dags = KnownDags({"ticket_triage": frozenset({"ticket_triage"}), "other": frozenset({"other"})})
    answer = browser(place, dags=dags).get(TAB.replace("ticket_triage", "other", 1))
    assert "This dag run has no run of other" in Page(answer.text).text


def test_a_dag_run_that_is_not_offpeaks_is_told_so_in_a_sentence(place: Place) -> None:
    for dag_id in ("plain", "gone"):
        answer = browser(place).get(f"/offpeak/runs/{dag_id}/scheduled__1/report.html")
        assert answer.status_code == 404
        assert f"The DAG {dag_id} runs no Offpeak workload" in Page(answer.text).text


def test_a_dag_of_several_workloads_lists_its_runs(place: Place) -> None:
    other = workload(name="mood", into=parquet_table("{store}/tables/mood"))
    finish(place, plan(place, started_by=DAG_RUN))
    finish(place, plan(place, other, started_by=DAG_RUN), other)
    dags = KnownDags({"own": frozenset({"ticket_triage", "mood"})})
    answer = browser(place, dags=dags).get(TAB.replace("ticket_triage", "own", 1))
    text = Page(answer.text).text
    assert "Offpeak runs of this dag run" in text
    assert f"{DAG_RUN} has run several workloads" in text
    links = [at["href"] for tag, at in Page(answer.text).elements if tag == "a"]
    assert sum("/offpeak/reports/own/" in (link or "") for link in links) == 2


def test_a_run_is_only_shown_under_a_dag_that_holds_its_workload(place: Place) -> None:
    run = finish(place, plan(place, started_by=DAG_RUN))
    answer = browser(place).get(f"/offpeak/reports/plain/{run.run_id}/report.html")
    assert answer.status_code == 404
    assert "The DAG plain has no run ticket_triage/" in Page(answer.text).text
    unknown = browser(place).get("/offpeak/reports/ticket_triage/ticket_triage/never/report.html")
    assert unknown.status_code == 404
    assert "There is no run 'ticket_triage/never' in this ledger" in Page(unknown.text).text


def test_a_report_that_lies_elsewhere_or_cannot_be_read_is_replaced_by_the_ledgers_facts(
    place: Place,
) -> None:
    run = finish(place, plan(place, started_by=DAG_RUN))
    Path(run.facts["report"]["json"]).write_text('["torn')
    assert run.state is RunState.PUBLISHED
    assert "Published 9 of 9 rows" in Page(browser(place).get(TAB).text).text


def test_the_pages_own_rendering_is_the_reports(place: Place) -> None:
    from offpeak.report import gather

    run = finish(place, plan(place, started_by=DAG_RUN), report=False)
    assert browser(place).get(TAB).text == page(gather(place.site, run.run_id))
