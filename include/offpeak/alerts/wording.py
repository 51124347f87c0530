"""Wording: what an alert says, since when, what it means, and what can be done at which price. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from offpeak.alerts.message import Kind, Message, Option, Severity, foreign
from offpeak.ledger.records import Alert
from offpeak.states import AlertCause

Lines = list[tuple[str, str]]

EXTEND_LEAST = timedelta(minutes=30)
_EXTEND_STEP = timedelta(minutes=15)

SEVERITY: Mapping[AlertCause, Severity] = {
    AlertCause.AT_RISK: "warning",
    AlertCause.LATE: "critical",
    AlertCause.FAILED: "error",
    AlertCause.REFUSED: "error",
    AlertCause.BUDGET: "warning",
    AlertCause.DRIFTED: "warning",
    AlertCause.OUTAGE: "error",
}


def message_of(alert: Alert, *, told_version: int, links: tuple[tuple[str, str], ...] = ()) -> Message:
    """The message for a channel that was told `told_version` last (0: nothing yet)."""
    kind: Kind = "resolved" if alert.resolved_at else "updated" if told_version else "opened"
    lines: Lines = [("What", _what(alert))]
    if kind == "resolved":
        lines = [
            ("What", foreign(alert.facts.get("resolution") or "The cause is gone.")),
            ("Was", _what(alert)),
        ]
    lines.append(("Since", _moment(alert.opened_at)))
    if alert.resolved_at:
        lines.append(("Until", _moment(alert.resolved_at)))
    else:
        lines += _circumstances(alert)
    return Message(
        alert=alert,
        kind=kind,
        severity=SEVERITY[alert.cause],
        title=_title(alert, kind),
        lines=tuple(lines),
        options=() if alert.resolved_at else options_of(alert),
        links=links,
    )


def _title(alert: Alert, kind: Kind) -> str:
    about = alert.run_id or alert.subject
    if alert.cause is AlertCause.OUTAGE:
        about = f"{alert.facts.get('provider') or 'provider'} ({alert.facts.get('account', '')})"
    words = str(alert.cause).replace("_", " ")
    if kind == "resolved":
        return f"Resolved: {about} ({words})"
    return f"{words.capitalize()}: {about}{' (update)' if kind == 'updated' else ''}"


def _what(alert: Alert) -> str:
    return _WHAT[alert.cause](alert.facts)


def _at_risk(facts: Mapping[str, Any]) -> str:
    due = _moment(_time(facts.get("due_at")))
    p90 = _time(facts.get("p90"))
    if p90 is not None:
        return f"It may not be published by {due}: one time in ten it takes until {_moment(p90)} or longer."
    if facts.get("state") == "not started":
        return f"It has not started, and is due at {due}."
    if facts.get("waits_for_yes"):
        return f"It waits for a person's yes, sends nothing before, and is due at {due}."
    return f"It is not published yet and due at {due}; when it will finish cannot be foreseen."


def _late(facts: Mapping[str, Any]) -> str:
    due = _moment(_time(facts.get("due_at")))
    if not facts.get("started"):
        return f"It was due at {due} and has not started. Readers keep the last good table."
    return f"It was due at {due} and is not published; it goes on. Readers keep the last good table."


def _failed(facts: Mapping[str, Any]) -> str:
    overdue = " Its due time has passed." if facts.get("overdue") else ""
    return f"The run failed.{overdue} {foreign(facts.get('error', ''))}"


def _refused(facts: Mapping[str, Any]) -> str:
    overdue = " Its due time has passed." if facts.get("overdue") else ""
    return f"The checks said no, and nothing was published.{overdue} {foreign(facts.get('error', ''))}"


def _budget(facts: Mapping[str, Any]) -> str:
    if facts.get("kind") == "approval":
        usd, above = _usd(facts.get("usd")), _usd(facts.get("above_usd"))
        return (
            f"The run waits for a person's yes: its estimate is {usd}, and above {above} somebody must "
            "approve it. Nothing is sent or billed so far."
        )
    if facts.get("kind") == "estimate":
        return f"The run was stopped before anything was sent. {foreign(facts.get('error', ''))}"
    spent, budget = _usd(facts.get("spent_usd")), _usd(facts.get("budget_usd"))
    return f"{spent} of the budget of {budget} are spent, and rows are still open."


def _drifted(facts: Mapping[str, Any]) -> str:
    from offpeak.report.wording import share

    said = []
    for drift in facts.get("drifts", ()):
        now, usual, limit = (share(float(drift[name])) for name in ("now", "usual", "limit"))
        if drift["what"] == "invalid":
            said.append(
                f"{now} of the rows are invalid, refused or truncated, usually {usual} (limit {limit})"
            )
            continue
        value, then = share(float(drift["value_now"])), share(float(drift["value_usual"]))
        said.append(
            f"in {foreign(drift['what'], 60)}, {now} of the answers moved (limit {limit}): "
            f"{foreign(drift['value'], 60)!r} is {value}, usually {then}"
        )
    return f"The answers are not like those of the last {facts.get('compared_with')} runs: {'; '.join(said)}."


def _outage(facts: Mapping[str, Any]) -> str:
    from offpeak.report.wording import plural

    shards, runs = plural(int(facts.get("shards", 0)), "shard"), plural(len(facts.get("runs", ())), "run")
    return f"{shards} and {runs} of this account have the same trouble: {foreign(facts.get('said', ''))}"


_WHAT: Mapping[AlertCause, Callable[[Mapping[str, Any]], str]] = {
    AlertCause.AT_RISK: _at_risk,
    AlertCause.LATE: _late,
    AlertCause.FAILED: _failed,
    AlertCause.REFUSED: _refused,
    AlertCause.BUDGET: _budget,
    AlertCause.DRIFTED: _drifted,
    AlertCause.OUTAGE: _outage,
}


def _circumstances(alert: Alert) -> Lines:
    """What else is known: rows, forecast, money, and what was decided."""
    facts, lines = alert.facts, []
    if alert.cause is AlertCause.OUTAGE:
        return [("Runs", foreign(", ".join(facts.get("runs", ()))))]
    if facts.get("left") is not None and facts.get("rows") is not None:
        lines.append(("Rows at risk", f"{facts['left']:,} of {facts['rows']:,}"))
    elif alert.cause in (AlertCause.AT_RISK, AlertCause.LATE):
        lines.append(("Rows at risk", "not known: the rows are not read yet"))
    p50, p90 = _time(facts.get("p50")), _time(facts.get("p90"))
    if p50 is not None or p90 is not None:
        basis = f" ({foreign(facts['basis'], 120)})" if facts.get("basis") else ""
        lines.append(("Forecast", f"p50 {_moment(p50)}, p90 {_moment(p90)}{basis}"))
    if facts.get("due_at") and alert.cause not in (AlertCause.AT_RISK, AlertCause.LATE):
        lines.append(("Due", _moment(_time(facts["due_at"]))))
    if facts.get("spent_usd") is not None:
        lines.append(("Spent", _usd(facts["spent_usd"])))
    if facts.get("why"):
        lines.append(("Decision", foreign(facts["why"], 200)))
    return lines


def options_of(alert: Alert) -> tuple[Option, ...]:
    """What can be done now, the usual choice first. A run that has not started has no commands."""
    run, facts = shlex.quote(alert.run_id), alert.facts
    if not alert.run_id:
        what = "see why its DAG run did not start (paused, no free slot, scheduler down), then start it"
        return (Option(name="Start it", command="", what=what),)
    look = Option(
        name="Look", command=f"offpeak report {run}", what="rows, checks, money and time of the run"
    )
    if facts.get("kind") == "approval" or facts.get("waits_for_yes"):
        return (_approve(facts), _cancel(run, facts))
    if alert.cause in (AlertCause.AT_RISK, AlertCause.LATE):
        return (*_ahead(alert.cause, run, facts), _cancel(run, facts))
    if alert.cause is AlertCause.BUDGET and facts.get("kind") == "spend":
        return (look, _partial(run, facts), _cancel(run, facts))
    if alert.cause is AlertCause.OUTAGE:
        what = "wait: every shard is tried again by itself, and nothing is paid twice"
        return (Option(name="Wait", command="offpeak status", what=what),)
    if alert.cause is AlertCause.DRIFTED:
        return (look,)
    what = "correct the cause, then clear the failed task or run the DAG file again: no row is paid twice"
    return (look, Option(name="Go on", command="", what=what))


def _ahead(cause: AlertCause, run: str, facts: Mapping[str, Any]) -> tuple[Option, ...]:
    due = _time(facts.get("due_at"))
    extend = _extension(due, _time(facts.get("p90")), late_seconds=facts.get("late_seconds"))
    minutes = int(extend.total_seconds() // 60)
    until = f"due becomes {_moment(due + extend)}; " if due is not None else ""
    return (
        _escalate(run, facts),
        Option(
            name="Extend",
            command=f"offpeak extend {run} {minutes}m",
            what=f"{until}costs nothing, and the table comes later",
        ),
        _partial(run, facts),
    )


def _escalate(run: str, facts: Mapping[str, Any]) -> Option:
    price = "price not known" if facts.get("escalate_usd") is None else f"costs {_usd(facts['escalate_usd'])}"
    by = _time(facts.get("escalated_by"))
    done = f", published about {_moment(by)}" if by is not None else ""
    forbidden = "; the budget forbids it: raise budget_usd first" if facts.get("affordable") is False else ""
    what = f"the slowest batches are cancelled and the rest is asked in realtime; {price}{done}{forbidden}"
    return Option(name="Escalate", command=f"offpeak escalate {run}", what=what)


def _approve(facts: Mapping[str, Any]) -> Option:
    where = "on the run's page in Airflow, under Required Actions"
    if facts.get("where") == "terminal":
        where = "with the command that started it and --yes"
    price = f"; costs about {_usd(facts['usd'])}" if facts.get("usd") is not None else ""
    return Option(name="Approve or reject", command="", what=f"{where}{price}")


def _partial(run: str, facts: Mapping[str, Any]) -> Option:
    rows, left = facts.get("rows"), facts.get("left")
    ready = (
        f"{rows - left:,} of {rows:,} rows" if rows is not None and left is not None else "what is answered"
    )
    return Option(
        name="Publish in part",
        command=f"offpeak publish --partial {run}",
        what=f"{ready} now, if the checks say yes; costs nothing more",
    )


def _cancel(run: str, facts: Mapping[str, Any]) -> Option:
    spent = "" if facts.get("spent_usd") is None else f"; {_usd(facts['spent_usd'])} are billed so far"
    what = f"its batches end, what they finished is kept and billed{spent}; readers keep the last good table"
    return Option(name="Cancel", command=f"offpeak cancel {run}", what=what)


def _extension(due: datetime | None, p90: datetime | None, *, late_seconds: Any) -> timedelta:
    """Enough for the forecast, in quarters of an hour; for a late run beyond what it is late by already."""
    need = EXTEND_LEAST
    if isinstance(late_seconds, (int, float)):
        need = timedelta(seconds=late_seconds) + EXTEND_LEAST
    if due is not None and p90 is not None:
        need = max(need, p90 - due)
    return -(-need // _EXTEND_STEP) * _EXTEND_STEP


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _moment(at: datetime | None) -> str:
    from offpeak.report.wording import moment

    return "not known" if at is None else moment(at)


def _usd(amount: Any) -> str:
    from offpeak.report.wording import usd

    return usd(None if amount is None else Decimal(str(amount)))
