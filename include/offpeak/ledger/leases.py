"""The right to submit a shard: one holder at a time, from the claim to the batch or back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from offpeak.ledger import batches, shards
from offpeak.ledger.holder import is_gone
from offpeak.ledger.records import BatchRecord, Shard, ShardKey
from offpeak.ledger.room import Room, room_for
from offpeak.ledger.schema import in_utc
from offpeak.states import Route, ShardState

if TYPE_CHECKING:
    from offpeak.ledger.database import Change
    from offpeak.quota import Quota


def claim(
    change: Change,
    key: ShardKey,
    holder: str,
    *,
    lease: timedelta,
    quota: Quota | None = None,
    route: Route = Route.BATCH,
) -> Shard | None:
    """Begin a submission, or take one over whose holder let it go; None when it is not to be had now, or is
    of another route.

    A submission begins only within `quota`; one that is taken over has its room already."""
    shard = shards.locked(change, key)
    if shard.route is not route:  # asked in realtime by somebody who died: no batch may be made of it
        return None
    if shard.not_before is not None and shard.not_before > change.now:
        return None
    until = change.now + lease
    if shard.state is ShardState.WRITTEN:
        room = room_for(change, shard, quota) if quota is not None else Room(free=True)
        if room.free:
            return _begin(change, shard, holder, until, room)
        _wait(change, shard, room)
        return None
    if shard.state is ShardState.SUBMITTING and _may_take(shard, holder, change.now):
        taken = shards.move(change, shard, holder=holder, lease_until=until)
        if shard.holder != holder:
            shards.event(change, key, "taken over", f"by {holder} from {shard.holder}")
        return taken
    return None


def _begin(change: Change, shard: Shard, holder: str, until: datetime, room: Room) -> Shard:
    claimed = shards.move(
        change,
        shard,
        state=ShardState.SUBMITTING,
        attempt=shard.attempt + 1,
        intent_at=change.now,
        holder=holder,
        lease_until=until,
        ahead=None,
        note=room.said,  # why it was held up is in the events; it is no longer
    )
    said = f": {room.said}" if room.said else ""
    shards.event(
        change, shard.key, f"{ShardState.SUBMITTING}", f"attempt {claimed.attempt} by {holder}{said}"
    )
    return claimed


def _wait(change: Change, shard: Shard, room: Room) -> None:
    """Keep the shard's place in the line, and the reason where people look for it."""
    shards.move(change, shard, ahead=room.ahead, note=room.said)
    if shard.ahead is None:
        shards.event(change, shard.key, "waits for room", room.said)


def _may_take(shard: Shard, holder: str, now: datetime) -> bool:
    lease_ended = shard.lease_until is None or shard.lease_until <= now
    return lease_ended or shard.holder == holder or is_gone(shard.holder)


def renew(change: Change, key: ShardKey, holder: str, *, lease: timedelta) -> None:
    shards.move(change, _held(change, key, holder, "renew its lease"), lease_until=change.now + lease)


def note_upload(change: Change, key: ShardKey, holder: str, *, upload_id: str | None) -> None:
    held = _held(change, key, holder, "record its upload")
    # the patience of whoever looks for the batch counts from the paid call, not from an intent of long ago
    shards.move(change, held, upload_id=upload_id, intent_at=change.now)


def attach(change: Change, key: ShardKey, holder: str, *, batch: BatchRecord) -> Shard:
    shard = _held(change, key, holder, f"attach batch {batch.batch_id}")
    batches.take(change, shard, batch)
    flying = shards.move(
        change,
        shard,
        state=ShardState.IN_FLIGHT,
        batch_id=batch.batch_id,
        holder="",
        lease_until=None,
        not_before=None,
        note=batch.note or shard.note,
    )
    shards.event(change, key, f"{ShardState.IN_FLIGHT}", f"batch {batch.batch_id}, attempt {shard.attempt}")
    return flying


def release(change: Change, key: ShardKey, holder: str, *, not_before: datetime | None, note: str) -> None:
    shard = _held(change, key, holder, "release it")
    _back_to_written(change, shard, not_before, note)


def resubmit(change: Change, key: ShardKey, batch_id: str, *, not_before: datetime | None, note: str) -> None:
    shard = shards.locked(change, key)
    if shard.state is not ShardState.IN_FLIGHT or shard.batch_id != batch_id:
        raise shards.conflict(shard, f"only the shard in flight as batch {batch_id} can be submitted again")
    _back_to_written(change, shard, not_before, note, upload_id=None, batch_id=None)


def _back_to_written(
    change: Change, shard: Shard, not_before: datetime | None, note: str, **forgotten: None
) -> None:
    wait = None if not_before is None else in_utc(not_before)
    shards.move(
        change,
        shard,
        state=ShardState.WRITTEN,
        holder="",
        lease_until=None,
        intent_at=None,
        not_before=wait,
        note=note,
        **forgotten,
    )
    shards.event(change, shard.key, f"{shard.state} → {ShardState.WRITTEN}", note)


def _held(change: Change, key: ShardKey, holder: str, wish: str) -> Shard:
    shard = shards.locked(change, key)
    if shard.state is not ShardState.SUBMITTING or shard.holder != holder:
        raise shards.conflict(shard, f"{holder} does not hold it and cannot {wish}")
    return shard
