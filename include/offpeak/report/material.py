"""What a report is made from: everything the ledger holds about a run and about the ones published before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from offpeak.forecast import calibration, past_batches, replayed
from offpeak.ledger.records import BatchRecord, Event, Run, Shard, Spend, Stage
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.site import Site

EVENTS_SHOWN = 100
PUBLISHED_LOOKED_AT = 200
"""So many published runs are looked through for the latest one; they are listed by when they began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One consistent enough look at the ledger: the run first, then what belongs to it."""

    run: Run
    now: datetime
    shards: tuple[Shard, ...]
    batches: tuple[BatchRecord, ...]
    spends: tuple[Spend, ...]
    stages: tuple[Stage, ...]
    events: tuple[Event, ...]
    previous: Run | None
    """The workload's last published run before this one: what this run is compared with."""
    visible: Run | None
    """The workload's last published run of all, this one included: what readers see now."""
    calibration: str = ""
    """How often forecasts of batches like its own held; empty for a run without a due time."""

    @property
    def unjudged(self) -> bool:
        """Whether what came back is not judged yet, so that its numbers are of requests and still move."""
        return self.run.state in (RunState.PLANNING, RunState.RUNNING) or "outcomes" not in self.run.facts

    def fact(self, name: str) -> Any:
        return self.run.facts.get(name)

    def part(self, name: str) -> dict[str, Any]:
        """A fact that is a mapping; empty where there is none."""
        found = self.run.facts.get(name)
        return dict(found) if isinstance(found, dict) else {}

    def count(self, name: str) -> int | None:
        found = self.run.facts.get(name)
        return found if isinstance(found, int) else None


def material(site: Site, run_id: str) -> Material:
    """Read it. SpecError when the ledger has no such run."""
    run, now = site.ledger.run(run_id), site.now()
    published = site.ledger.runs(run.workload, states=(RunState.PUBLISHED,), limit=PUBLISHED_LOOKED_AT)
    published.sort(key=_published_at)
    until = run.ended_at or now
    before = [one for one in published if one.run_id != run_id and _published_at(one) <= until]
    return Material(
        run=run,
        now=now,
        shards=tuple(site.ledger.shards(run_id)),
        batches=tuple(site.ledger.batches(run_id)),
        spends=tuple(site.ledger.spent(run_id=run_id)),
        stages=tuple(site.ledger.stages(run_id)),
        events=tuple(site.ledger.events(run_id, limit=EVENTS_SHOWN)),
        previous=before[-1] if before else None,
        visible=published[-1] if published else None,
        calibration=_calibration(site, run) if run.due_at is not None else "",
    )


def _calibration(site: Site, run: Run) -> str:
    history = past_batches(site.ledger, run.provider, run.model, now=site.now())
    return calibration(replayed(history)).said()


def _published_at(run: Run) -> datetime:
    return run.ended_at or run.updated_at
