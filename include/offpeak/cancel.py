"""Cancelling a run: its batches are ended at the provider, what they finished is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from offpeak.collect import collect
from offpeak.errors import LedgerConflict, ProviderError
from offpeak.harvest import keep_replies
from offpeak.run import OPEN, connect
from offpeak.states import Route, RunState, ShardState
from offpeak.submit import record_of

if TYPE_CHECKING:
    from offpeak.ledger import Shard
    from offpeak.providers.provider import Client
    from offpeak.site import Site
    from offpeak.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What became of a run that was cancelled."""

    harvested: int
    """Shards whose finished rows were kept."""
    still_ending: tuple[str, ...]
    """Batches that had not ended when the patience did; they are billed for what they still finish."""
    spent_usd: Decimal | None


def cancel(
    workload: Workload,
    site: Site,
    run_id: str,
    *,
    patience: timedelta,
    watch: Callable[[str], None] = lambda _: None,
) -> Cancelled:
    """End the run: ask the provider to cancel its batches, wait for them, and keep what they finished.

    The kept answers are not paid again by the next run. Safe to call again, also for a failed run whose
    batches still run, or whose answers in realtime were not counted yet. Raises ProviderError when a batch
    could not be cancelled at all.
    """
    _end(site, run_id)
    client = connect(workload, site)
    try:
        live = [shard for shard in site.ledger.shards(run_id) if shard.state is ShardState.IN_FLIGHT]
        for shard in live:
            assert shard.batch_id is not None
            batch = client.cancel(shard.batch_id)
            site.ledger.seen(record_of(shard, batch, site.now()), now=site.now())
            watch(f"batch {batch.id} is {batch.provider_status}")
        ending = _harvest(workload, site, client, live, patience)
        kept = _keep_replies(workload, site, run_id, patience)
    finally:
        client.close()
    spends = site.ledger.spent(run_id=run_id)
    known = [spend.cost_usd for spend in spends if spend.cost_usd is not None]
    return Cancelled(
        harvested=len(live) - len(ending) + kept,
        still_ending=tuple(ending),
        spent_usd=sum(known, Decimal(0)) if len(known) == len(spends) else None,
    )


def _end(site: Site, run_id: str) -> None:
    """End the run, unless it has ended; two may cancel at once."""
    if site.ledger.run(run_id).state not in OPEN:
        return
    try:
        site.ledger.move_run(
            run_id, RunState.CANCELLED, since=OPEN, now=site.now(), error="Cancelled by `offpeak cancel`."
        )
    except LedgerConflict:
        if not site.ledger.run(run_id).state.ended:
            raise


def _harvest(
    workload: Workload, site: Site, client: Client, live: list[Shard], patience: timedelta
) -> list[str]:
    """Collect each batch as it ends, until the patience does; the ids of those that have not ended."""
    waiting = {str(shard.batch_id): shard for shard in live}
    until = site.now() + patience
    while True:
        for batch_id, shard in list(waiting.items()):
            try:
                batch = client.look(batch_id)
            except ProviderError:
                continue  # looked for again, as long as there is patience
            site.ledger.seen(record_of(shard, batch, site.now()), now=site.now())
            if batch.status.ended:
                collect(workload, site, client, shard, batch)
                del waiting[batch_id]
        if not waiting or site.now() >= until:
            return list(waiting)
        time.sleep(min(site.pace.least.total_seconds(), 5.0))


def _keep_replies(workload: Workload, site: Site, run_id: str, patience: timedelta) -> int:
    """Keep what was answered in realtime, once the workers that still ask have let go; how many shards had some."""
    states, until, kept = (ShardState.SUBMITTING, ShardState.WRITTEN), site.now() + patience, 0
    while True:
        asked = [
            one for one in site.ledger.shards(run_id) if one.route is Route.REALTIME and one.state in states
        ]
        for shard in asked:
            kept += keep_replies(workload, site, shard)
        busy = [one.key for one in asked if site.ledger.shard(one.key).state is ShardState.SUBMITTING]
        if not busy or site.now() >= until:
            return kept
        time.sleep(min(site.pace.least.total_seconds(), 5.0))
