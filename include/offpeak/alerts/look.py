"""A look: everything that the causes of alerts are decided from, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from offpeak.alerts.signature import Alike, Said, alike
from offpeak.alerts.watch import Watched
from offpeak.errors import SpecError
from offpeak.ledger.records import Alert, Run, Shard
from offpeak.states import AlertCause, RunState, ShardState

if TYPE_CHECKING:
    from offpeak.site import Interval, Site

TROUBLE_WINDOW = timedelta(minutes=60)
"""Troubles of an account that are older do not make an outage."""
EARLIER_RUNS = 10
"""So many published runs are what a run's answers are compared with, at most."""
ABSORBED_FOR = timedelta(hours=24)
"""A run that failed in an outage is not told again by itself until this long after the outage's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is foreseen of a running workload, by whoever forecasts it. None is "not known"."""

    p50: datetime | None = None
    p90: datetime | None = None
    basis: str = ""
    """What the forecast rests on, in words."""
    escalate_usd: Decimal | None = None
    """What asking the rest in realtime would cost."""
    escalated_by: datetime | None = None
    """When it would then be published."""
    affordable: bool = True
    """False when the budget forbids the escalation."""
    why: str = ""
    """The reason of the decision that was made, for people."""

    @classmethod
    def of_run(cls, run: Run, *, now: datetime) -> Outlook | None:
        """What the run's facts say is foreseen, as noted with the last decision; None without any. A finish
        that should have been by now says nothing of when it will be."""
        said = run.facts.get("outlook")
        if not isinstance(said, Mapping):
            return None
        p90 = _moment(said.get("p90"))
        held = p90 is not None and p90 > now
        return cls(
            p50=_moment(said.get("p50")) if held else None,
            p90=p90 if held else None,
            basis=str(said.get("basis") or ""),
            escalate_usd=_amount(said.get("escalate_usd")),
            escalated_by=_moment(said.get("escalated_by")),
            affordable=said.get("affordable") is not False,
            why=str(said.get("why") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One interval of a workload, its run if there is one, and what is like it."""

    now: datetime
    workload: str
    subject: str
    """The interval: `workload/interval key`, whatever the edition."""
    run: Run | None = None
    due_at: datetime | None = None
    warned: bool = False
    """The time of the warning has come, whatever is known of the finish."""
    outlook: Outlook | None = None
    broke_off: str = ""
    """Why the run failed before there was one."""
    rows: int | None = None
    answered: int = 0
    spent_usd: Decimal | None = None
    budget_usd: Decimal | None = None
    earlier: tuple[Run, ...] = ()
    """Published runs that asked the same, the newest first."""
    published: bool = False
    """An earlier edition of the interval is published: nobody waits for this one."""
    account: str = ""
    alike: tuple[Alike, ...] = field(default=())
    absorbed: frozenset[str] = frozenset()
    """Runs that an outage's alert has told of already."""

    @property
    def left(self) -> int | None:
        """Rows without an answer; None before the rows are read."""
        return None if self.rows is None else max(0, self.rows - self.answered)

    @property
    def run_id(self) -> str:
        return self.run.run_id if self.run else ""


def interval_subject(workload: str, interval_key: str) -> str:
    return f"{workload}/{interval_key}"


def account_subject(account: str) -> str:
    return f"account {account}"


def look_at(
    site: Site,
    workload: Watched | None,
    run: Run | None,
    *,
    interval: Interval | None = None,
    outlook: Outlook | None = None,
    warned: bool = False,
) -> Look:
    """Read what there is. Without a run (it never started) workload and interval must be given: SpecError.

    Without an outlook that of the run's facts is taken."""
    now = site.now()
    if run is None:
        return _unstarted(workload, interval, now, warned)
    shards = site.ledger.shards(run.run_id)
    account = shards[0].account if shards else ""
    spent = [spend.cost_usd for spend in site.ledger.spent(run_id=run.run_id)]
    return Look(
        now=now,
        workload=run.workload,
        subject=interval_subject(run.workload, run.interval_key),
        run=run,
        due_at=run.due_at,
        warned=warned,
        outlook=outlook or Outlook.of_run(run, now=now),
        rows=_whole(run.facts.get("rows")),
        answered=_answered(run, shards),
        spent_usd=sum((usd for usd in spent if usd is not None), Decimal(0)) if spent else None,
        budget_usd=_budget(workload),
        earlier=_earlier(site, run),
        published=any(
            one.state is RunState.PUBLISHED and one.edition < run.edition
            for one in site.ledger.alerts.editions(run.workload, run.interval_key)
        ),
        account=account,
        alike=_alike(site, account, now),
        absorbed=_absorbed(site, account, now),
    )


def _unstarted(workload: Watched | None, interval: Interval | None, now: datetime, warned: bool) -> Look:
    from offpeak.due import due_at

    if workload is None or interval is None:
        raise SpecError(
            "An alert about a run that never started needs its workload and its interval. Nothing was sent."
        )
    return Look(
        now=now,
        workload=workload.name,
        subject=interval_subject(workload.name, interval.key),
        due_at=None if workload.due is None else due_at(workload.due, interval.end),
        warned=warned,
        budget_usd=_budget(workload),
    )


def _budget(workload: Watched | None) -> Decimal | None:
    return None if workload is None or workload.budget_usd is None else Decimal(workload.budget_usd)


def _answered(run: Run, shards: Sequence[Shard]) -> int:
    """Rows of the run with an answer, those carried from earlier runs too."""
    outcomes = run.facts.get("outcomes")
    if isinstance(outcomes, Mapping):
        return _whole(outcomes.get("answered")) or 0
    done = sum(
        int(shard.outcomes.get("answered", 0)) for shard in shards if shard.state is ShardState.COLLECTED
    )
    return done + (_whole(run.facts.get("carried")) or 0)


def _earlier(site: Site, run: Run) -> tuple[Run, ...]:
    """The last published runs of the whole workload that asked the same, judged in the same way."""
    if "distribution" not in run.facts:
        return ()
    found = site.ledger.runs(run.workload, states=(RunState.PUBLISHED,), limit=EARLIER_RUNS * 3)
    like = [
        one
        for one in found
        if one.run_id != run.run_id
        and one.created_at < run.created_at
        and is_whole_run(one)
        and one.spec.get("asks") == run.spec.get("asks")
        and "distribution" in one.facts
    ]
    return tuple(like[:EARLIER_RUNS])


def is_whole_run(run: Run) -> bool:
    """Of all rows of its interval, and no replay of dead letters."""
    return "replay" not in run.spec and run.spec.get("limit") is None


def _alike(site: Site, account: str, now: datetime) -> tuple[Alike, ...]:
    if not account:
        return ()
    troubles = site.ledger.alerts.troubles(account, since=now - TROUBLE_WINDOW)
    return tuple(alike(Said(one.kind, one.workload, one.run_id, one.number, one.said) for one in troubles))


def _absorbed(site: Site, account: str, now: datetime) -> frozenset[str]:
    if not account:
        return frozenset()
    about: list[Alert] = site.ledger.alerts.about([account_subject(account)], since=now - ABSORBED_FOR)
    return frozenset(
        str(run) for alert in about if alert.cause is AlertCause.OUTAGE for run in alert.facts.get("runs", ())
    )


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _amount(said: Any) -> Decimal | None:
    return None if said is None else Decimal(str(said))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
