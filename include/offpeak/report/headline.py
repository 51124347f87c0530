"""The headline: how the run stands, in a word and a sentence, what readers see, and the time that is left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from offpeak.report.coverage import Coverage
from offpeak.report.material import Material
from offpeak.report.wording import clock, cut, plural, span
from offpeak.states import BatchStatus, RunState

Tone = Literal["good", "bad", "busy", "stopped"]
SOON_SECONDS = 10 * 60
"""With less than this left, the margin is shown as a warning."""

_TONES: dict[RunState, Tone] = {
    RunState.PUBLISHED: "good",
    RunState.REFUSED: "bad",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The table that readers see at the time of the report."""

    run_id: str
    published_at: datetime
    age_seconds: float
    rows: int | None
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """`margin_seconds` is the time between the publish (or now) and due: negative when it is late."""

    word: str
    tone: Tone
    sentence: str
    error: str
    """Why it failed or was refused, whole."""
    due_at: datetime | None
    margin_seconds: float | None
    margin: str
    late: bool
    soon: bool
    visible: Visible | None


def headline(found: Material, coverage: Coverage) -> Headline:
    """Never fails: what is not known is left out of the sentence."""
    run = found.run
    margin = _margin_seconds(found)
    return Headline(
        word=run.state.value.capitalize(),
        tone=_TONES.get(run.state, "busy"),
        sentence=_sentence(found, coverage, margin),
        error=run.error,
        due_at=run.due_at,
        margin_seconds=margin,
        margin=_margin(found, margin),
        late=margin is not None and margin < 0,
        soon=margin is not None and 0 <= margin < SOON_SECONDS and not run.state.ended,
        visible=_visible(found),
    )


def _margin_seconds(found: Material) -> float | None:
    run = found.run
    if run.due_at is None:
        return None
    at = run.ended_at if run.state is RunState.PUBLISHED and run.ended_at else found.now
    return (run.due_at - at).total_seconds()


def _margin(found: Material, margin: float | None) -> str:
    if margin is None:
        return "no due time"
    if found.run.state is RunState.PUBLISHED:
        return f"{span(margin)} before due" if margin >= 0 else f"{span(margin)} late"
    return f"{span(margin)} left" if margin >= 0 else f"{span(margin)} past due"


def _sentence(found: Material, coverage: Coverage, margin: float | None) -> str:
    run = found.run
    if run.state is RunState.PUBLISHED:
        return _published(found, coverage, margin)
    if run.state.ended:
        return f"{_ended(found)} {_readers(found)}"
    late = margin is not None and margin < 0
    due = (
        f" It was due at {clock(run.due_at, found.now)}, {span(margin or 0)} ago."
        if run.due_at and late
        else ""
    )
    if run.due_at and not late:
        due = f" Due at {clock(run.due_at, found.now)}, in {span(margin or 0)}."
    return _doing(found, coverage) + due


def _published(found: Material, coverage: Coverage, margin: float | None) -> str:
    at = clock(found.run.ended_at or found.run.updated_at, found.now)
    due = "" if margin is None else f", {_margin(found, margin)}"
    if coverage.rows is None or coverage.answered is None:
        return f"Published at {at}{due}."
    if coverage.answered == coverage.rows:
        return f"Published {coverage.answered:,} of {coverage.rows:,} rows at {at}{due}."
    return f"Published at {at} with {coverage.answered:,} of {coverage.rows:,} rows answered{due}."


def _ended(found: Material) -> str:
    run = found.run
    at = clock(run.ended_at or run.updated_at, found.now)
    if run.state is RunState.REFUSED:
        against = _against(found)
        why = f" because {plural(against, 'check')} failed" if against else ""
        return f"Refused at {at}{why}: nothing was published."
    if run.state is RunState.CANCELLED:
        return f"Cancelled at {at}: nothing was published."
    first = next((line.strip() for line in run.error.splitlines() if line.strip()), "")
    why = f": {cut(first)}" if first else "; no reason was recorded."
    return f"Failed at {at}{why if why.endswith(('.', '…')) else why + '.'} Nothing was published."


def _against(found: Material) -> int:
    checks = found.part("verdict").get("checks") or []
    critical = [one for one in checks if one.get("severity") == "critical"]
    return sum(not one.get("success") and not one.get("error") for one in critical)


def _readers(found: Material) -> str:
    seen = found.visible
    if seen is None:
        return "There is no earlier table: readers see nothing yet."
    at = seen.ended_at or seen.updated_at
    return f"Readers still see the table of {clock(at, found.now)}, {span(found.now - at)} old."


def _doing(found: Material, coverage: Coverage) -> str:
    state = found.run.state
    if state is RunState.PLANNING:
        return "Planning: the rows are being read, nothing has been sent yet."
    if state is RunState.CHECKING:
        return "Checking: every answer is in and the checks are judging them."
    if state is RunState.PUBLISHING:
        return "Publishing: the checks said yes and the table is being written."
    live = sum(not one.status.ended for one in found.batches)
    cancelling = sum(one.status is BatchStatus.CANCELLING for one in found.batches)
    batches = f"; {plural(live, 'batch', 'batches')} in flight" if live else "; no batch is in flight now"
    being = f", {cancelling:,} of them being cancelled" if cancelling else ""
    answered = coverage.requests_answered or 0
    asked = "" if coverage.asked is None else f" of {coverage.asked:,}"
    return f"Running: {answered:,}{asked} requests answered so far{batches}{being}."


def _visible(found: Material) -> Visible | None:
    run = found.visible
    if run is None:
        return None
    at = run.ended_at or run.updated_at
    table = run.facts.get("table")
    table = table if isinstance(table, dict) else {}
    return Visible(
        run_id=run.run_id,
        published_at=at,
        age_seconds=(found.now - at).total_seconds(),
        rows=table.get("rows"),
        address=str(table.get("address") or ""),
    )
