"""Runs in the ledger: opened once per workload and interval, moved by compare-and-set."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import desc, select

from offpeak.errors import LedgerConflict, SpecError
from offpeak.ledger.records import NewRun, Run
from offpeak.ledger.schema import RUNS, in_utc
from offpeak.states import RunState

if TYPE_CHECKING:
    from sqlalchemy import RowMapping, Select
    from sqlalchemy.engine import Connection

    from offpeak.ledger.database import Change

ENDED = tuple(state for state in RunState if state.ended)
_FIELDS = tuple(field.name for field in dataclasses.fields(Run))


def get(connection: Connection, run_id: str) -> Run:
    """SpecError when there is no such run."""
    return _one(connection, run_id, select(RUNS).where(RUNS.c.run_id == run_id))


def locked(change: Change, run_id: str) -> Run:
    """The run, which no other transaction can change until this one ends."""
    query = select(RUNS).where(RUNS.c.run_id == run_id)
    return _one(change.connection, run_id, query.with_for_update(key_share=True))


def newest(
    connection: Connection,
    workload: str | None,
    *,
    states: Collection[RunState],
    started_by: str | None = None,
    limit: int,
) -> list[Run]:
    query = select(RUNS).order_by(desc(RUNS.c.created_at), desc(RUNS.c.sequence)).limit(limit)
    if workload is not None and workload.endswith("*"):
        query = query.where(RUNS.c.workload.startswith(workload.removesuffix("*"), autoescape=True))
    elif workload is not None:
        query = query.where(RUNS.c.workload == workload)
    if states:
        query = query.where(RUNS.c.state.in_(states))
    if started_by is not None:
        query = query.where(RUNS.c.started_by == started_by)
    return [_record(row) for row in connection.execute(query).mappings()]


def open_like(connection: Connection, workload: str, spec_hash: str) -> Run | None:
    query = select(RUNS).where(
        RUNS.c.workload == workload, RUNS.c.spec_hash == spec_hash, RUNS.c.state.not_in(ENDED)
    )
    query = query.order_by(desc(RUNS.c.created_at), desc(RUNS.c.sequence)).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else _record(row)


def open_or_create(change: Change, new: NewRun) -> tuple[Run, bool]:
    """The unfinished run of this workload and interval, or the next edition.

    Two of these at once may both try to create it; the unique edition lets one through, and the
    other's IntegrityError says: look again.
    """
    last = latest(change.connection, new.workload, new.interval_key)
    if last is None or last.state.ended:
        return _create(change, new, 1 if last is None else last.edition + 1), True
    if last.spec_hash != new.spec_hash:
        raise LedgerConflict(
            f"Run {last.run_id} is {last.state} and was started from another version of the workload "
            f"(spec {last.spec_hash}, now {new.spec_hash}). It goes on as it was started, and what it sent "
            "stays billed; nothing new was started. Let it finish, or end it with "
            f"`offpeak cancel {last.run_id}`."
        )
    return last, False


def latest(connection: Connection, workload: str, interval_key: str) -> Run | None:
    """The newest edition."""
    # only the newest edition can be unfinished, so this one SELECT sees all that matters at one moment
    query = select(RUNS).where(RUNS.c.workload == workload, RUNS.c.interval_key == interval_key)
    row = connection.execute(query.order_by(desc(RUNS.c.edition)).limit(1)).mappings().first()
    return None if row is None else _record(row)


def _create(change: Change, new: NewRun, edition: int) -> Run:
    run_id = f"{new.workload}/{new.interval_key}" + (f"~{edition}" if edition > 1 else "")
    values: dict[str, Any] = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)}
    values |= {"run_id": run_id, "edition": edition, "state": RunState.PLANNING, "facts": {}, "error": ""}
    values |= {"created_at": change.now, "updated_at": change.now}
    change.connection.execute(RUNS.insert().values(values))
    change.event(run_id, f"run {RunState.PLANNING}", f"edition {edition}, spec {new.spec_hash}")
    return get(change.connection, run_id)


def move(
    change: Change, run: Run, to: RunState, *, since: Collection[RunState], values: Mapping[str, Any]
) -> Run:
    """Compare-and-set the state of a locked run, and write `values` (columns) with it."""
    if run.state not in since:
        raise LedgerConflict(_not_since(run, to, since))
    if run.state.ended and not to.ended:
        _refuse_second_unfinished(change, run)
    written = {"state": to, "updated_at": change.now, "ended_at": change.now if to.ended else None, **values}
    update = RUNS.update().where(RUNS.c.run_id == run.run_id, RUNS.c.state == run.state)
    if change.connection.execute(update.values(written)).rowcount != 1:
        raise LedgerConflict(_not_since(run, to, since))
    change.event(run.run_id, f"run {run.state} → {to}", values.get("error", ""))
    return get(change.connection, run.run_id)


def note(change: Change, run: Run, facts: Mapping[str, Any]) -> None:
    """Merge facts into a locked run's."""
    update = RUNS.update().where(RUNS.c.run_id == run.run_id)
    change.connection.execute(update.values(facts={**run.facts, **facts}, updated_at=change.now))


def extend(change: Change, run: Run, due_at: datetime) -> Run:
    """Another due time for a locked run; the old one stays in its events."""
    if run.state.ended:
        raise LedgerConflict(
            f"Run {run.run_id} is {run.state} and has no due time to move any more. Nothing was changed."
        )
    update = RUNS.update().where(RUNS.c.run_id == run.run_id)
    change.connection.execute(update.values(due_at=in_utc(due_at), updated_at=change.now))
    before = "none" if run.due_at is None else run.due_at.isoformat()
    change.event(run.run_id, "due time moved", f"from {before} to {due_at.isoformat()}")
    return get(change.connection, run.run_id)


def _refuse_second_unfinished(change: Change, run: Run) -> None:
    last = latest(change.connection, run.workload, run.interval_key)
    if last is not None and last.edition != run.edition:
        raise LedgerConflict(
            f"Run {run.run_id} is {run.state}, and {last.run_id} ({last.state}) came after it: an older "
            f"edition is not opened again. Nothing was changed; go on with {last.run_id}."
        )


def _not_since(run: Run, to: RunState, since: Collection[RunState]) -> str:
    expected = " or ".join(sorted(since))
    if run.state.ended:
        advice = "It has ended; starting the interval again makes a new edition."
    else:
        advice = f"Another worker has moved it: read it again and go on from {run.state}."
    return (
        f"Run {run.run_id} is {run.state} (last changed {run.updated_at.isoformat()}) and not {expected}, so "
        f"it was not moved to {to}. Nothing was changed. {advice}"
    )


def _one(connection: Connection, run_id: str, query: Select[Any]) -> Run:
    row = connection.execute(query).mappings().first()
    if row is None:
        raise SpecError(
            f"There is no run {run_id!r} in this ledger. Nothing was changed. `offpeak status` lists those "
            "there are; OFFPEAK_LEDGER says which ledger is read."
        )
    return _record(row)


def _record(row: RowMapping) -> Run:
    return Run(**{name: row[name] for name in _FIELDS})
