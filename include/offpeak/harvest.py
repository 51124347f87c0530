"""Harvest: what a batch finished is kept although its run has ended, so that it is not asked again."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from offpeak.asked import as_asked
from offpeak.carry import UNPUBLISHED
from offpeak.collect import collect
from offpeak.errors import LedgerConflict, ProviderError, SpecError
from offpeak.realtime.segments import replies
from offpeak.realtime.settle import close
from offpeak.site import account_of
from offpeak.states import BatchStatus, Route, ShardState
from offpeak.submit import record_of

if TYPE_CHECKING:
    from offpeak.ledger.records import Shard
    from offpeak.providers.provider import Batch, Client
    from offpeak.site import Site
    from offpeak.workload import Workload


def harvest(workload: Workload, site: Site, client: Client, shard: Shard) -> Batch:
    """Look at the batch of a shard in flight, once, and collect it when it has ended.

    One that failed before anything ran frees its shard instead: there is nothing to keep, and nothing was
    billed. Raises ProviderError when it could not look or read, LedgerConflict when the shard has moved.
    """
    assert shard.batch_id is not None, "a shard in flight has a batch"
    now = site.now()
    batch = client.look(shard.batch_id)
    site.ledger.seen(record_of(shard, batch, now), now=now)
    if batch.status.ended:
        keep(workload, site, client, shard, batch)
    return batch


def keep(workload: Workload, site: Site, client: Client, shard: Shard, batch: Batch) -> None:
    """Collect a batch that has ended, or free the shard of one that never ran."""
    if batch.status is BatchStatus.FAILED and not batch.result_files:
        note = f"batch {batch.id} failed before anything ran: {batch.code}: {batch.message}"
        site.ledger.resubmit(shard.key, batch.id, now=site.now(), not_before=None, note=note)
    else:
        collect(workload, site, client, shard, batch)


def keep_replies(workload: Workload, site: Site, shard: Shard) -> bool:
    """Collect the recorded replies of a realtime shard whose run has ended: they are paid. False when there are
    none, or a living worker still asks."""
    if next(iter(replies(site, shard)), None) is None:
        return False
    return close(workload, site, shard) is None


def harvest_earlier(workload: Workload, site: Site) -> dict[str, int]:
    """Before a new run: keep what this workload's failed, refused or cancelled runs still have at the provider,
    and what they were answered in realtime.

    Looks once at each of their batches in flight, and at nothing else. Counts `harvested`, `running` (left
    alone) and `not_looked_at` (the provider could not be reached; `offpeak sweep` tries again). Raises nothing
    of that: what cannot be kept now must not stop the new run.
    """
    counts: Counter[str] = Counter()
    states = (ShardState.IN_FLIGHT, ShardState.SUBMITTING, ShardState.WRITTEN)
    found = [shard for shard in site.ledger.shards_in(states, workload=workload.name) if _may_hold(shard)]
    for run_id, shards in groupby(found, key=lambda shard: shard.key.run_id):
        run = site.ledger.run(run_id)
        if run.state not in UNPUBLISHED or run.store != site.store.root:
            continue
        try:
            asked = as_asked(workload, run)
            account = account_of(asked, site)
        except SpecError:
            counts["not_looked_at"] += len(list(shards))
            continue
        counts += _harvest_all(asked, site, asked.provider.connect(account), list(shards))
    return {name: count for name, count in counts.items() if count}


def _may_hold(shard: Shard) -> bool:
    """Whether there may be something paid of it that no results have yet."""
    return shard.state is ShardState.IN_FLIGHT or shard.route is Route.REALTIME


def _harvest_all(workload: Workload, site: Site, client: Client, shards: list[Shard]) -> Counter[str]:
    counts: Counter[str] = Counter()
    try:
        for shard in shards:
            try:
                if shard.state is not ShardState.IN_FLIGHT:
                    counts["harvested"] += keep_replies(workload, site, shard)
                    continue
                ended = harvest(workload, site, client, shard).status.ended
            except (ProviderError, LedgerConflict, OSError):
                counts["not_looked_at"] += 1
            else:
                counts["harvested" if ended else "running"] += 1
    finally:
        client.close()
    return counts
