"""Submission: a shard becomes a batch exactly once, whatever dies on the way.

Intent and lease in the ledger → upload → the one paid call → the batch's id in the ledger. Whoever
finds an unfinished intent looks at the provider before sending anything; a look that fails is never
read as "not there".
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.errors import OutcomeUnknown, ProviderBusy, ProviderError, ProviderRefused
from offpeak.ledger.records import BatchRecord, Shard
from offpeak.patience import Patience, patience
from offpeak.providers.failures import over_limit
from offpeak.providers.provider import Batch, Client, Submission
from offpeak.site import account_of
from offpeak.states import ShardState

if TYPE_CHECKING:
    from offpeak.site import Site
    from offpeak.workload import Workload

LEASE = timedelta(minutes=15)
"""Longer than any one call may take (an upload of 200 MB included); a dead holder on this host ends it at once."""
INLINE = ""
"""Upload id of a provider that takes the requests within the paid call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """Nothing could be submitted now."""

    until: datetime
    why: str


def submit(workload: Workload, site: Site, client: Client, shard: Shard) -> Batch | NotYet:
    """Submit `shard`, or find the batch that an earlier try of it made. NotYet also while the account's quota,
    which is read anew each time, has no room for it.

    Raises ProviderRefused when the provider will never take it (nothing was created; the shard is
    free again), LedgerConflict when another worker took over in the meantime.
    """
    now = site.now()
    account = account_of(workload, site)
    held = site.ledger.claim(shard.key, site.worker, LEASE, now=now, quota=account.quota)
    if held is None:
        return _held_elsewhere(site, site.ledger.shard(shard.key))
    with site.store.reading(held.file) as path:
        submission = _submission(workload, held, path)
        taken_over = held.intent_at is not None and held.intent_at != now
        if taken_over and (found := _recover(site, client, held, submission)) is not None:
            return found
        return _send(site, client, held, submission)


def recover(workload: Workload, site: Site, client: Client, shard: Shard) -> Batch | NotYet | None:
    """Settle a shard that a dead worker left in the middle of its submission; sends nothing.

    The batch when one was found, and is now the shard's; None when it is proven that there is none, and the
    shard is free again; NotYet when another holds it or there is no proof yet. Raises ProviderError when it
    could not look; the intent then stays, for whoever comes next.
    """
    now = site.now()
    held = site.ledger.claim(shard.key, site.worker, LEASE, now=now)
    if held is None:
        return _held_elsewhere(site, site.ledger.shard(shard.key))
    found: Batch | NotYet | None = None
    if held.intent_at is not None and held.intent_at != now:  # else it was free, and was begun just now
        try:
            with site.store.reading(held.file) as path:
                found = _recover(site, client, held, _submission(workload, held, path))
        except (ProviderError, OSError):
            site.ledger.renew(held.key, site.worker, timedelta(0), now=site.now())
            raise
    if found is None:
        note = "an earlier try made no batch, as a look at the provider proved"
        site.ledger.release(held.key, site.worker, now=site.now(), not_before=None, note=note)
    elif isinstance(found, NotYet):
        site.ledger.renew(held.key, site.worker, timedelta(0), now=site.now())
    return found


def _submission(workload: Workload, shard: Shard, path: Path) -> Submission:
    return Submission(
        run_id=shard.key.run_id,
        round=shard.key.round,
        shard=shard.key.number,
        tag=shard.tag,
        path=path,
        request_count=shard.request_count,
        size_bytes=shard.size_bytes,
        ask=workload.ask,
        upload_id=shard.upload_id or None,
    )


def _held_elsewhere(site: Site, shard: Shard) -> NotYet:
    """Another worker is at it, the provider asked for patience, or there is no room."""
    now = site.now()
    if shard.state is ShardState.SUBMITTING and shard.lease_until:
        return NotYet(
            until=min(shard.lease_until, now + site.pace.busy), why=f"worker {shard.holder} is submitting it"
        )
    if shard.state is ShardState.WRITTEN and shard.ahead is not None:
        pause = site.pace.in_line(shard.ahead, draw=random.random())  # noqa: S311
        return NotYet(until=now + pause, why=shard.note)
    return NotYet(until=shard.not_before or now, why=shard.note or "another worker moved it")


def _send(site: Site, client: Client, shard: Shard, submission: Submission) -> Batch | NotYet:
    ledger, key = site.ledger, shard.key
    try:
        upload_id = submission.upload_id or client.upload(submission)
        # from here on the paid call may have been sent: a successor must look before it sends
        ledger.note_upload(key, site.worker, upload_id or INLINE, now=site.now())
        ledger.renew(key, site.worker, LEASE, now=site.now())
        batch = client.create(replace(submission, upload_id=upload_id))
    except ProviderBusy as busy:
        return _release(site, shard, busy)
    except OutcomeUnknown as unknown:
        # the intent stays, the lease goes: whoever comes next looks for the batch first
        ledger.renew(key, site.worker, timedelta(0), now=site.now())
        return NotYet(
            until=site.now() + site.pace.settle, why=f"{unknown} Looking for it before sending again."
        )
    except ProviderRefused as refused:
        ledger.release(key, site.worker, now=site.now(), not_before=None, note=str(refused))
        raise
    return _attach(site, shard, batch)


def _release(site: Site, shard: Shard, busy: ProviderBusy) -> NotYet:
    """The provider declined and made nothing: the shard is free again, from the time it asked for."""
    now = site.now()
    full = over_limit(busy.code, str(busy))
    otherwise = site.pace.after_failures(shard.attempt) if full else site.pace.busy
    wait = wait_after(site, busy, site.ledger.run(shard.key.run_id).due_at, otherwise=otherwise)
    said = no_room(shard, str(busy)) if full else str(busy)
    why = f"{said} {wait.said}".strip()
    site.ledger.release(shard.key, site.worker, now=now, not_before=now + wait.pause, note=why)
    return NotYet(until=now + wait.pause, why=why)


def no_room(shard: Shard, said: str) -> str:
    """The plain sentence for a provider's queue that is full, with its own words behind it."""
    return f"waits for room: the account's limit of enqueued tokens for {shard.model} is reached ({said})"


def wait_after(
    site: Site, error: ProviderError, due_at: datetime | None, *, otherwise: timedelta | None = None
) -> Patience:
    """The wait for the provider's own wish, as far as it is heeded (see patience.py), else ours."""
    return patience(
        getattr(error, "retry_after_seconds", None),
        otherwise=site.pace.busy if otherwise is None else otherwise,
        left=None if due_at is None else due_at - site.now(),
    )


def _recover(site: Site, client: Client, shard: Shard, submission: Submission) -> Batch | NotYet | None:
    """Look for what an earlier holder of this intent may have made; None when there is proof of nothing."""
    assert shard.intent_at is not None
    if shard.upload_id is None:  # it died before the paid call; only a file may be lying about
        found_upload = client.find_upload(submission, since=shard.intent_at)
        if found_upload:
            client.discard_upload(found_upload)
        return None
    owned = site.ledger.owned_batch_ids(shard.account)
    found = client.find(submission, since=shard.intent_at, owned=owned)
    if found.proven:
        return _attach(site, shard, found.proven[0])
    settled = shard.intent_at + site.pace.settle
    if found.possible:
        return NotYet(
            until=site.now() + max(site.pace.least, timedelta(seconds=1)),
            why=f"batch {found.possible[0].id} may be this shard's; waiting until the provider can prove it",
        )
    if site.now() < settled:  # a new batch can take a while to show in the list
        return NotYet(
            until=settled, why="an earlier try may have created a batch; it is looked for once more"
        )
    return None


def attach_found(site: Site, shard: Shard, batch: Batch) -> bool:
    """Make a batch that was found at the provider the shard's own. False when another worker is at the shard,
    or the provider asked for patience: nothing was changed."""
    held = site.ledger.claim(shard.key, site.worker, LEASE, now=site.now())
    if held is None:
        return False
    _attach(site, held, batch)
    return True


def _attach(site: Site, shard: Shard, batch: Batch) -> Batch:
    record = record_of(shard, batch, site.now())
    site.ledger.attach(shard.key, site.worker, record, now=site.now())
    return batch


def record_of(shard: Shard, batch: Batch, seen_at: datetime) -> BatchRecord:
    """The batch as the ledger keeps it."""
    return BatchRecord(
        key=shard.key,
        attempt=shard.attempt,
        provider=shard.provider,
        account=shard.account,
        batch_id=batch.id,
        status=batch.status,
        provider_status=batch.provider_status,
        created_at=batch.created_at,
        seen_at=seen_at,
        ended_at=batch.ended_at,
        total=batch.total,
        completed=batch.completed,
        failed=batch.failed,
        note=batch.message,
    )
