"""Causes: why somebody should be told about what a look saw. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from offpeak.alerts.drift import Drift, drifts
from offpeak.alerts.look import Look, account_subject, is_whole_run
from offpeak.alerts.signature import Alike, signature
from offpeak.ledger.records import NewAlert, Run
from offpeak.states import AlertCause, RunState

BUDGET_SHARE = Decimal("0.8")
"""Of the budget: when the spend reaches it while rows are still open, somebody is told."""
STALE = timedelta(days=1)
"""A run that was opened later than this after its due time is nobody's late table: a backfill."""
OUTAGE_SHARDS = 5
"""So many shards of an account that wait for the same reason are an outage, whatever runs they are of."""
OUTAGE_RUNS = 3
"""So many runs of at least two workloads with the same trouble are an outage."""
OVER_ESTIMATE = ("above its budget_usd=", "above its monthly_budget_usd=")
"""What the error of a run says that was stopped because its estimate is above a budget."""
BROKE_OFF = "It broke off before there was a run; the log of its first task says why."
"""For a caller that does not know more. It takes nothing from an alert that does."""
TEXT = 600
"""So many characters of an error are kept in an alert."""
_LATENESS = (timedelta(hours=1), timedelta(hours=4), timedelta(hours=24))
_MISSES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))
_ROOM = "waits for room"  # a full queue of our own making is no outage


def causes(look: Look) -> list[NewAlert]:
    """What is wrong, at most one of each cause. A look without a run can only be at risk or late."""
    spending = _approval(look) or _spending(look)
    found = [_lateness(look), *_ended(look), spending, _drifted(look), _outage(look)]
    return [alert for alert in found if alert is not None]


def unknown(look: Look, cause: AlertCause, *, kind: str = "") -> bool:
    """Whether the look cannot tell if the cause is gone: its open alert then stays as it is. `kind` is the
    open alert's own word for which of a cause's two sorts it is."""
    run = look.run
    if kind == "approval":
        return run is None  # answered or cancelled: nobody waits any more
    if cause is AlertCause.AT_RISK:
        going = run is None or not run.state.ended
        foreseen = look.outlook is not None and look.outlook.p90 is not None
        return going and not _passed(look) and not foreseen
    if cause in (AlertCause.FAILED, AlertCause.REFUSED, AlertCause.BUDGET):
        # what broke off is mended when the interval is published, not when it is tried again
        return run is None or run.state not in (RunState.PUBLISHED, RunState.CANCELLED)
    if cause is AlertCause.DRIFTED:
        return run is None or not _comparable(run)
    return cause is AlertCause.OUTAGE and not look.account


def _lateness(look: Look) -> NewAlert | None:
    run = look.run
    if look.due_at is None or (run is not None and (run.state.ended or not _is_awaited(look, run))):
        return None
    return _late(look, look.due_at) if _passed(look) else _at_risk(look, look.due_at)


def _late(look: Look, due_at: datetime) -> NewAlert:
    by = look.now - due_at
    going = "not started" if look.run is None else "going"
    facts = {"late_seconds": by.total_seconds(), "started": look.run is not None}
    return _about_interval(look, AlertCause.LATE, going, _steps(by, _LATENESS), facts)


def _at_risk(look: Look, due_at: datetime) -> NewAlert | None:
    outlook = look.outlook
    if outlook is not None and outlook.p90 is not None and not _waits_for_yes(look):
        if outlook.p90 <= due_at:
            return None
        essence = "forecast" if outlook.affordable else "forecast, and the budget forbids to escalate"
        return _about_interval(look, AlertCause.AT_RISK, essence, _steps(outlook.p90 - due_at, _MISSES))
    if not look.warned:
        return None
    essence = "not started" if look.run is None else "no forecast"
    if _waits_for_yes(look):
        essence = "not approved"
    return _about_interval(look, AlertCause.AT_RISK, essence, 0)


def _ended(look: Look) -> list[NewAlert | None]:
    run = look.run
    if run is None and look.broke_off:
        facts: dict[str, Any] = {"error": look.broke_off[:TEXT], "overdue": _passed(look)}
        return [_about_interval(look, AlertCause.FAILED, "before it began", 0, facts)]
    if run is None or run.state not in (RunState.FAILED, RunState.REFUSED):
        return []
    over = any(words in run.error for words in OVER_ESTIMATE)
    if run.state is RunState.FAILED and not over and _is_in_outage(look, run):
        return []
    cause = AlertCause.REFUSED if run.state is RunState.REFUSED else AlertCause.FAILED
    essence = f"edition {run.edition}: {signature(run.error, run.run_id, run.workload)}"
    facts = {"error": run.error[:TEXT], "overdue": _passed(look)}
    if over:
        cause, facts = AlertCause.BUDGET, {**facts, "kind": "estimate", "budget_usd": _text(look.budget_usd)}
    return [_about_interval(look, cause, essence, int(_passed(look) and _is_awaited(look, run)), facts)]


def _waits_for_yes(look: Look) -> bool:
    run = look.run
    if run is None or run.state.ended:
        return False
    asked = run.facts.get("approval")
    return isinstance(asked, Mapping) and "answer" not in asked


def _approval(look: Look) -> NewAlert | None:
    if not _waits_for_yes(look) or look.run is None:
        return None
    asked = look.run.facts["approval"]
    told = {name: asked.get(name) for name in ("usd", "above_usd", "where", "asked_at")}
    return _about_interval(look, AlertCause.BUDGET, "approval", 0, {"kind": "approval", **told})


def _spending(look: Look) -> NewAlert | None:
    run, budget, spent = look.run, look.budget_usd, look.spent_usd
    if run is None or run.state.ended or not budget or spent is None or not look.left:
        return None
    if spent < budget * BUDGET_SHARE:
        return None
    facts = {"kind": "spend", "budget_usd": _text(budget), "spent_usd": _text(spent)}
    return _about_interval(look, AlertCause.BUDGET, "spend", int(spent >= budget), facts)


def _drifted(look: Look) -> NewAlert | None:
    run = look.run
    if run is None or not _comparable(run):
        return None
    found = drifts(run.facts, [one.facts for one in look.earlier])
    if not found:
        return None
    return NewAlert(
        key=f"{AlertCause.DRIFTED}:{look.workload}",
        cause=AlertCause.DRIFTED,
        subject=look.workload,
        workload=look.workload,
        run_id=run.run_id,
        essence=", ".join(drift.what for drift in found),
        facts={"drifts": [_drift_fact(drift) for drift in found], "compared_with": len(look.earlier)},
    )


def _drift_fact(drift: Drift) -> dict[str, Any]:
    return {
        "what": drift.what,
        "now": drift.now,
        "usual": drift.usual,
        "limit": drift.limit,
        "value": drift.value[:TEXT],
        "value_now": drift.value_now,
        "value_usual": drift.value_usual,
    }


def _outage(look: Look) -> NewAlert | None:
    for group in look.alike:
        if not _is_outage(group):
            continue
        facts = {
            "account": look.account,
            "provider": look.run.provider if look.run else "",
            "said": group.example[:TEXT],
            "shards": group.shards,
            "held": group.held,
            "runs": list(group.runs),
            "workloads": list(group.workloads),
        }
        return NewAlert(
            key=f"{AlertCause.OUTAGE}:{look.account}",
            cause=AlertCause.OUTAGE,
            subject=account_subject(look.account),
            workload=look.workload,
            run_id=look.run_id,
            essence=group.signature,
            grade=sum(max(group.shards, len(group.runs)) >= most for most in (20, 100, 500)),
            facts=facts,
        )
    return None


def _is_outage(group: Alike) -> bool:
    if group.example.startswith(_ROOM):
        return False
    many_runs = len(group.runs) >= OUTAGE_RUNS and len(group.workloads) >= 2
    return group.held >= OUTAGE_SHARDS or many_runs


def _is_in_outage(look: Look, run: Run) -> bool:
    if run.run_id in look.absorbed:
        return True
    return any(run.run_id in group.runs for group in look.alike if _is_outage(group))


def _comparable(run: Run) -> bool:
    return "distribution" in run.facts and "outcomes" in run.facts and is_whole_run(run)


def _is_awaited(look: Look, run: Run) -> bool:
    """Whether somebody waits for it by its due time: no replay, no backfill, not of an interval that is
    published already, and not opened a day after its time."""
    if look.published or "replay" in run.spec or run.started_by.startswith("backfill__"):
        return False
    return run.due_at is None or run.created_at <= run.due_at + STALE


def _passed(look: Look) -> bool:
    return look.due_at is not None and look.now > look.due_at


def _about_interval(
    look: Look, cause: AlertCause, essence: str, grade: int, facts: Mapping[str, Any] | None = None
) -> NewAlert:
    return NewAlert(
        key=f"{cause}:{look.subject}",
        cause=cause,
        subject=look.subject,
        workload=look.workload,
        run_id=look.run_id,
        essence=essence,
        grade=grade,
        facts=dict(facts or {}) | _shared(look),
    )


def _shared(look: Look) -> dict[str, Any]:
    """What every alert about an interval tells."""
    outlook = look.outlook
    foreseen: dict[str, Any] = {}
    if outlook is not None:
        foreseen = {
            "p50": _moment(outlook.p50),
            "p90": _moment(outlook.p90),
            "basis": outlook.basis[:TEXT],
            "escalate_usd": _text(outlook.escalate_usd),
            "escalated_by": _moment(outlook.escalated_by),
            "affordable": outlook.affordable,
            "why": outlook.why[:TEXT],
        }
    if _waits_for_yes(look) and look.run is not None:
        asked = look.run.facts["approval"]
        foreseen |= {"waits_for_yes": True, "usd": asked.get("usd"), "where": asked.get("where")}
    return {
        "state": str(look.run.state) if look.run else "not started",
        "due_at": _moment(look.due_at),
        "rows": look.rows,
        "left": look.left,
        "spent_usd": _text(look.spent_usd),
        **foreseen,
    }


def _steps(size: timedelta, steps: tuple[timedelta, ...]) -> int:
    return sum(size >= step for step in steps)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
