"""Shards on the realtime route: held while their requests are asked, and counted, so that those of one
account can share its limits.

Such a shard is `submitting` from the first request to the last: its holder is paying. What it has been
answered lies in the store, so whoever takes it over loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from offpeak.ledger import leases, money, runs, shards
from offpeak.ledger.records import NewShard, Shard, ShardKey, Spend
from offpeak.ledger.schema import SHARDS
from offpeak.states import Route, ShardState

if TYPE_CHECKING:
    from offpeak.ledger.database import Change, Database


class RealtimeShards:
    """Verbs, in the same sense as the ledger's own: one transaction each, and one that raises changed nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, key: ShardKey, holder: str, lease: timedelta, *, now: datetime, to_end: bool = False
    ) -> Shard | None:
        """Take the right to ask a shard in realtime: one that is written, which then is of that route, or one
        that was left while it was asked so. None when another holds it, when a batch of it may exist, when it
        is past that, or when `not_before` is later than now, unless it is only to be collected (`to_end`)."""
        with self._database.changing(now) as change:
            shard = shards.locked(change, key)
            if to_end and shard.state is ShardState.WRITTEN and shard.not_before is not None:
                shard = shards.move(change, shard, not_before=None)
            if shard.route is not Route.REALTIME:
                if shard.state is not ShardState.WRITTEN:
                    return None
                # what the batch queue asked it to wait for does not concern this route
                shards.move(change, shard, route=Route.REALTIME, not_before=None, ahead=None, upload_id=None)
            return leases.claim(change, key, holder, lease=lease, route=Route.REALTIME)

    def escalate(
        self, run_id: str, decided: Mapping[int, Mapping[str, Any]], *, now: datetime
    ) -> frozenset[int]:
        """Decide, once each, that what is left of these shards (by number) goes to the realtime route; the ones
        for which that is new. Kept with its reason in the run's fact `escalated`. None of a run that has ended."""
        with self._database.changing(now) as change:
            run = runs.locked(change, run_id)
            known = dict(run.facts.get("escalated", {}))
            new = {number for number in decided if str(number) not in known and not run.state.ended}
            if new:
                known |= {str(number): dict(decided[number]) for number in sorted(new)}
                runs.note(change, run, {"escalated": known})
                change.event(run_id, f"escalated: shards {', '.join(map(str, sorted(new)))}")
            return frozenset(new)

    def beat(self, key: ShardKey, holder: str, lease: timedelta, *, now: datetime, note: str) -> int:
        """Renew the lease, say how far it is, and count the account's shards that are asked in realtime at
        this moment, this one included. LedgerConflict when the lease was taken by another."""
        with self._database.changing(now) as change:
            leases.renew(change, key, holder, lease=lease)
            shard = shards.locked(change, key)
            shards.move(change, shard, note=note)
            return _in_progress(change, shard)

    def collect(self, collected: Shard, spend: Spend, next_round: NewShard | None, *, now: datetime) -> bool:
        """submitting → collected, like the ledger's `collect`: False (and no change) when it was collected
        before. `collected.holder` is who collects; LedgerConflict when the shard is not held by it, or is not
        of this route."""
        with self._database.changing(now) as change:
            shard = shards.locked(change, collected.key)
            if shard.state is ShardState.COLLECTED:
                return False
            held = shard.state is ShardState.SUBMITTING and shard.holder == collected.holder
            if not held or shard.route is not Route.REALTIME:
                raise shards.conflict(shard, "what it was answered in realtime cannot be collected for it")
            money.settle(change, shard, collected, spend, next_round=next_round)
            return True


def _in_progress(change: Change, shard: Shard) -> int:
    query = select(func.count()).where(
        SHARDS.c.provider == shard.provider,
        SHARDS.c.account == shard.account,
        SHARDS.c.state == ShardState.SUBMITTING,
        SHARDS.c.route == Route.REALTIME,
        SHARDS.c.lease_until > change.now,
    )
    return max(int(change.connection.execute(query).scalar_one()), 1)
