"""The page of the latest runs: what it lists, for whom, and that it stays inert."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from offpeak import run as stages
from offpeak.on_airflow.pages.dag_runs import DagRunKey
from offpeak.site import Interval
from offpeak.tables.parquet import parquet_table
from tests.plugin.making import TRIAGE, KnownDags, browser, finish, plan
from tests.report.making import Page, Place, workload

HOSTILE = "</script><img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.tickets(9)
    return made


def rows(html: str) -> list[str]:
    """The text of each line of the table's body."""
    return [Page(row).text for row in re.findall(r"<tr><th scope=\"row\".*?</tr>", html, re.DOTALL)]


def test_a_published_run_is_listed_with_its_rows_its_money_and_its_time(place: Place) -> None:
    run = finish(place, plan(place, started_by="manual__1"))
    (row,) = rows(browser(place).get("/offpeak/runs").text)
    spend = place.site.ledger.spent(run_id=run.run_id)
    spent, realtime = (sum(getattr(one, name) for one in spend) for name in ("cost_usd", "realtime_usd"))
    assert row.startswith(f"ticket_triage{run.run_id} published22 Nov 2026, 06:00 UTC 9 9 ")
    assert realtime == 2 * spent > 0
    assert f"${spent:,.4f} ${realtime:,.4f} 50 % " in row
    assert "41 min before due" in row
    assert row.endswith("report · dag run")


def test_runs_link_to_airflows_page_of_their_dag_run_also_below_a_prefix(place: Place) -> None:
    finish(place, plan(place, started_by="manual__2026-11-22T06:00:00+00:00"))
    for prefix in ("", "/airflow"):
        html = browser(place, prefix=prefix).get(f"{prefix}/offpeak/runs").text
        links = [at["href"] for tag, at in Page(html).elements if tag == "a"]
        assert links == [
            f"{prefix}/offpeak/reports/ticket_triage/ticket_triage/2026-11-22T050000Z/report.html",
            f"{prefix}/dags/ticket_triage/runs/manual__2026-11-22T06%3A00%3A00%2B00%3A00",
        ]


def test_a_running_run_shows_what_is_left_and_then_how_late_it_is(place: Place) -> None:
    plan(place, started_by="manual__1")
    pages = browser(place)
    answer = pages.get("/offpeak/runs")
    (row,) = rows(answer.text)
    assert "running" in row
    assert "9 0 of 9 requests" in row
    assert "45 min left" in row
    assert answer.headers["refresh"] == "30"
    place.clock.pass_(minutes=60)
    assert "15 min late" in rows(pages.get("/offpeak/runs").text)[0]


def test_an_ended_run_that_published_nothing_is_late_without_a_clock(place: Place) -> None:
    stages.fail(place.site, plan(place).run_id, "why")
    place.clock.pass_(days=3)
    answer = browser(place).get("/offpeak/runs")
    assert "failed" in rows(answer.text)[0]
    assert "not published by due" in rows(answer.text)[0]
    assert "from the command line" in rows(answer.text)[0]
    assert "refresh" not in answer.headers


def test_only_runs_of_dags_that_the_user_may_read_are_listed(place: Place) -> None:
    other = workload(name="mood", into=parquet_table("{store}/tables/mood"))
    finish(place, plan(place, started_by="manual__1"))
    finish(place, plan(place, other, started_by="manual__1"), other)
    dags = KnownDags({name: frozenset({name}) for name in ("ticket_triage", "mood")})
    html = browser(place, dags=dags, may_read=lambda dag_id: dag_id == "mood").get("/offpeak/runs").text
    (row,) = rows(html)
    assert row.startswith("mood")
    assert "ticket_triage" not in html


def test_a_task_group_belongs_to_the_dag_around_it(place: Place) -> None:
    finish(place, plan(place, started_by="manual__7"))
    place.clock.pass_(hours=1)
    finish(place, plan(place))  # of the command line
    dags = KnownDags(
        {"own": frozenset({"ticket_triage"}), "stranger": frozenset({"else"})},
        dag_runs=[DagRunKey(dag_id=name, run_id="manual__7") for name in ("stranger", "own")],
    )
    asked: list[str] = []

    def may_read(dag_id: str) -> bool:
        asked.append(dag_id)
        return True

    html = browser(place, dags=dags, may_read=may_read).get("/offpeak/runs").text
    assert set(asked) == {"own"}
    assert len(rows(html)) == 2
    assert '"/dags/own/runs/manual__7"' in html
    assert html.count("/offpeak/reports/own/ticket_triage/") == 2


def test_a_workload_whose_name_another_dag_has_taken_is_not_shown_under_it(place: Place) -> None:
    finish(place, plan(place))
    dags = KnownDags({"ticket_triage": frozenset()})
    html = browser(place, dags=dags).get("/offpeak/runs").text
    assert rows(html) == []
    assert "There are no runs to show" in html


def test_an_unknown_price_is_said_and_not_counted_as_nothing(place: Place) -> None:
    made = workload(model="openai:gpt-of-tomorrow")
    finish(place, plan(place, made), made)
    assert "not known not known –" in rows(browser(place).get("/offpeak/runs").text)[0]


def test_hostile_names_stay_text_and_the_policy_lets_only_our_own_style_and_script_run(place: Place) -> None:
    run = plan(place, workload(due=timedelta(hours=1)), started_by=HOSTILE)
    answer = browser(place, dags=KnownDags({TRIAGE.name: frozenset({TRIAGE.name})})).get("/offpeak/runs")
    taken = Page(answer.text)
    assert run.started_by == HOSTILE
    assert "img" not in taken.tags
    assert "\u202e" not in answer.text
    assert [tag for tag, _ in taken.elements].count("script") == 1
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        text = answer.text.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_a_hostile_id_of_a_dag_run_stays_text_where_it_is_shown(place: Place) -> None:
    other = workload(name="mood", into=parquet_table("{store}/tables/mood"))
    for made in (TRIAGE, other):
        plan(place, made, started_by=HOSTILE)
    dags = KnownDags({"own": frozenset({"ticket_triage", "mood"})})
    answer = browser(place, dags=dags).get(f"/offpeak/runs/own/{quote(HOSTILE, safe='')}/report.html")
    taken = Page(answer.text)
    assert "</script><img src=x onerror=alert(1)>⟨U+202E⟩ has run several workloads" in taken.text
    assert "img" not in taken.tags


def test_every_page_is_framed_by_airflow_only_and_kept_by_nobody(place: Place) -> None:
    finish(place, plan(place, started_by="manual__1"))
    report = "/offpeak/runs/ticket_triage/manual__1/report"
    pages = browser(place)
    for path in ("/offpeak/runs", f"{report}.html", f"{report}.json", "/offpeak/runs/plain/x/report.html"):
        found = pages.get(path).headers
        policy = found["content-security-policy"]
        assert "frame-ancestors 'self'" in policy
        assert "form-action 'none'" in policy
        if path != "/offpeak/runs":
            assert "script-src 'none'" in policy
        assert found["cache-control"] == "no-store"
        assert found["x-content-type-options"] == "nosniff"


def test_only_the_latest_fifty_are_shown(place: Place) -> None:
    for hour in range(52):
        end = place.clock() + timedelta(hours=hour)
        new = stages.new_run(TRIAGE, place.site, Interval(start=end, end=end))
        place.site.ledger.open_run(new, now=end)
    listed = rows(browser(place).get("/offpeak/runs").text)
    assert len(listed) == 50
    assert listed[0].startswith("ticket_triageticket_triage/2026-11-24T090000Z")
