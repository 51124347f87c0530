"""Alerts in the ledger: open at most once per cause and subject, told at most once per version and channel.

`told at most once` has one gap: a sender that dies between the channel's yes and `told` leaves a lease, and
who takes it over sends again. See docs/alerts.md for how long that gap is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, desc, select
from sqlalchemy.exc import IntegrityError

from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger.holder import is_gone
from offpeak.ledger.records import Alert, Delivery, NewAlert, Run
from offpeak.ledger.schema import ALERTS, BATCHES, DELIVERIES, RUNS, SHARDS, in_utc
from offpeak.states import BatchStatus, RunState, ShardState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, RowMapping
    from sqlalchemy.engine import Connection

    from offpeak.ledger.database import Change, Database

_NEW_FIELDS = tuple(field.name for field in dataclasses.fields(NewAlert))
_FIELDS = tuple(field.name for field in dataclasses.fields(Alert))
_RUN_FIELDS = tuple(field.name for field in dataclasses.fields(Run))
_DELIVERY_FIELDS = tuple(field.name for field in dataclasses.fields(Delivery))


class Trouble(NamedTuple):
    """One thing that went wrong at an account: a shard that is held up, a batch or a run that failed."""

    kind: str
    """`shard` (it waits and is tried again), `batch` or `run`."""
    workload: str
    run_id: str
    number: int
    """Of the shard; 0 for a run."""
    at: datetime
    said: str


class AlertBook:
    """The verbs of alerts. Each is one transaction; what it raises is what every verb of the ledger raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, new: NewAlert, *, now: datetime) -> Alert:
        """Open the alert, or bring the open one of this key up to date.

        There is a new version to tell when the essence differs, or the grade is above the highest so far.
        The facts are always those that were seen last."""
        for last_try in (False, False, True):
            try:
                with self._database.changing(now) as change:
                    return _upsert(change, new)
            except LedgerConflict as conflict:
                # another process opened the same alert in this moment: look again, it is there now
                if last_try or not isinstance(conflict.__cause__, IntegrityError):
                    raise
        raise AssertionError("unreachable")

    def resolve(self, sequence: int, facts: Mapping[str, Any], *, now: datetime) -> Alert | None:
        """Close an open alert; `facts` are merged into its own. None when another closed it before."""
        with self._database.changing(now) as change:
            alert = _locked(change, sequence)
            if alert.resolved_at is not None:
                return None
            values = {
                "open_key": None,
                "resolved_at": change.now,
                "updated_at": change.now,
                "version": alert.version + 1,
                "facts": {**alert.facts, **facts},
            }
            change.connection.execute(ALERTS.update().where(ALERTS.c.sequence == sequence).values(values))
            return _get(change.connection, sequence)

    def get(self, sequence: int) -> Alert:
        """SpecError when there is no such alert."""
        with self._database.reading() as connection:
            return _get(connection, sequence)

    def about(self, subjects: Collection[str], *, since: datetime | None = None) -> list[Alert]:
        """The open alerts about these subjects, and those resolved at or after `since`; oldest first."""
        with self._database.reading() as connection:
            wanted: ColumnElement[bool] = ALERTS.c.open_key.is_not(None)
            if since is not None:
                wanted = wanted | (ALERTS.c.resolved_at >= in_utc(since))
            query = select(ALERTS).where(ALERTS.c.subject.in_(subjects), wanted).order_by(ALERTS.c.sequence)
            return [_record(row) for row in connection.execute(query).mappings()]

    def latest(self, workload: str | None = None, *, open_only: bool = False, limit: int = 50) -> list[Alert]:
        """Newest first, for people."""
        with self._database.reading() as connection:
            query = select(ALERTS).order_by(desc(ALERTS.c.updated_at), desc(ALERTS.c.sequence)).limit(limit)
            if workload is not None:
                query = query.where(ALERTS.c.workload == workload)
            if open_only:
                query = query.where(ALERTS.c.open_key.is_not(None))
            return [_record(row) for row in connection.execute(query).mappings()]

    def pending(
        self,
        channels: Collection[str],
        *,
        workload: str,
        subjects: Collection[str],
        now: datetime,
        since: datetime,
    ) -> list[Alert]:
        """Alerts of the workload, or about one of the subjects, that one of the channels may now be told of;
        oldest first. What has not changed since `since` is left out."""
        with self._database.reading() as connection:
            mine = (ALERTS.c.workload == workload) | ALERTS.c.subject.in_(subjects)
            query = select(ALERTS).where(mine, ALERTS.c.updated_at >= in_utc(since))
            found = [_record(row) for row in connection.execute(query.order_by(ALERTS.c.sequence)).mappings()]
            heard = select(DELIVERIES).where(DELIVERIES.c.alert.in_([one.sequence for one in found]))
            known = {
                (row["alert"], row["channel"]): _delivery(row) for row in connection.execute(heard).mappings()
            }
        return [
            one
            for one in found
            if any(
                _may_tell(
                    one,
                    known.get((one.sequence, channel), Delivery(alert=one.sequence, channel=channel)),
                    in_utc(now),
                )
                for channel in channels
            )
        ]

    def deliveries(self, sequence: int) -> list[Delivery]:
        """By channel."""
        with self._database.reading() as connection:
            query = select(DELIVERIES).where(DELIVERIES.c.alert == sequence).order_by(DELIVERIES.c.channel)
            return [_delivery(row) for row in connection.execute(query).mappings()]

    def claim(
        self, sequence: int, channel: str, holder: str, *, lease: timedelta, now: datetime
    ) -> tuple[Alert, Delivery] | None:
        """Take the right to tell this channel the alert's present version. None when it is told already,
        another holds the right, the channel is to be left alone until later, or there is nothing to say: an
        alert that was resolved before the channel heard of it."""
        for last_try in (False, False, True):
            try:
                with self._database.changing(now) as change:
                    return _claim(change, _locked(change, sequence), channel, holder=holder, lease=lease)
            except LedgerConflict as conflict:
                if last_try or not isinstance(conflict.__cause__, IntegrityError):
                    raise
        raise AssertionError("unreachable")

    def told(self, delivery: Delivery, version: int, *, now: datetime) -> bool:
        """The channel took this version. False when the lease was lost: another may have told it too."""
        values = {"told_version": version, "told_at": now, "attempts": 0, "not_before": None, "error": ""}
        return self._settle(delivery, values, now)

    def untold(self, delivery: Delivery, error: str, not_before: datetime, *, now: datetime) -> bool:
        """The channel did not take it; it is left alone until `not_before`. False when the lease was lost."""
        values = {"attempts": delivery.attempts + 1, "not_before": not_before, "error": error}
        return self._settle(delivery, values, now)

    def _settle(self, delivery: Delivery, values: Mapping[str, Any], now: datetime) -> bool:
        with self._database.changing(now) as change:
            mine = and_(_at(delivery.alert, delivery.channel), DELIVERIES.c.holder == delivery.holder)
            update = DELIVERIES.update().where(mine).values({**values, "holder": "", "lease_until": None})
            return change.connection.execute(update).rowcount == 1

    def editions(self, workload: str, interval_key: str) -> list[Run]:
        """The runs of one interval, the newest edition first."""
        with self._database.reading() as connection:
            query = select(RUNS).where(RUNS.c.workload == workload, RUNS.c.interval_key == interval_key)
            rows = connection.execute(query.order_by(desc(RUNS.c.edition))).mappings()
            return [Run(**{name: row[name] for name in _RUN_FIELDS}) for row in rows]

    def troubles(self, account: str, *, since: datetime) -> list[Trouble]:
        """What went wrong at this account since then, whatever the workload; newest first, 1,000 at most."""
        with self._database.reading() as connection:
            found = [
                *_held_shards(connection, account, since),
                *_lost_batches(connection, account, since),
                *_failed_runs(connection, account, since),
            ]
        return sorted(found, key=lambda trouble: trouble.at, reverse=True)[:1000]


def _upsert(change: Change, new: NewAlert) -> Alert:
    query = select(ALERTS).where(ALERTS.c.open_key == new.key).with_for_update()
    row = change.connection.execute(query).mappings().first()
    values: dict[str, Any] = {name: getattr(new, name) for name in _NEW_FIELDS}
    values["updated_at"] = change.now
    if row is None:
        values |= {"open_key": new.key, "version": 1, "opened_at": change.now}
        made = change.connection.execute(ALERTS.insert().values(values)).inserted_primary_key
        assert made is not None
        return _get(change.connection, made[0])
    known = _record(row)
    news = new.essence != known.essence or new.grade > known.grade
    values |= {"grade": max(new.grade, known.grade), "version": known.version + news}
    change.connection.execute(ALERTS.update().where(ALERTS.c.sequence == known.sequence).values(values))
    return _get(change.connection, known.sequence)


def _claim(
    change: Change, alert: Alert, channel: str, *, holder: str, lease: timedelta
) -> tuple[Alert, Delivery] | None:
    query = select(DELIVERIES).where(_at(alert.sequence, channel)).with_for_update()
    row = change.connection.execute(query).mappings().first()
    known = Delivery(alert=alert.sequence, channel=channel) if row is None else _delivery(row)
    if not _may_tell(alert, known, change.now):
        return None
    mine = dataclasses.replace(known, holder=holder, lease_until=change.now + lease)
    values = {name: getattr(mine, name) for name in _DELIVERY_FIELDS}
    if row is None:
        change.connection.execute(DELIVERIES.insert().values(values))
    else:
        change.connection.execute(DELIVERIES.update().where(_at(alert.sequence, channel)).values(values))
    return alert, mine


def _may_tell(alert: Alert, known: Delivery, now: datetime) -> bool:
    if known.told_version >= alert.version:
        return False
    if known.told_version == 0 and alert.resolved_at is not None:
        return False  # "resolved" about something that the channel never heard of helps nobody
    if known.not_before is not None and known.not_before > now:
        return False
    free = not known.holder or known.lease_until is None or known.lease_until <= now
    return free or is_gone(known.holder)


def _held_shards(connection: Connection, account: str, since: datetime) -> list[Trouble]:
    """Shards that wait because the provider declined, and not in the line for our own quota."""
    query = select(RUNS.c.workload, SHARDS.c.run_id, SHARDS.c.number, SHARDS.c.updated_at, SHARDS.c.note)
    query = query.join(RUNS, RUNS.c.run_id == SHARDS.c.run_id).where(
        SHARDS.c.account == account,
        SHARDS.c.state.in_((ShardState.WRITTEN, ShardState.SUBMITTING)),
        SHARDS.c.updated_at >= in_utc(since),
        SHARDS.c.not_before.is_not(None),
        SHARDS.c.ahead.is_(None),
        SHARDS.c.note != "",
        RUNS.c.ended_at.is_(None),
    )
    return [Trouble("shard", *row) for row in connection.execute(query)]


def _lost_batches(connection: Connection, account: str, since: datetime) -> list[Trouble]:
    query = select(
        RUNS.c.workload,
        BATCHES.c.run_id,
        BATCHES.c.number,
        BATCHES.c.seen_at,
        BATCHES.c.status,
        BATCHES.c.note,
    )
    query = query.join(RUNS, RUNS.c.run_id == BATCHES.c.run_id).where(
        BATCHES.c.account == account,
        BATCHES.c.status.in_((BatchStatus.FAILED, BatchStatus.EXPIRED)),
        BATCHES.c.seen_at >= in_utc(since),
    )
    return [
        Trouble("batch", workload, run_id, number, at, f"batches are {status}: {note}".rstrip(": "))
        for workload, run_id, number, at, status, note in connection.execute(query)
    ]


def _failed_runs(connection: Connection, account: str, since: datetime) -> list[Trouble]:
    at_account = select(SHARDS.c.run_id).where(SHARDS.c.account == account)
    query = select(RUNS.c.workload, RUNS.c.run_id, RUNS.c.ended_at, RUNS.c.error).where(
        RUNS.c.state == RunState.FAILED,
        RUNS.c.ended_at >= in_utc(since),
        RUNS.c.error != "",
        RUNS.c.run_id.in_(at_account),
    )
    return [Trouble("run", name, run_id, 0, at, said) for name, run_id, at, said in connection.execute(query)]


def _locked(change: Change, sequence: int) -> Alert:
    query = select(ALERTS).where(ALERTS.c.sequence == sequence).with_for_update()
    return _one(sequence, change.connection.execute(query).mappings().first())


def _get(connection: Connection, sequence: int) -> Alert:
    query = select(ALERTS).where(ALERTS.c.sequence == sequence)
    return _one(sequence, connection.execute(query).mappings().first())


def _one(sequence: int, row: RowMapping | None) -> Alert:
    if row is None:
        raise SpecError(f"There is no alert {sequence} in this ledger. Nothing was changed or sent.")
    return _record(row)


def _at(sequence: int, channel: str) -> ColumnElement[bool]:
    return and_(DELIVERIES.c.alert == sequence, DELIVERIES.c.channel == channel)


def _record(row: RowMapping) -> Alert:
    return Alert(**{name: row[name] for name in _FIELDS})


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**{name: row[name] for name in _DELIVERY_FIELDS})
