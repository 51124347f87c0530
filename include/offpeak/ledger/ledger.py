"""The ledger's verbs. Every change is one transaction that checks the state it starts from."""

# The nouns' modules come in with the first verb, not with the class: SQLAlchemy takes a while to import,
# and a DAG file is parsed often.

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from offpeak.errors import LedgerConflict
from offpeak.ledger.database import Database
from offpeak.ledger.records import (
    BatchRecord,
    BatchTime,
    Event,
    NewRun,
    NewShard,
    Run,
    Shard,
    ShardKey,
    Spend,
    Stage,
    TokenSample,
)
from offpeak.states import RunState, ShardState

if TYPE_CHECKING:
    from offpeak.ledger.alerts import AlertBook
    from offpeak.ledger.realtime import RealtimeShards
    from offpeak.quota import Quota


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """One SQL database, used by any number of threads and processes at once.

    Times are aware and come back in UTC; money is Decimal, to the digit. Every verb raises SpecError
    for a naive time, a run or shard that is not there, or a ledger of a newer Offpeak, and
    LedgerConflict (transient) when the database cannot be used now. A verb that raises has changed
    nothing.
    """

    def __init__(self, url: str, *, clock: Callable[[], datetime] = _utc_now) -> None:
        """Any SQLAlchemy URL of SQLite or Postgres. Nothing is opened before the first verb.

        `clock` times stages only; every other verb is told the time."""
        self._database = Database(url)
        self._clock = clock

    def __repr__(self) -> str:
        return f"Ledger({self.describe()})"

    def describe(self) -> str:
        """The address, for people: no user, no password."""
        return self._database.address

    # -- runs
    def open_run(self, new: NewRun, *, now: datetime) -> tuple[Run, bool]:
        """The unfinished run of this workload and interval, or a new edition; and whether it is new.

        LedgerConflict when the unfinished one has another spec_hash (message: which run, its state, and
        that it can be cancelled with `offpeak cancel`)."""
        from sqlalchemy.exc import IntegrityError

        from offpeak.ledger import runs

        for last_try in (False, False, True):
            try:
                with self._database.changing(now) as change:
                    return runs.open_or_create(change, new)
            except LedgerConflict as conflict:
                if last_try or not isinstance(conflict.__cause__, IntegrityError):
                    raise
        raise AssertionError("unreachable")

    def open_like(self, workload: str, spec_hash: str) -> Run | None:
        """The newest unfinished run of this workload with this spec_hash, whatever its interval."""
        from offpeak.ledger import runs

        with self._database.reading() as connection:
            return runs.open_like(connection, workload, spec_hash)

    def run(self, run_id: str) -> Run:
        from offpeak.ledger import runs

        with self._database.reading() as connection:
            return runs.get(connection, run_id)

    def runs(
        self,
        workload: str | None = None,
        *,
        states: Collection[RunState] = (),
        started_by: str | None = None,
        limit: int = 50,
    ) -> list[Run]:
        """Newest first; a `workload` such as `evals__*` names all that begin so, with `started_by` only those of
        that caller."""
        from offpeak.ledger import runs

        with self._database.reading() as connection:
            return runs.newest(connection, workload, states=states, started_by=started_by, limit=limit)

    def latest(self, workload: str, interval_key: str) -> Run | None:
        """The workload's run of this interval, the newest edition of several; None when there was none."""
        from offpeak.ledger import runs

        with self._database.reading() as connection:
            return runs.latest(connection, workload, interval_key)

    def move_run(
        self,
        run_id: str,
        to: RunState,
        *,
        since: Collection[RunState],
        now: datetime,
        facts: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> Run:
        """Compare-and-set the state; `facts` are merged into the run's. LedgerConflict if not in `since`."""
        from offpeak.ledger import runs

        with self._database.changing(now) as change:
            run = runs.locked(change, run_id)
            values: dict[str, Any] = {"facts": {**run.facts, **(facts or {})}}
            if error is not None:
                values["error"] = error
            return runs.move(change, run, to, since=since, values=values)

    def note_run(self, run_id: str, facts: Mapping[str, Any], *, now: datetime) -> None:
        """Merge facts without changing the state."""
        from offpeak.ledger import runs

        with self._database.changing(now) as change:
            runs.note(change, runs.locked(change, run_id), facts)

    def extend(self, run_id: str, due_at: datetime, *, now: datetime) -> Run:
        """Move the due time of an unfinished run. LedgerConflict when it has ended."""
        from offpeak.ledger import runs

        with self._database.changing(now) as change:
            return runs.extend(change, runs.locked(change, run_id), due_at)

    # -- shards and batches
    def start_running(
        self, run_id: str, shards: Sequence[NewShard], facts: Mapping[str, Any], *, now: datetime
    ) -> Run:
        """planning → running with all round-1 shards, in one transaction. LedgerConflict if not planning."""
        from offpeak.ledger import runs
        from offpeak.ledger import shards as rows

        with self._database.changing(now) as change:
            run = runs.locked(change, run_id)
            merged = {"facts": {**run.facts, **facts}}
            moved = runs.move(change, run, RunState.RUNNING, since=(RunState.PLANNING,), values=merged)
            rows.insert(change, run_id, shards)
            change.event(run_id, f"shards written: {len(shards)}")
            return moved

    def shard(self, key: ShardKey) -> Shard:
        from offpeak.ledger import shards

        with self._database.reading() as connection:
            return shards.get(connection, key)

    def shards(self, run_id: str, *, number: int | None = None) -> list[Shard]:
        """By round, then number."""
        from offpeak.ledger import shards

        with self._database.reading() as connection:
            return shards.of_run(connection, run_id, number)

    def claim(
        self, key: ShardKey, holder: str, lease: timedelta, *, now: datetime, quota: Quota | None = None
    ) -> Shard | None:
        """Take the right to submit: written → submitting (attempt + 1, intent_at = now), or take over a
        submitting shard whose lease has ended or is this holder's own (attempt and intent_at stay). None when
        another holds it, when it is past submitting or of the realtime route, or when `not_before` is later than now.

        With a `quota`, None also when there is no room for the shard beside what its account has submitting
        or in flight, and what waits and is due earlier; two claims never get the same room. The shard then
        holds its place in the line (`ahead`) and the reason (`note`), and gives the place up when nobody asks
        for it again within 15 minutes. Room is given back by state: a shard that is collected, or back to
        written, takes none.

        A lease ends at once when its holder was a process of this host that no longer runs. Holding is by
        name: two threads that may meet on a shard need two names."""
        from offpeak.ledger import leases

        with self._database.changing(now) as change:
            return leases.claim(change, key, holder, lease=lease, quota=quota)

    @property
    def realtime(self) -> RealtimeShards:
        """The verbs of shards that are asked in realtime."""
        from offpeak.ledger.realtime import RealtimeShards

        return RealtimeShards(self._database)

    def shards_in(self, states: Collection[ShardState], *, workload: str | None = None) -> list[Shard]:
        """Every shard in one of these states, over all runs (of one workload), oldest run first."""
        from offpeak.ledger import shards

        with self._database.reading() as connection:
            return shards.in_states(connection, states, workload)

    def tagged(self, tag: str) -> Shard | None:
        """The shard whose requests carry this tag, None when it is not of this ledger."""
        from offpeak.ledger import shards

        with self._database.reading() as connection:
            return shards.tagged(connection, tag)

    def renew(self, key: ShardKey, holder: str, lease: timedelta, *, now: datetime) -> None:
        """LedgerConflict when the lease was taken by another."""
        from offpeak.ledger import leases

        with self._database.changing(now) as change:
            leases.renew(change, key, holder, lease=lease)

    def note_upload(self, key: ShardKey, holder: str, upload_id: str | None, *, now: datetime) -> None:
        """Record the uploaded file's id right before the paid call, and that the intent dates from now: the
        caller has proof that no earlier try made a batch. LedgerConflict unless submitting and held."""
        from offpeak.ledger import leases

        with self._database.changing(now) as change:
            leases.note_upload(change, key, holder, upload_id=upload_id)

    def attach(self, key: ShardKey, holder: str, batch: BatchRecord, *, now: datetime) -> Shard:
        """submitting → in_flight. LedgerConflict unless submitting and held by `holder`, or when another
        shard already owns the batch id."""
        from offpeak.ledger import leases

        with self._database.changing(now) as change:
            return leases.attach(change, key, holder, batch=batch)

    def release(
        self, key: ShardKey, holder: str, *, now: datetime, not_before: datetime | None, note: str
    ) -> None:
        """submitting → written: nothing was created, proven. The upload id is kept for the next try."""
        from offpeak.ledger import leases

        with self._database.changing(now) as change:
            leases.release(change, key, holder, not_before=not_before, note=note)

    def seen(self, batch: BatchRecord, *, now: datetime) -> None:
        """Update a batch's last seen status and counts; one that has ended stays ended."""
        from offpeak.ledger import batches

        with self._database.changing(now) as change:
            batches.seen(change, batch)

    def resubmit(
        self, key: ShardKey, batch_id: str, *, now: datetime, not_before: datetime | None, note: str
    ) -> None:
        """in_flight → written: the batch failed as a whole and nothing of it was or will be run or billed.
        Forgets upload and batch id (the batch's own record stays). LedgerConflict otherwise."""
        from offpeak.ledger import leases

        with self._database.changing(now) as change:
            leases.resubmit(change, key, batch_id, not_before=not_before, note=note)

    def collect(
        self,
        collected: Shard,
        spend: Spend,
        next_round: NewShard | None,
        *,
        now: datetime,
    ) -> bool:
        """in_flight → collected with results, outcomes, usage and cost taken from `collected`, the spend
        row, and the next round's shard if there is one, in one transaction. False (and no change) when it
        was collected before. LedgerConflict when another batch than `collected`'s is in flight."""
        from offpeak.ledger import money

        with self._database.changing(now) as change:
            return money.collect(change, collected, spend, next_round=next_round)

    def owned_batch_ids(self, account: str) -> frozenset[str]:
        """Every batch that a shard of this account has or had."""
        from offpeak.ledger import batches

        with self._database.reading() as connection:
            return batches.owned_ids(connection, account)

    def batches(self, run_id: str) -> list[BatchRecord]:
        """By round, number and attempt."""
        from offpeak.ledger import batches

        with self._database.reading() as connection:
            return batches.of_run(connection, run_id)

    def batch_times(self, provider: str, model: str, *, limit: int = 1_000) -> list[BatchTime]:
        """How long this provider's batches of this model took, over all runs, latest first."""
        from offpeak.ledger import times

        with self._database.reading() as connection:
            return times.batch_times(connection, provider, model, limit=limit)

    # -- money, time, history
    def spend(self, spend: Spend) -> None:
        from offpeak.ledger import money

        with self._database.changing(spend.at) as change:
            money.record(change, spend)

    def stray(self, batch_id: str, spend: Spend) -> bool:
        """Record, once, what a second batch of a shard billed: the spend, and the batch's id in the run's
        fact `strays`. False (and no change) when it was recorded before."""
        from offpeak.ledger import money

        with self._database.changing(spend.at) as change:
            return money.stray(change, batch_id, spend)

    def spent(
        self, *, run_id: str | None = None, workload: str | None = None, since: datetime | None = None
    ) -> list[Spend]:
        """What was spent, in the order of time; `since` includes its own moment."""
        from offpeak.ledger import money

        with self._database.reading() as connection:
            return money.spent(connection, run_id=run_id, workload=workload, since=since)

    @contextmanager
    def stage(self, run_id: str, name: str) -> Iterator[None]:
        """Time spent in the block is added to the run's stage `name`, also when the block raises.

        A process killed in the block leaves the stage open, without that try's time, which nobody knows;
        the next block of this name continues it."""
        from offpeak.ledger import history

        entered = self._clock()
        with self._database.changing(entered) as change:
            history.enter_stage(change, run_id, name)
        try:
            yield
        finally:
            with self._database.changing(self._clock()) as change:
                history.leave_stage(change, run_id, name, entered=entered)

    def stages(self, run_id: str) -> list[Stage]:
        """In the order they were first entered."""
        from offpeak.ledger import history

        with self._database.reading() as connection:
            return history.stages(connection, run_id)

    def events(self, run_id: str, *, limit: int = 200) -> list[Event]:
        """The last ones, in the order they happened."""
        from offpeak.ledger import history

        with self._database.reading() as connection:
            return history.events(connection, run_id, limit=limit)

    def tokens_per_request(self, workload: str, model: str, *, runs: int = 10) -> tuple[float, float] | None:
        """Mean (input, output) tokens per request over this workload's last runs with this model, previews
        not counted; None if none."""
        from offpeak.ledger import money

        with self._database.reading() as connection:
            return money.tokens_per_request(connection, workload, model, runs=runs)

    # -- alerts
    @property
    def alerts(self) -> AlertBook:
        """The verbs of alerts and their deliveries."""
        from offpeak.ledger.alerts import AlertBook

        return AlertBook(self._database)

    def token_samples(self, workload: str, model: str, *, runs: int = 30) -> list[TokenSample]:
        """The same of each of the last runs by itself, latest first, as far as its shards are collected; the
        tokens of a request's later rounds are among its own."""
        from offpeak.ledger import money

        with self._database.reading() as connection:
            return money.token_samples(connection, workload, model, runs=runs)

    def close(self) -> None:
        """Close the connections. The next verb opens new ones."""
        self._database.close()
