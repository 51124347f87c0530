"""Answering a shard in realtime, from the claim to its last reply."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from offpeak.errors import LedgerConflict, ProviderBusy, ProviderRefused
from offpeak.providers.provider import Client, Reply
from offpeak.realtime.asking import LEASE, Asking, Task, Watch
from offpeak.realtime.segments import recorded_note, replies
from offpeak.realtime.throttle import RealClock
from offpeak.site import account_of
from offpeak.states import ShardState
from offpeak.submit import NotYet, wait_after

if TYPE_CHECKING:
    from offpeak.ledger.records import Shard
    from offpeak.site import Site
    from offpeak.workload import Workload

TO_COLLECT = timedelta(minutes=15)
"""How long the shard stays held once all is answered, for its results to be written."""


def answer(
    workload: Workload, site: Site, client: Client, shard: Shard, *, watch: Watch | None = None
) -> Iterator[Reply]:
    """Ask what is not answered yet of `shard`, then give every recorded reply exactly once.

    Raises what `ask_rest` raises, and LedgerConflict while another worker holds the shard.
    """
    held = ask_rest(workload, site, client, shard, watch=watch)
    if isinstance(held, NotYet):
        raise LedgerConflict(
            f"Shard {shard.key.number} of run {shard.key.run_id}, round {shard.key.round}, cannot be asked now: "
            f"{held.why}. This worker asked nothing; try again at {held.until:%H:%M:%S} UTC."
        )
    yield from replies(site, held)


def ask_rest(
    workload: Workload, site: Site, client: Client, shard: Shard, *, watch: Watch | None = None
) -> Shard | NotYet:
    """Ask in realtime every request of `shard` that has no recorded reply; the held shard when all have one.

    Afterwards `replies` gives them, and the ledger's `realtime.collect` ends the shard. NotYet while another
    worker holds it. Safe to call again at any time, by anybody; what is recorded is never asked again. In every
    error the replies until then are recorded and the shard is free again: ProviderRefused (the account or the
    model is the matter; for good), ProviderBusy (not now; the shard waits as long as the provider wishes),
    RunEnded, whatever `watch` raises. LedgerConflict: another worker took over, or the ledger was not there.

    Must not be called within a running event loop. `client` may be shared; its calls go through a loop of
    their own.
    """
    held = site.ledger.realtime.claim(shard.key, site.worker, LEASE, now=site.now())
    if held is None:
        return held_elsewhere(site, site.ledger.shard(shard.key))
    run = site.ledger.run(held.key.run_id)
    account = account_of(workload, site)
    task = Task(
        workload=workload,
        site=site,
        client=client,
        shard=held,
        limits=account.quota.realtime,
        clock=RealClock(),
        watch=watch,
        due_at=run.due_at,
        folder=str(run.facts["folder"]),
    )
    _ask(task)
    site.ledger.realtime.beat(
        held.key,
        site.worker,
        TO_COLLECT,
        now=site.now(),
        note=recorded_note(held.request_count, held.request_count),
    )
    return held


def _ask(task: Task) -> None:
    site, done = task.site, False
    not_before: datetime | None = None
    note = "stopped while it was asked in realtime; what was answered is recorded"
    try:
        asking = Asking(task)
        with site.store.reading(task.shard.file) as path:
            asyncio.run(asking.run(path))
        done = True
    except ProviderBusy as busy:
        wait = wait_after(site, busy, task.due_at)
        not_before, note = site.now() + wait.pause, f"{busy} {wait.said}".strip()
        raise
    except ProviderRefused as refused:
        progress = asking.progress
        note = (
            f"{task.whose[0].upper()}{task.whose[1:]}: the realtime route refused: {refused}\n"
            f"{progress.answered:,} of its {progress.requests:,} requests are recorded, and are not asked again."
        )
        raise ProviderRefused(note, code=refused.code) from None
    except LedgerConflict:
        done = True  # it is no longer ours to let go
        raise
    finally:
        if not done:
            site.ledger.release(task.shard.key, site.worker, now=site.now(), not_before=not_before, note=note)


def held_elsewhere(site: Site, shard: Shard) -> NotYet:
    """Why a shard cannot be had now: another worker has it, or it was let go until later."""
    now = site.now()
    if shard.state is ShardState.SUBMITTING and shard.lease_until:
        until = min(shard.lease_until, now + site.pace.busy)
        return NotYet(until=until, why=f"worker {shard.holder} has it ({shard.route} route)")
    why = shard.note or f"it is {shard.state} on the {shard.route} route"
    return NotYet(until=max(shard.not_before or now, now), why=why)
