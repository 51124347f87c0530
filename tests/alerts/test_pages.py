"""The page on alerts and the runbooks say what the code does."""

from __future__ import annotations

import re

import pytest

from offpeak.alerts.causes import BUDGET_SHARE, OUTAGE_RUNS, OUTAGE_SHARDS
from offpeak.alerts.drift import CHANCES, DEVIATIONS, INVALID_FLOOR, LEAST_ROWS, LEAST_RUNS, MIX_FLOOR
from offpeak.alerts.look import EARLIER_RUNS
from offpeak.alerts.raising import BACKOFF, BACKOFF_MOST, LEASE, TOLD_FOR
from offpeak.alerts.wording import SEVERITY
from offpeak.states import AlertCause
from tests.docs.reading import ROOT, table, words

ALERTS = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
RUNBOOKS = ROOT / "docs" / "runbooks"


def test_every_cause_is_listed_in_its_order_and_has_a_runbook_and_a_severity() -> None:
    assert [words(row[0])[0] for row in table("alerts.md", "cause")] == [str(cause) for cause in AlertCause]
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == {str(cause) for cause in AlertCause}
    assert set(SEVERITY) == set(AlertCause)


@pytest.mark.parametrize("cause", AlertCause)
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do_at_which_price(
    cause: AlertCause,
) -> None:
    text = (RUNBOOKS / f"{cause}.md").read_text(encoding="utf-8")
    for part in (
        "**What it means.**",
        "**What to look at.**",
        "**What to do.**",
        "what it costs",
        "**It is over**",
    ):
        assert part in text
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (RUNBOOKS / link).resolve().is_file()] == []


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    numbers = {"three": LEAST_RUNS, "ten": EARLIER_RUNS, "five": OUTAGE_SHARDS, "four": DEVIATIONS}
    assert numbers == {"three": 3, "ten": 10, "five": 5, "four": 4.0}
    assert (OUTAGE_RUNS, LEAST_ROWS, CHANCES, INVALID_FLOOR, MIX_FLOOR) == (3, 50, 3.0, 0.02, 0.10)
    assert f"{BUDGET_SHARE:.0%}".replace("%", " %") in ALERTS
    seconds = [span.total_seconds() for span in (BACKOFF, BACKOFF_MOST, LEASE, TOLD_FOR)]
    assert seconds == [60, 3600, 600, 259_200]
    for said in ("at least 50 rows", "for a minute", "up to an hour", "after ten minutes", "three days"):
        assert said in " ".join(ALERTS.split())
