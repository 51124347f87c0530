"""The rows of the ledger, as they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from offpeak.states import AlertCause, BatchStatus, Route, RunState, ShardState


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What is known of a run before anything is read: its identity and what it is a run of."""

    workload: str
    interval_key: str
    interval_start: datetime
    interval_end: datetime
    spec_hash: str
    """Hash of everything in the spec that decides what is asked; a run is only resumed by its like."""
    spec: Mapping[str, Any]
    """What the report compares from run to run: model, prompt, schema and suite hashes and texts."""
    store: str
    due_at: datetime | None = None
    started_by: str = ""
    """The caller's own name for this run (an Airflow dag run id), empty from the command line."""
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One workload for one data interval. `edition` counts from 1: an ended run that is started again
    for the same interval becomes the next edition, never a rewrite of the last."""

    run_id: str
    workload: str
    interval_key: str
    interval_start: datetime
    interval_end: datetime
    edition: int
    state: RunState
    spec_hash: str
    spec: Mapping[str, Any]
    store: str
    provider: str
    model: str
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None = None
    ended_at: datetime | None = None
    started_by: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Numbers and addresses gathered on the way: rows, requests, carried, estimate, verdict, table ..."""
    error: str = ""
    """Why it failed or was refused, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardKey:
    """`number` counts from 1 within a run and stays the same through the rounds of that shard's rows."""

    run_id: str
    round: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShard:
    key: ShardKey
    tag: str
    """Hex; prefix of every custom_id in the file."""
    file: str
    """Name in the store. The file is never changed after this record exists."""
    request_count: int
    size_bytes: int
    estimated_tokens: int
    """Input tokens, for quota."""
    provider: str
    account: str
    model: str
    endpoint: str
    route: Route = Route.BATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file of requests, and its present batch."""

    key: ShardKey
    tag: str
    file: str
    request_count: int
    size_bytes: int
    estimated_tokens: int
    provider: str
    account: str
    model: str
    endpoint: str
    state: ShardState
    attempt: int
    """Submissions begun so far; 0 before the first."""
    updated_at: datetime
    holder: str = ""
    """Who holds the lease while submitting."""
    lease_until: datetime | None = None
    intent_at: datetime | None = None
    """When the present submission was begun, then when its paid call was about to be sent: batches created
    before it cannot be this one's."""
    upload_id: str | None = None
    batch_id: str | None = None
    not_before: datetime | None = None
    """The provider asked not to be tried again before this."""
    results: str = ""
    """Name of the results file in the store, once collected."""
    outcomes: Mapping[str, int] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    cost_usd: Decimal | None = None
    note: str = ""
    ahead: int | None = None
    """While it waits for room in its account's quota: how many shards go first. None when it does not wait."""
    route: Route = Route.BATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """One provider job, as last seen. A shard may have had several (limit reached, cancelled)."""

    key: ShardKey
    attempt: int
    provider: str
    account: str
    batch_id: str
    status: BatchStatus
    provider_status: str
    created_at: datetime
    """At the provider."""
    seen_at: datetime
    ended_at: datetime | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTime:
    """How long one batch took, or has taken so far."""

    batch_id: str
    requests: int
    status: BatchStatus
    created_at: datetime
    seen_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Money that left, once: written in the same transaction as the state change it belongs to."""

    workload: str
    run_id: str
    """Empty for a preview."""
    at: datetime
    route: Route
    provider: str
    account: str
    model: str
    requests: int
    usage: Mapping[str, int]
    cost_usd: Decimal | None
    """None when the model's price is not known."""
    realtime_usd: Decimal | None
    """What the same tokens would have cost in realtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSample:
    """What one past run took: tokens per request that it had, all of its rounds counted."""

    run_id: str
    requests: int
    input_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Time a run spent in one of its stages, summed over tries."""

    name: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the run's history."""

    at: datetime
    run_id: str
    what: str
    """e.g. `run planning → running`, `shard 3 round 1: in_flight`"""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlert:
    """A cause to tell somebody, as it was seen now. `key` names it: it is open at most once at a time."""

    key: str
    cause: AlertCause
    subject: str
    """What it is about: an interval of a workload, a workload, or an account. Alerts are looked up by it."""
    workload: str
    run_id: str
    """Empty when no run was started."""
    essence: str
    """What a reader must know. When it changes, the alert is told again."""
    grade: int = 0
    """How bad it is. When it rises above what it was, the alert is told again; when it falls, it is not."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(NewAlert):
    """An alert of the ledger. `version` counts what there was to tell: 1 when it was opened, one more at
    each change that matters, and one more when it was resolved."""

    sequence: int
    version: int
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One alert on one channel. `told_version` is the last version that the channel took; 0 for none."""

    alert: int
    channel: str
    told_version: int = 0
    told_at: datetime | None = None
    attempts: int = 0
    """Tries that failed since the last that did not."""
    not_before: datetime | None = None
    holder: str = ""
    """Who sends it at this moment."""
    lease_until: datetime | None = None
    error: str = ""
    """Why the last try failed."""
