"""What the tests of alerts begin from: a desk with a ledger, a clock to turn, and runs in any state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from offpeak.alerts.channels import Channel
from offpeak.alerts.look import Look
from offpeak.alerts.watch import Watch
from offpeak.connections import EnvConnections
from offpeak.ledger import Ledger, NewRun, Run
from offpeak.site import Interval, Site
from offpeak.states import RunState
from offpeak.store import Store
from tests.ledger.making import new_run, new_shard

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DUE = NOW + timedelta(minutes=45)
INTERVAL = Interval(start=NOW - timedelta(hours=1), end=NOW)
MINUTE = timedelta(minutes=1)


@dataclass(kw_only=True)
class Desk:
    """One site whose clock the test turns."""

    ledger: Ledger
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    at: datetime = NOW

    @property
    def site(self) -> Site:
        return Site(
            store=Store(str(self.folder / "store")),
            ledger=self.ledger,
            env=self.env,
            connections=EnvConnections(self.env),
            now=lambda: self.at,
        )

    def turn(self, by: timedelta) -> None:
        self.at += by

    def run(self, *, shards: int = 1, facts: Mapping[str, Any] | None = None, **changes: Any) -> Run:
        """A run that has begun, with 10 rows a shard."""
        run, _ = self.ledger.open_run(new_run(**changes), now=self.at)
        new = [
            dataclasses.replace(new_shard(run.run_id, number), tag=f"{run.run_id}-{number}")
            for number in range(1, shards + 1)
        ]
        given = {"rows": 10 * shards, "requests": 10 * shards, "carried": 0, **(facts or {})}
        return self.ledger.start_running(run.run_id, new, given, now=self.at)

    def end(
        self, run: Run, state: RunState, *, error: str = "", facts: Mapping[str, Any] | None = None
    ) -> Run:
        since = tuple(one for one in RunState if not one.ended or one is run.state)
        return self.ledger.move_run(
            run.run_id, state, since=since, now=self.at, facts=facts or {}, error=error
        )


def watch(*channels: Channel, due: timedelta | str | None = timedelta(minutes=45), **changes: Any) -> Watch:
    return dataclasses.replace(
        Watch(name="ticket_triage", due=due, budget_usd=None, alerts=channels), **changes
    )


def run_record(state: RunState = RunState.RUNNING, **changes: Any) -> Run:
    """A run as the ledger would give it."""
    new: NewRun = new_run()
    known = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)}
    values = {
        **known,
        "run_id": "ticket_triage/2026-11-22T070000Z",
        "edition": 1,
        "state": state,
        "created_at": NOW,
        "updated_at": NOW,
        "ended_at": NOW if state.ended else None,
    }
    return Run(**{**values, **changes})


def look(run: Run | None, **changes: Any) -> Look:
    made = Look(
        now=NOW,
        workload="ticket_triage",
        subject="ticket_triage/2026-11-22T070000Z",
        run=run,
        due_at=DUE,
        rows=100,
        answered=40,
        account="openai_default",
    )
    return dataclasses.replace(made, **changes)


def judged(answered: int = 1000, invalid: int = 5, **counts: int) -> dict[str, Any]:
    """The facts of a judged run with one closed column."""
    mix = counts or {"refund": answered // 2, "other": answered - answered // 2}
    return {
        "outcomes": {"answered": answered, "invalid": invalid},
        "distribution": {"intent": {"counts": mix}, "note": {"lengths": {"p50": 12.0}}},
    }


def dollars(text: str) -> Decimal:
    return Decimal(text)
