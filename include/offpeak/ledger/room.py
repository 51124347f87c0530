"""Room: whether a shard fits beside what its account has at the provider already, the earliest due first.

There is no counter that could leak: room is taken by the state of a shard, and given back by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, func, or_, select, text

from offpeak.ledger import runs
from offpeak.ledger.schema import BATCHES, RUNS, SHARDS
from offpeak.states import BatchStatus, Route, RunState, ShardState

if TYPE_CHECKING:
    from offpeak.ledger.database import Change
    from offpeak.ledger.records import Shard
    from offpeak.quota import Quota

FORGOTTEN = timedelta(hours=26)
"""A submission or batch that nobody has touched for so long takes no room: a provider ends a batch after 24 h."""
PATIENCE = timedelta(minutes=15)
"""Who has not asked for so long is not waiting: its worker is gone, and it keeps nobody else back."""

_ENDED = tuple(status for status in BatchStatus if status.ended)
_OPEN = (ShardState.WRITTEN, ShardState.SUBMITTING, ShardState.IN_FLIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Whether a shard may go now."""

    free: bool
    ahead: int = 0
    """Waiting shards that go before it."""
    said: str = ""
    """Why it waits; or what is remarkable about its going."""


class Other(NamedTuple):
    """Another shard of the account: at the provider, or waiting for room there."""

    state: ShardState
    model: str
    tokens: int
    requests: int
    run_id: str
    round: int
    number: int
    due_at: datetime | None
    created_at: datetime


_OTHER = (
    *(SHARDS.c.state, SHARDS.c.model, SHARDS.c.estimated_tokens, SHARDS.c.request_count),
    *(SHARDS.c.run_id, SHARDS.c.round, SHARDS.c.number, RUNS.c.due_at, RUNS.c.created_at),
)


class Measure(NamedTuple):
    """One limit of the account, and how much of it is taken."""

    what: str
    limit: int
    mine: int
    held: int
    before: int
    """What those will take that wait and go first."""

    @property
    def fits(self) -> bool:
        taken = self.held + self.before
        return taken + self.mine <= self.limit or (self.too_large and not taken)

    @property
    def too_large(self) -> bool:
        """Larger than the whole limit: it goes when nothing else is there, or it would wait for ever."""
        return self.mine > self.limit


def room_for(change: Change, shard: Shard, quota: Quota) -> Room:
    """Whether the shard fits within `quota`, with all that its account has at the provider and with those
    that wait and go before it: of an earlier due time, then of an earlier run, then of a lower number.

    Until the transaction ends, no other shard of the account is judged.
    """
    if quota.tokens_of(shard.model) is None and not quota.over_all_models:
        return Room(free=True)
    _one_at_a_time(change, shard)
    others = [one for one in _others(change, shard) if quota.over_all_models or one.model == shard.model]
    held = [one for one in others if one.state is not ShardState.WRITTEN]
    place = _place_of(change, shard)
    before = [one for one in others if one.state is ShardState.WRITTEN and _place(one) < place]
    measures = _measures(shard, quota, held, before)
    short = next((measure for measure in measures if not measure.fits), None)
    if short is not None:
        return Room(free=False, ahead=len(before), said=_waits(shard, short, len(before)))
    large = next((measure for measure in measures if measure.too_large), None)
    return Room(free=True, said=_goes_alone(shard, large) if large else "")


def _measures(shard: Shard, quota: Quota, held: list[Other], before: list[Other]) -> list[Measure]:
    found = []
    tokens = quota.tokens_of(shard.model)
    if tokens is not None:
        what, mine = f"enqueued tokens for {shard.model}", shard.estimated_tokens
        taken = [_tokens(group, shard.model) for group in (held, before)]
        found.append(Measure(what, tokens, mine, *taken))
    if quota.requests is not None:
        taken = [sum(one.requests for one in group) for group in (held, before)]
        found.append(Measure("requests in the queue", quota.requests, shard.request_count, *taken))
    if quota.batches is not None:
        found.append(Measure("batches", quota.batches, 1, len(held), len(before)))
    return found


def _tokens(group: Iterable[Other], model: str) -> int:
    return sum(one.tokens for one in group if one.model == model)


def _one_at_a_time(change: Change, shard: Shard) -> None:
    """On SQLite a change is the only writer anyhow; on Postgres the account is locked until it ends."""
    if change.connection.dialect.name == "postgresql":
        name = hashlib.blake2b(f"quota {shard.provider} {shard.account}".encode(), digest_size=8).digest()
        key = int.from_bytes(name, "big", signed=True)
        change.connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _others(change: Change, shard: Shard) -> list[Other]:
    """The account's other shards that take room, and those that have lately asked for it in vain."""
    its_batch = and_(BATCHES.c.account == SHARDS.c.account, BATCHES.c.batch_id == SHARDS.c.batch_id)
    takes_room = and_(
        SHARDS.c.state.in_((ShardState.SUBMITTING, ShardState.IN_FLIGHT)),
        func.coalesce(BATCHES.c.seen_at, SHARDS.c.updated_at) > change.now - FORGOTTEN,
        or_(BATCHES.c.status.is_(None), BATCHES.c.status.not_in(_ENDED)),
    )
    waits = and_(
        SHARDS.c.state == ShardState.WRITTEN,
        SHARDS.c.ahead.is_not(None),
        SHARDS.c.updated_at > change.now - PATIENCE,
        RUNS.c.state == RunState.RUNNING,
    )
    query = select(*_OTHER).join(RUNS, RUNS.c.run_id == SHARDS.c.run_id).outerjoin(BATCHES, its_batch)
    query = query.where(SHARDS.c.provider == shard.provider, SHARDS.c.account == shard.account)
    query = query.where(SHARDS.c.route == Route.BATCH)  # a request in realtime stands in no queue
    query = query.where(SHARDS.c.state.in_(_OPEN))  # the index; the ledger of years is mostly collected
    found = [Other._make(row) for row in change.connection.execute(query.where(or_(takes_room, waits)))]
    mine = (shard.key.run_id, shard.key.round, shard.key.number)
    return [one for one in found if (one.run_id, one.round, one.number) != mine]


Place = tuple[bool, float, float, int, str, int]


def _place_of(change: Change, shard: Shard) -> Place:
    run, key = runs.get(change.connection, shard.key.run_id), shard.key
    return _order(run.due_at, run.created_at, key.number, key.run_id, key.round)


def _place(one: Other) -> Place:
    return _order(one.due_at, one.created_at, one.number, one.run_id, one.round)


def _order(due_at: datetime | None, created_at: datetime, number: int, run_id: str, in_round: int) -> Place:
    """Runs without a due time come last. The run's id only makes sure that no two places are the same."""
    due = due_at.timestamp() if due_at else 0.0
    return (due_at is None, due, created_at.timestamp(), number, run_id, in_round)


def _waits(shard: Shard, short: Measure, ahead: int) -> str:
    said = (
        f"waits for room: account {shard.account} has {short.held:,} of its {short.limit:,} {short.what} in "
        f"flight, and this shard needs {short.mine:,}"
    )
    if not ahead:
        return said
    return f"{said}; {ahead:,} {'shard goes' if ahead == 1 else 'shards go'} first (earliest due first)"


def _goes_alone(shard: Shard, large: Measure) -> str:
    fitting = shard.request_count * large.limit // large.mine
    cure = f"; shard_requests={fitting} in the workload would make shards that fit" if fitting else ""
    return (
        f"larger than the whole limit of account {shard.account}: {large.mine:,} of {large.limit:,} "
        f"{large.what}. It goes while nothing else is in flight, and the provider may refuse it{cure}"
    )
