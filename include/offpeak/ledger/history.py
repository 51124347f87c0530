"""What happened to a run, and how long its stages took."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, desc, select

from offpeak.ledger import runs
from offpeak.ledger.records import Event, Stage
from offpeak.ledger.schema import EVENTS, STAGES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from offpeak.ledger.database import Change


def events(connection: Connection, run_id: str, *, limit: int) -> list[Event]:
    """The last `limit` of the run's events, in the order they happened."""
    query = select(EVENTS.c.at, EVENTS.c.run_id, EVENTS.c.what, EVENTS.c.detail)
    query = query.where(EVENTS.c.run_id == run_id).order_by(desc(EVENTS.c.sequence)).limit(limit)
    return [Event(**row) for row in reversed(connection.execute(query).mappings().all())]


def enter_stage(change: Change, run_id: str, name: str) -> None:
    """Open the stage, or open it again: one that a killed process left open is simply continued.

    A stage that another worker has brought to its end with the run stays ended.
    """
    run = runs.locked(change, run_id)  # two workers entering at once: the second finds the first one's row
    here = and_(STAGES.c.run_id == run_id, STAGES.c.name == name)
    again = STAGES.update().where(here).values(ended_at=STAGES.c.ended_at if run.state.ended else None)
    if change.connection.execute(again).rowcount == 0:
        new = {"run_id": run_id, "name": name, "started_at": change.now, "ended_at": None, "seconds": 0.0}
        change.connection.execute(STAGES.insert().values(new))


def leave_stage(change: Change, run_id: str, name: str, *, entered: datetime) -> None:
    """Add the time since `entered`. Blocks open at once each add their own."""
    seconds = max((change.now - entered).total_seconds(), 0.0)
    here = and_(STAGES.c.run_id == run_id, STAGES.c.name == name)
    ended = {"ended_at": change.now, "seconds": STAGES.c.seconds + seconds}
    change.connection.execute(STAGES.update().where(here).values(ended))


def stages(connection: Connection, run_id: str) -> list[Stage]:
    """In the order they were first entered."""
    query = select(STAGES.c.name, STAGES.c.started_at, STAGES.c.ended_at, STAGES.c.seconds)
    query = query.where(STAGES.c.run_id == run_id).order_by(STAGES.c.started_at, STAGES.c.name)
    return [Stage(**row) for row in connection.execute(query).mappings()]
