"""On time: the decision about a run's due time is made, kept, and begun. Whoever looks at a shard next goes on.

decide → the intent in the run's facts → the provider is asked to end the batches → (advance.py) what they
finished is collected, and the rest is asked in realtime, or is left for the next run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from offpeak.decision import Action, Decision, Facts, decide, first_routes
from offpeak.decision.money import realtime_usd
from offpeak.errors import ProviderError
from offpeak.foresight import OUTLOOK, Known, facts_of, outlook
from offpeak.intents import PARTIAL, partial_of
from offpeak.ledger.records import Run
from offpeak.states import BatchStatus, Route, RunState, ShardState
from offpeak.submit import record_of

if TYPE_CHECKING:
    from offpeak.ledger.records import Shard
    from offpeak.providers.provider import Client
    from offpeak.site import Site
    from offpeak.workload import Workload

FRESH = timedelta(seconds=10)
"""A decision that another worker made so recently is not made again, unless its time has come."""
ONLY_FORESEEN = timedelta(minutes=15)
"""So often a run that nothing is decided for is foreseen again."""
ENOUGH_SEEN = timedelta(seconds=20)
"""A batch that was looked at so recently need not be looked at before it is cancelled."""


def consider(workload: Workload, site: Site, client: Client, run_id: str) -> datetime | None:
    """Decide about the due time of a running run, keep what is foreseen in its facts, and begin what is to be
    done; when to call again at the latest, None when nothing depends on it.

    Safe to call by any number of workers: each thing is decided once. A provider that cannot be reached delays
    what was decided until the next look at that shard. Raises SpecError without credentials.
    """
    run, now = site.ledger.run(run_id), site.now()
    if run.due_at is None or run.state is not RunState.RUNNING or partial_of(run) is not None:
        return None
    if (wake := _just_decided(run, now)) is not None:
        return wake
    known = Known.of(workload, site, run)
    facts = facts_of(workload, site, run, known)
    decision = _decide(workload, facts)
    if _acts(workload, decision):
        look_again(site, client, run_id, decision.shards)
        facts = facts_of(workload, site, run, known)
        decision = _decide(workload, facts)
        if _acts(workload, decision):
            _begin(site, client, run, facts, decision)
            after = facts_of(workload, site, site.ledger.run(run_id), known)
            facts, decision = after, replace(decide(after), action=decision.action, why=decision.why)
    wake = _wake(workload, decision, now)
    said = outlook(workload, facts, replace(decision, wake_at=wake))
    site.ledger.note_run(run_id, {OUTLOOK: said}, now=site.now())
    return wake


def _just_decided(run: Run, now: datetime) -> datetime | None:
    said: Mapping[str, Any] = run.facts.get(OUTLOOK, {})
    if not said.get("wake"):
        return None
    at, wake = (datetime.fromisoformat(said[name]) for name in ("at", "wake"))
    return wake if now < wake and timedelta(0) <= now - at < FRESH else None


def _decide(workload: Workload, facts: Facts) -> Decision:
    """The decision; a shard that waits to be sent when no batch can be in time any more is escalated, too."""
    decision = decide(facts)
    if workload.route != "auto" or decision.action not in (Action.WAIT, Action.ESCALATE):
        return decision
    routes = first_routes(facts)
    late = [
        one
        for one in facts.shards
        if one.in_batch
        and one.state is ShardState.WRITTEN
        and one.finish is not None
        and routes[one.number] is Route.REALTIME
        and one.number not in decision.shards
    ]
    if not late:
        return decision
    why = f"{sum(one.left for one in late):,} requests wait to be sent, and no batch can be in time for them"
    return replace(
        decision,
        action=Action.ESCALATE,
        shards=(*decision.shards, *(one.number for one in late)),
        why=f"{decision.why}; {why}" if decision.action is Action.ESCALATE else why,
    )


def _acts(workload: Workload, decision: Decision) -> bool:
    if decision.action is Action.PUBLISH_PARTIAL:
        return True
    escalates = decision.action in (Action.ESCALATE, Action.TOO_LATE) and bool(decision.shards)
    return escalates and workload.route == "auto"


def _wake(workload: Workload, decision: Decision, now: datetime) -> datetime | None:
    if decision.wake_at is None or workload.route != "batch" or workload.publish_partial_at is not None:
        return decision.wake_at
    return max(decision.wake_at, now + ONLY_FORESEEN)


def _begin(site: Site, client: Client, run: Run, facts: Facts, decision: Decision) -> None:
    if decision.action is Action.PUBLISH_PARTIAL:
        publish_partial(site, client, run.run_id, decision.why)
    else:
        escalate(site, client, run.run_id, reasons(facts, decision.shards, decision.why))


def reasons(facts: Facts, numbers: Collection[int], why: str) -> dict[int, dict[str, Any]]:
    """By shard number: what an escalation of it is for, as it is kept with the run."""
    found = {}
    for one in facts.shards:
        if one.number in numbers and one.in_batch:
            price = realtime_usd(facts, [one])
            found[one.number] = {
                "at": facts.now.isoformat(),
                "requests": one.left,
                "usd": None if price is None else format(price, "f"),
                "why": why,
            }
    return found


def escalate(
    site: Site, client: Client, run_id: str, decided: Mapping[int, Mapping[str, Any]]
) -> frozenset[int]:
    """Decide that what is left of these shards is asked in realtime, and ask the provider to end their batches;
    the shards for which that is new.

    A batch that cannot be cancelled now is cancelled by whoever looks at its shard next.
    """
    new = site.ledger.realtime.escalate(run_id, decided, now=site.now())
    _end_batches(site, client, run_id, new)
    return new


def publish_partial(site: Site, client: Client, run_id: str, why: str) -> None:
    """Decide that the run is published with what it has, and ask the provider to end its batches."""
    if partial_of(site.ledger.run(run_id)) is None:
        said = {PARTIAL: {"at": site.now().isoformat(), "why": why}}
        site.ledger.note_run(run_id, said, now=site.now())
    _end_batches(site, client, run_id, None)


def _end_batches(site: Site, client: Client, run_id: str, numbers: Collection[int] | None) -> None:
    for shard in _in_flight(site, run_id, numbers):
        try:
            end_batch(site, client, shard)
        except ProviderError:
            continue  # its own worker ends it, and says what is wrong


def end_batch(site: Site, client: Client, shard: Shard) -> BatchStatus:
    """Ask the provider to end the batch of a shard in flight; where it then is. One that has ended stays so."""
    batch = client.cancel(str(shard.batch_id))
    site.ledger.seen(record_of(shard, batch, site.now()), now=site.now())
    return batch.status


def look_again(site: Site, client: Client, run_id: str, numbers: Collection[int]) -> None:
    """What the ledger last saw may be old: a trigger looks without writing it down."""
    seen = {one.batch_id: one.seen_at for one in site.ledger.batches(run_id)}
    for shard in _in_flight(site, run_id, numbers):
        if site.now() - seen.get(str(shard.batch_id), site.now()) < ENOUGH_SEEN:
            continue
        try:
            batch = client.look(str(shard.batch_id))
        except ProviderError:
            continue  # decided from what is known
        site.ledger.seen(record_of(shard, batch, site.now()), now=site.now())


def _in_flight(site: Site, run_id: str, numbers: Collection[int] | None) -> list[Shard]:
    return [
        shard
        for shard in site.ledger.shards(run_id)
        if shard.state is ShardState.IN_FLIGHT and (numbers is None or shard.key.number in numbers)
    ]
