"""A place where the site and the emulator have one clock between them, which moves only when it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from offpeak import Workload
from offpeak.advance import Wait, advance
from offpeak.emulator import Draw, Emulator, Phases
from offpeak.ledger import Run
from offpeak.polling import Pace
from offpeak.providers.provider import Client
from offpeak.run import check, connect, publish
from offpeak.site import Site
from offpeak.states import RunState
from tests.run.making import Place, hourly

STARTS = hourly(8).end
"""The end of the interval of the runs: due times count from here."""
ORDINARY = Phases(
    validating_seconds=10,
    running_seconds=300,
    finalizing_seconds=10,
    cancelling_seconds=30,
    waiting_seconds=60,
)
LONGEST_NIGHT = timedelta(days=3)


@dataclass(slots=True)
class Latencies:
    """The phases of each batch, by its number; ORDINARY for the others."""

    by_number: Mapping[int, Phases] = field(default_factory=dict)

    def phases(self, draw: Draw) -> Phases:
        return self.by_number.get(draw.number, ORDINARY)


def stuck(at: float = 0.0, *, cancelling_seconds: float = 60) -> Phases:
    """A batch that does this share of its lines and then nothing."""
    return replace(ORDINARY, stalls_at=at, cancelling_seconds=cancelling_seconds)


@dataclass(kw_only=True)
class Evening(Place):
    """A place in virtual time."""

    passed: timedelta = timedelta(0)
    before_cancel: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return STARTS + self.passed

    def move(self, span: timedelta) -> None:
        self.emulator.control.advance(span.total_seconds())
        self.passed += span

    def site(self, pace: Pace | None = None) -> Site:
        made = super().site(pace or Pace())
        return replace(made, now=self.now)

    @contextmanager
    def client(self, workload: Workload, site: Site) -> Iterator[Client]:
        made = connect(workload, site)
        try:
            yield _Told(made, self)
        finally:
            made.close()

    def drive(self, workload: Workload, run_id: str, site: Site | None = None) -> Run:
        """Carry the run to its end as one worker does, moving the clock to whatever comes next."""
        site = site or self.site()
        numbers = sorted({shard.key.number for shard in site.ledger.shards(run_id)})
        with self.client(workload, site) as client:
            while waits := self.look(workload, site, client, run_id, numbers):
                nearest = min(min(one.until, one.wake or one.until) for one in waits)
                self.move(max(nearest - self.now(), timedelta(seconds=1)))
                assert self.passed < LONGEST_NIGHT, waits
        check(workload, site, run_id)
        publish(workload, site, run_id)
        return site.ledger.run(run_id)

    def look(
        self, workload: Workload, site: Site, client: Client, run_id: str, numbers: list[int]
    ) -> list[Wait]:
        """One step of every shard; the waits of those that are not done."""
        steps = [advance(workload, site, client, run_id, number) for number in numbers]
        return [step for step in steps if isinstance(step, Wait)]

    def until(self, workload: Workload, site: Site, run_id: str, wanted: Callable[[Run], bool]) -> Run:
        """Carry the run on until something is true of it."""
        numbers = sorted({shard.key.number for shard in site.ledger.shards(run_id)})
        with self.client(workload, site) as client:
            while not wanted(run := site.ledger.run(run_id)):
                waits = self.look(workload, site, client, run_id, numbers)
                assert waits, "it ended before"
                nearest = min(min(one.until, one.wake or one.until) for one in waits)
                self.move(max(nearest - self.now(), timedelta(seconds=1)))
                assert self.passed < LONGEST_NIGHT
        return run

    def realtime_calls(self) -> int:
        path = {"openai": "/v1/responses", "anthropic": "/v1/messages"}[self.provider]
        return self.emulator.control.count("POST", path)


class _Told:
    """The real client; says when a batch is about to be cancelled."""

    def __init__(self, client: Client, evening: Evening) -> None:
        self._client, self._evening = client, evening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def cancel(self, batch_id: str) -> Any:
        self._evening.before_cancel()
        return self._client.cancel(batch_id)


@contextmanager
def evening(folder: Path, provider: str, batches: Mapping[int, Phases] | None = None) -> Iterator[Evening]:
    """An evening at an emulator of its own, with these lives of its batches."""
    start = STARTS.timestamp()
    with Emulator(frozen=True, start=start, latency=Latencies(batches or {})) as emulator:
        yield Evening(folder=folder, emulator=emulator, provider=provider)


def published_at(run: Run) -> datetime:
    assert run.state is RunState.PUBLISHED, run.error
    assert run.ended_at is not None
    return run.ended_at.astimezone(UTC)


def wait_for(wanted: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)
