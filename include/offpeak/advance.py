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
from offpeak.ledger.records import Run, Shard
from offpeak.providers.failures import money_problem, over_limit
from offpeak.providers.provider import Batch, Client
from offpeak.states import BatchStatus, RunState, ShardState
from offpeak.submit import NotYet, no_room, record_of, submit, wait_after

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """All rounds of this shard's rows are collected."""

    rounds: int


def advance(workload: Workload, site: Site, client: Client, run_id: str, number: int) -> Wait | Done:
    """Carry shard `number` of the run as far as it goes now, through all its rounds.

    Safe to call at any time, by any number of workers. Raises ProviderRefused when the provider will
    not take the shard as it is (nothing of it is billed, and a later call tries again), RunEnded when
    the run was cancelled, or stopped because a whole shard failed alike.
    """
    for _ in range(MANY_STEPS):
        run, shard = site.ledger.run(run_id), site.ledger.shards(run_id, number=number)[-1]
        _may_go_on(run, shard)
        if shard.state is ShardState.COLLECTED:
            return Done(rounds=shard.key.round)
        if (ahead := _canary_ahead(site, run, shard)) is not None:
            return ahead
        take = _look if shard.state is ShardState.IN_FLIGHT else _submit
        try:
            step = take(workload, site, client, shard)
        except (ProviderBusy, OutcomeUnknown) as error:  # the ledger says where to go on
            wait = wait_after(site, error, run.due_at)
            why = f"{error} {wait.said}".strip()
            return Wait(until=site.now() + wait.pause, why=why, account=shard.account)
        if step is not None:
            return step
    raise AssertionError(f"shard {number} of run {run_id} does not come to rest")


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
    if not run.facts.get("canary") or shard.key.number == canary.SHARD or shard.key.round > 1:
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


def _look(workload: Workload, site: Site, client: Client, shard: Shard) -> Wait | None:
    assert shard.batch_id is not None, "a shard in flight has a batch"
    now = site.now()
    batch = client.look(shard.batch_id)
    site.ledger.seen(record_of(shard, batch, now), now=now)
    if not batch.status.ended:
        return wait_for(site, shard, batch)
    if batch.status is BatchStatus.FAILED and not batch.result_files:
        return _failed(site, shard, batch)
    collect(workload, site, client, shard, batch)
    return None


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
    pause = site.pace.next_look(now - since, draw=random.random())  # noqa: S311
    return Wait(
        until=now + max(pause, timedelta(0)),
        why=f"batch {batch.id} is {batch.provider_status}",
        account=shard.account,
        batch_id=batch.id,
        since=since,
    )
