"""The state machine of a shard: one function that does what can be done now and says what to wait for.

The CLI, Airflow's tasks and the tests all drive runs through `advance`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from offpeak import canary
from offpeak.collect import collect
from offpeak.errors import OutcomeUnknown, ProviderBusy, ProviderRefused, RunEnded
from offpeak.intents import is_escalated, partial_of
from offpeak.ledger.records import Run, Shard
from offpeak.on_time import consider
from offpeak.providers.failures import money_problem, over_limit
from offpeak.providers.provider import Batch, Client
from offpeak.realtime.settle import MayAsk, always, ask, close
from offpeak.states import BatchStatus, Route, RunState, ShardState
from offpeak.submit import NotYet, no_room, record_of, recover, submit, wait_after

if TYPE_CHECKING:
    from offpeak.site import Site
    from offpeak.workload import Workload

MANY_STEPS = 100
"""More steps than any shard can take without waiting; beyond it something turns in a circle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do before `until`, or before `batch_id` (if there is one) has ended."""

    until: datetime
    why: str
    account: str = ""
    batch_id: str | None = None
    since: datetime | None = None
    """When the submission began, for the pace of looking."""
    wake: datetime | None = None
    """Call again by then, whether the batch has ended or not: a decision about the due time is due."""
    asks: bool = False
    """It waits only for a caller that may be kept busy with the realtime route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """All rounds of this shard's rows are collected."""

    rounds: int


def advance(
    workload: Workload,
    site: Site,
    client: Client,
    run_id: str,
    number: int,
    *,
    may_ask: MayAsk = always,
) -> Wait | Done:
    """Carry shard `number` of the run as far as it goes now, through all its rounds and on its route.

    On the realtime route that is until all is answered, which may take hours, as long as `may_ask` says yes:
    it is called every few seconds, and after a no the shard is let go with what it has. With a due time it is
    decided on the way what has to leave the batch route (see on_time.py). Safe to call at any time, by any
    number of workers; not within a running event loop.

    Raises ProviderRefused when the provider will not take the shard as it is (nothing more of it is billed,
    and a later call tries again), RunEnded when the run was cancelled, or stopped because a whole shard failed
    alike, BudgetError when its budget was spent in realtime.
    """
    considered, wake = False, None
    for _ in range(MANY_STEPS):
        run, shard = site.ledger.run(run_id), site.ledger.shards(run_id, number=number)[-1]
        _may_go_on(run, shard)
        if shard.state is ShardState.COLLECTED:
            return Done(rounds=shard.key.round)
        if not considered and _may_change_route(workload, run, shard):
            considered, wake = True, consider(workload, site, client, run_id)
            continue
        if _to_ask(run, shard) and not may_ask():
            return Wait(until=site.now(), why="it goes on in realtime", account=shard.account, asks=True)
        step = _canary_ahead(site, run, shard)
        if step is None:
            step = _step(workload, site, client, run, shard, may_ask=may_ask)
        if step is None:
            continue
        if not considered:
            considered, wake = True, consider(workload, site, client, run_id)
            if _intent(site.ledger.run(run_id), number) != _intent(run, number):
                continue
        return replace(step, wake=wake)
    raise AssertionError(f"shard {number} of run {run_id} does not come to rest")


def _may_change_route(workload: Workload, run: Run, shard: Shard) -> bool:
    """Whether a decision may keep the shard from being sent as a batch that cannot be in time."""
    waits = shard.state is ShardState.WRITTEN and not _to_ask(run, shard)
    return waits and workload.route == "auto" and run.due_at is not None


def _intent(run: Run, number: int) -> tuple[bool, bool]:
    return is_escalated(run, number), partial_of(run) is not None


def _to_ask(run: Run, shard: Shard) -> bool:
    """Whether the shard is to be asked in realtime now."""
    if partial_of(run) is not None or shard.state is ShardState.IN_FLIGHT:
        return False
    escalated = shard.state is ShardState.WRITTEN and is_escalated(run, shard.key.number)
    return escalated or shard.route is Route.REALTIME


def _step(
    workload: Workload, site: Site, client: Client, run: Run, shard: Shard, *, may_ask: MayAsk
) -> Wait | None:
    """What the shard's state and the run's intents ask for; None when that moved it."""
    enough, left = partial_of(run) is not None, is_escalated(run, shard.key.number)
    by_batch = shard.route is Route.BATCH
    try:
        if shard.state is ShardState.IN_FLIGHT:
            return _look(workload, site, client, shard, ends=enough or left)
        if _to_ask(run, shard):
            return _not_yet(ask(workload, site, client, shard, may_ask=may_ask), shard)
        if shard.state is ShardState.SUBMITTING and by_batch and (enough or left):
            found = recover(workload, site, client, shard)
            return _not_yet(found if isinstance(found, NotYet) else None, shard)
        if enough:
            return _not_yet(close(workload, site, shard), shard)
        return _submit(workload, site, client, shard)
    except (ProviderBusy, OutcomeUnknown) as error:  # the ledger says where to go on
        wait = wait_after(site, error, run.due_at)
        why = f"{error} {wait.said}".strip()
        return Wait(until=site.now() + wait.pause, why=why, account=shard.account)


def _not_yet(found: NotYet | None, shard: Shard) -> Wait | None:
    return None if found is None else Wait(until=found.until, why=found.why, account=shard.account)


def _may_go_on(run: Run, shard: Shard) -> None:
    """RunEnded when nothing more of the run is to be sent."""
    if run.state is RunState.CANCELLED:
        raise RunEnded(
            f"Run {run.run_id} was cancelled; shard {shard.key.number} goes no further. What it had finished is "
            "kept, and the workload's next run does not ask it again."
        )
    if (why := run.facts.get("stopped")) and shard.state is not ShardState.IN_FLIGHT:
        raise RunEnded(
            f"Run {run.run_id} was stopped: {why}. No more of its requests are sent; what was in flight is kept. "
            "Correct the prompt, the model or the answer type and run again: nothing answered is asked twice."
        )


def _canary_ahead(site: Site, run: Run, shard: Shard) -> Wait | None:
    """The wait for the canary shard, while its first round is not collected."""
    if (
        not run.facts.get("canary")
        or partial_of(run) is not None
        or shard.key.number == canary.SHARD
        or shard.key.round > 1
    ):
        return None
    first = site.ledger.shard(replace(shard.key, number=canary.SHARD))
    if first.state is ShardState.COLLECTED:
        return None
    return Wait(
        until=site.now() + site.pace.least,
        why=f"the canary, shard {canary.SHARD} with {first.request_count:,} requests, goes ahead",
        account=first.account,
        batch_id=first.batch_id,
        since=first.intent_at,
    )


def _submit(workload: Workload, site: Site, client: Client, shard: Shard) -> Wait | None:
    made = submit(workload, site, client, shard)
    if isinstance(made, NotYet):
        return Wait(until=made.until, why=made.why, account=shard.account)
    if made.status.ended:
        return None
    return wait_for(site, site.ledger.shard(shard.key), made)


def _look(workload: Workload, site: Site, client: Client, shard: Shard, *, ends: bool) -> Wait | None:
    """Look at the batch and collect it once it has ended; `ends`: it is to be cancelled if it has not."""
    assert shard.batch_id is not None, "a shard in flight has a batch"
    now = site.now()
    batch = client.look(shard.batch_id)
    site.ledger.seen(record_of(shard, batch, now), now=now)
    if ends and not batch.status.ended and batch.status is not BatchStatus.CANCELLING:
        batch = client.cancel(shard.batch_id)
        site.ledger.seen(record_of(shard, batch, site.now()), now=site.now())
    if not batch.status.ended:
        return wait_for(site, shard, batch)
    if batch.status is BatchStatus.FAILED and not batch.result_files:
        if not ends:
            return _failed(site, shard, batch)
        _free(site, shard, batch)
        return None
    collect(workload, site, client, shard, batch)
    return None


def _free(site: Site, shard: Shard, batch: Batch) -> None:
    """The batch that was to be cancelled had not begun: its requests go on without one."""
    said = f"batch {batch.id} failed as a whole: {batch.code or 'no code'}: {batch.message or 'no message'}"
    site.ledger.resubmit(shard.key, batch.id, now=site.now(), not_before=None, note=said)


def _failed(site: Site, shard: Shard, batch: Batch) -> Wait:
    """The whole batch failed before anything ran: submit it again later, or give up with the reason."""
    now = site.now()
    said = f"batch {batch.id} failed as a whole: {batch.code or 'no code'}: {batch.message or 'no message'}"
    if over_limit(batch.code, batch.message):
        said = no_room(shard, said)
    not_before = now + site.pace.after_failures(shard.attempt) if batch.transient else None
    site.ledger.resubmit(shard.key, batch.id, now=now, not_before=not_before, note=said)
    if not_before is None:
        raise ProviderRefused(
            f"Shard {shard.key.number} of run {shard.key.run_id}, round {shard.key.round}: {said}. "
            f"None of its {shard.request_count:,} requests ran or was billed. {_cure(shard, batch)}, then run again: "
            "only what has no answer yet is sent.",
            code=batch.code,
        )
    return Wait(until=not_before, why=f"{said}; submitted again then", account=shard.account)


def _cure(shard: Shard, batch: Batch) -> str:
    if why := money_problem(batch.code, batch.message):
        return f"Of account {shard.account}: {why}. Add credit or raise the limit at the provider"
    return "Correct the cause"


def wait_for(site: Site, shard: Shard, batch: Batch) -> Wait:
    """The wait for a batch that has not ended."""
    now = site.now()
    since = shard.intent_at or now  # our own clock; the provider's may differ
    if batch.status is BatchStatus.CANCELLING:
        since = now  # it ends soon, however old it is
    pause = site.pace.next_look(now - since, draw=random.random())  # noqa: S311
    return Wait(
        until=now + max(pause, timedelta(0)),
        why=f"batch {batch.id} is {batch.provider_status}",
        account=shard.account,
        batch_id=batch.id,
        since=since,
    )
