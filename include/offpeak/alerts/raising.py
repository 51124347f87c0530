"""Raising alerts: what a look shows is written down, and each channel is told what it has not heard."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from offpeak.alerts.causes import BROKE_OFF, causes, unknown
from offpeak.alerts.channels import Channel
from offpeak.alerts.links import links_of
from offpeak.alerts.look import Look, Outlook, account_subject, look_at
from offpeak.alerts.message import foreign
from offpeak.alerts.send import Deliver, deliver
from offpeak.alerts.watch import Watched
from offpeak.alerts.wording import message_of
from offpeak.errors import DeliveryError, SpecError
from offpeak.ledger.records import Alert, NewAlert, Run
from offpeak.states import AlertCause, RunState

if TYPE_CHECKING:
    from offpeak.site import Interval, Site

LEASE = timedelta(minutes=10)
"""How long one sender has a channel for itself. After a crash in the middle of a send the message may come
again: at once from the same host, after this long from another."""
BACKOFF, BACKOFF_MOST = timedelta(minutes=1), timedelta(hours=1)
"""A channel that did not take a message is left alone this long, doubled each time up to the most."""
TOLD_FOR = timedelta(days=3)
"""What has not changed for longer is not told to a channel any more."""
OTHERS = 5
"""So many other intervals of the workload with an open alert about time are looked at again, too."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the caller knows beside the ledger."""

    outlook: Outlook | None = None
    """The forecast; without one that of the run's facts is taken. With neither, whether a run is at risk is not
    known, and an open alert of it stays."""
    warned: bool = False
    """The time of the warning has come: a run without a forecast is then at risk."""
    interval: Interval | None = None
    """For a run that never started."""
    broke_off: str = ""
    """Why it failed before there was a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """What one call did."""

    open: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()
    told: tuple[str, ...] = ()
    """Channels that took a message, once for each."""
    untold: tuple[str, ...] = ()
    """Why channels did not."""
    problem: str = field(default="")
    """Why nothing could be done at all; the ledger could not be used."""


def raise_alerts(
    site: Site,
    workload: Watched | None,
    run_id: str | None,
    *,
    seen: Seen | None = None,
    deliver: Deliver = deliver,
) -> Raised:
    """Bring the alerts about a run up to date in the ledger, and tell the workload's channels what is new.

    `run_id` is None for a run that never started; `seen` then names its interval. Without a workload the
    ledger is brought up to date and nobody is told: the channels are the workload's. Any number of
    processes may call this at once, and as often as they like: a channel is told each version once.

    Raises only SpecError, for a call that names neither run nor interval. A channel that fails and a ledger
    that cannot be used are in what is returned and in the log: no run ever fails because of its alerts.
    """
    seen = seen or Seen()
    if run_id is None and (seen.interval is None or workload is None):
        raise SpecError("raise_alerts needs a run id, or a workload and seen=Seen(interval=...).")
    subject = workload.name if workload else "an unknown workload"
    try:
        looks = _looks(site, workload, run_id, seen)
        opened, resolved = _write_down(site, looks)
        told, untold = _tell(site, workload, looks, deliver)
    except Exception as error:
        log.warning("Alerts of %s could not be raised; the run goes on", run_id or subject, exc_info=True)
        return Raised(problem=f"{type(error).__name__}: {error}")
    return Raised(open=opened, resolved=resolved, told=told, untold=untold)


def dismiss(
    site: Site, workload: Watched | None, sequence: int, why: str, *, deliver: Deliver = deliver
) -> bool:
    """Close an alert by hand, for causes that never go by themselves. False when it was closed before."""
    resolution = f"Closed by hand: {why}"
    closed = site.ledger.alerts.resolve(sequence, {"resolution": resolution}, now=site.now())
    if closed is not None and workload is not None:
        _tell_about(site, workload.alerts, [closed], deliver)
    return closed is not None


def _looks(site: Site, workload: Watched | None, run_id: str | None, seen: Seen) -> list[Look]:
    """The look at what was asked for, and at other intervals whose open alerts nobody looks at any more."""
    run = None
    if run_id is not None:
        asked = site.ledger.run(run_id)
        run = next(iter(site.ledger.alerts.editions(asked.workload, asked.interval_key)), asked)
    elif workload is not None and seen.interval is not None:
        run = next(iter(site.ledger.alerts.editions(workload.name, seen.interval.key)), None)
    first = look_at(site, workload, run, interval=seen.interval, outlook=seen.outlook, warned=seen.warned)
    first = replace(first, broke_off=seen.broke_off)
    return [first, *_others(site, workload, first)]


def _others(site: Site, workload: Watched | None, first: Look) -> Iterable[Look]:
    timely = (AlertCause.AT_RISK, AlertCause.LATE)
    open_ones = site.ledger.alerts.latest(first.workload, open_only=True)
    subjects = [one.subject for one in open_ones if one.cause in timely and one.subject != first.subject]
    for subject in list(dict.fromkeys(subjects))[:OTHERS]:
        found = site.ledger.alerts.editions(first.workload, subject.partition("/")[2])
        if found:
            yield look_at(site, workload, found[0])


def _write_down(site: Site, looks: Sequence[Look]) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
    opened: list[Alert] = []
    resolved: list[Alert] = []
    for look in looks:
        known = {alert.key: alert for alert in site.ledger.alerts.about(_subjects(look))}
        found = {alert.key: alert for alert in causes(look)}
        for key, alert in known.items():
            if key not in found and not unknown(look, alert.cause, kind=str(alert.facts.get("kind", ""))):
                facts = {"resolution": _resolution(look, alert)}
                closed = site.ledger.alerts.resolve(alert.sequence, facts, now=look.now)
                resolved += [closed] if closed else []
        for key, new in found.items():
            if merged := _merged(new, known.get(key)):
                opened.append(site.ledger.alerts.open(merged, now=look.now))
    return tuple(opened), tuple(resolved)


def _merged(new: NewAlert, known: Alert | None) -> NewAlert | None:
    """What an open alert becomes; None when the look knows less than it does."""
    if known is None:
        return new
    if new.cause is AlertCause.AT_RISK and known.facts.get("p90") and not new.facts.get("p90"):
        return None
    if new.cause is AlertCause.FAILED and new.facts.get("error") == BROKE_OFF:
        return None
    if new.cause is AlertCause.OUTAGE:
        names = {
            name: sorted({*known.facts.get(name, ()), *new.facts[name]}) for name in ("runs", "workloads")
        }
        return replace(new, facts={**new.facts, **names})
    return new


def _subjects(look: Look) -> list[str]:
    account = [account_subject(look.account)] if look.account else []
    return [look.subject, look.workload, *account]


def _resolution(look: Look, alert: Alert) -> str:
    """Why the cause is gone, in a sentence."""
    run = look.run
    if alert.facts.get("kind") == "approval" and run is not None and (said := _answered(run)):
        return said
    if alert.cause is AlertCause.OUTAGE:
        runs = ", ".join(alert.facts.get("runs", ()))
        return f"The provider takes the account's requests again. Runs that it touched: {runs}."
    if alert.cause is AlertCause.DRIFTED:
        return f"The answers of {look.run_id} are like those of the runs before it."
    if run is None or not run.state.ended:
        passed = look.due_at is not None and look.now > look.due_at
        if alert.cause is AlertCause.AT_RISK and passed:
            return "Its due time has passed: it is late now, and another alert says so."
        p90 = look.outlook.p90 if look.outlook else None
        by = f": nine times in ten by {p90:%H:%M} UTC" if p90 is not None else ""
        return f"It is expected in time again{by}." if look.due_at else "It has no due time any more."
    return _ending(run)


def _answered(run: Run) -> str:
    """What became of the question whether the run may go on; empty when it was not answered."""
    approval = run.facts.get("approval", {})
    if approval.get("answer") == "yes":
        return f"{run.run_id} was approved by {foreign(approval.get('by', ''), 60)} and goes on."
    return foreign(run.error) if approval.get("answer") == "no" else ""


def _ending(run: Run) -> str:
    at = run.ended_at or run.updated_at
    when = f"{at:%H:%M} UTC"
    match run.state:
        case RunState.PUBLISHED if run.due_at is not None and at > run.due_at:
            minutes = max(1, round((at - run.due_at).total_seconds() / 60))
            return f"{run.run_id} is published at {when}, {minutes:,} min after its due time."
        case RunState.PUBLISHED:
            return f"{run.run_id} is published at {when}, in time."
        case RunState.CANCELLED:
            return f"{run.run_id} was cancelled at {when}; readers keep the last good table."
    return f"{run.run_id} ended as {run.state} at {when}; another alert says so."


def _tell(
    site: Site, workload: Watched | None, looks: Sequence[Look], deliver: Deliver
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if workload is None or not workload.alerts:
        return (), ()
    subjects = {subject for look in looks for subject in _subjects(look)}
    pending = site.ledger.alerts.pending(
        [channel.name for channel in workload.alerts],
        workload=workload.name,
        subjects=subjects,
        now=site.now(),
        since=site.now() - TOLD_FOR,
    )
    return _tell_about(site, workload.alerts, pending, deliver)


def _tell_about(
    site: Site, channels: Sequence[Channel], alerts: Iterable[Alert], deliver: Deliver
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    told: list[str] = []
    untold: list[str] = []
    for alert in alerts:
        for channel in channels:
            problem = _tell_one(site, channel, alert, deliver)
            if problem == "":
                told.append(channel.name)
            elif problem:
                untold.append(f"{channel.name}: {problem}")
    return tuple(told), tuple(untold)


def _tell_one(site: Site, channel: Channel, alert: Alert, deliver: Deliver) -> str | None:
    """Empty when the channel was told, None when it need not be or another tells it, else why it was not."""
    book, name = site.ledger.alerts, channel.name
    claimed = book.claim(alert.sequence, name, site.worker, lease=LEASE, now=site.now())
    if claimed is None:
        return None
    present, delivery = claimed
    run = site.ledger.run(present.run_id) if present.run_id else None
    links = links_of(site, present.cause, run)
    message = message_of(present, told_version=delivery.told_version, links=links)
    try:
        deliver(channel, message, site)
    except DeliveryError as error:
        now = site.now()
        pause = min(BACKOFF * 2 ** min(delivery.attempts, 10), BACKOFF_MOST)
        book.untold(delivery, str(error), now + pause, now=now)
        log.warning("The alert %r was not taken by %s: %s", message.title, name, error)
        return str(error)
    book.told(delivery, present.version, now=site.now())
    return ""
