"""A preview holds an answer against its row as a run does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from offpeak.prospect import preview
from offpeak.states import Outcome
from tests.digest.making import Desk, night, tickets


def test_a_preview_says_that_an_answer_would_not_be_accepted(desk: Desk) -> None:
    desk.items(tickets("cards", 3))
    site, last = desk.site(), desk.digest(levels=1).pipeline.last
    (shown,) = preview(last, site, night(), count=1)
    assert shown.result.outcome is Outcome.ANSWERED

    def refuse(row: Any, answer: Any) -> str:
        return f"not for {row['team']}"

    (refused,) = preview(replace(last, accept=refuse), site, night(), count=1)
    assert (refused.result.outcome, refused.result.reason) == (Outcome.INVALID, "not for cards")
