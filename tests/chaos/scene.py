"""Scenes: who runs, who dies where, in which weather; and the stage on which they are played."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from offpeak.emulator import Emulator
from offpeak.ledger import Ledger
from tests.chaos.boundaries import Boundary, read_log
from tests.chaos.child import ROWS
from tests.chaos.job import Job, Task
from tests.chaos.weather import Weather
from tests.chaos.zygote import Zygote
from tests.run.making import Place

Attempt = tuple[Boundary | None, ...]
"""Processes that run at once; each with the boundary at which it dies, None for one that lives."""
ALONE: Attempt = (None,)
TOGETHER: Attempt = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scenario. The last attempt always lives: what it leaves behind is what is proven."""

    weather: Weather
    provider: str
    ledger: str
    attempts: tuple[Attempt, ...] = (ALONE,)
    lanes: int = 1
    shard_rows: int = 6
    set_back_seconds: float = 0.0
    """So much the clock is set back after each attempt."""

    def __str__(self) -> str:
        told = " | ".join(" & ".join(str(kill or "lives") for kill in attempt) for attempt in self.attempts)
        faults = ", ".join(f"{fault.name}×{fault.times}" for fault in self.weather.faults)
        lanes = f", {self.lanes} lanes" if self.lanes > 1 else ""
        return f"{self.weather.name} ({faults}), {self.provider}, {self.ledger}{lanes}: {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A scene that was played, before it is judged."""

    scene: Scene
    place: Place
    crashes: int
    mishaps: tuple[str, ...]
    """What went wrong on stage: a process that ended by itself without success, or hung."""
    crossed: tuple[Boundary, ...]
    """By the first process."""


class Stage:
    """One emulator, one zygote, and fresh ledgers. Scenes are played on it one after the other."""

    def __init__(self, emulator: Emulator, zygote: Zygote, folder: Path, postgres: Callable[[], str]) -> None:
        """`postgres` gives the URL of a new database with an up-to-date ledger; asked only when needed."""
        self._emulator, self._zygote, self._folder, self._postgres = emulator, zygote, folder, postgres
        self._migrated: Path | None = None

    @contextmanager
    def played(self, scene: Scene) -> Iterator[Played]:
        """Play the scene to its end; its place is gone after the block."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            place = self._place(scene, folder)
            self._set_weather(scene)
            place.rows(ROWS)
            yield self._play(scene, place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _place(self, scene: Scene, folder: Path) -> Place:
        url = self._postgres() if scene.ledger == "postgres" else self._sqlite(folder)
        return Place(folder=folder, emulator=self._emulator, provider=scene.provider, ledger_url=url)

    def _sqlite(self, folder: Path) -> str:
        if self._migrated is None:
            self._migrated = self._folder / "migrated.sqlite"
            bring_up(f"sqlite:///{self._migrated}")
        shutil.copy(self._migrated, folder / "ledger.sqlite")
        return f"sqlite:///{folder}/ledger.sqlite"

    def _set_weather(self, scene: Scene) -> None:
        control = self._emulator.control
        control.reset()
        for fault in scene.weather.faults:
            control.add_fault(fault.name, **fault.details(scene.provider))

    def _play(self, scene: Scene, place: Place) -> Played:
        crashes, mishaps = 0, []
        tasks: list[tuple[Task, Attempt]] = [(scene.weather.task, attempt) for attempt in scene.attempts]
        if scene.weather.task == "cancel":  # what was cancelled is asked by the next run
            tasks.append(("run", ALONE))
        for number, (task, attempt) in enumerate(tasks):
            behind = number * scene.set_back_seconds
            if scene.weather.task == "cancel" and task == "run":
                self._emulator.control.clear_faults()
            jobs = [
                replace(
                    self._job(scene, place, f"{number}-{which}"), task=task, kill=kill, behind_seconds=behind
                )
                for which, kill in enumerate(attempt)
            ]
            for job, ended in self._at_once(jobs):
                crashes += ended == "killed"
                if ended != "done" and not (ended == "killed" and job.kill):
                    mishaps.append(f"process {job.name} {ended}: {job.output.read_text()[-3000:]}")
        crossed = tuple(read_log(place.folder / "0-0.crossed"))
        return Played(scene=scene, place=place, crashes=crashes, mishaps=tuple(mishaps), crossed=crossed)

    def _job(self, scene: Scene, place: Place, name: str) -> Job:
        assert place.ledger_url is not None
        return Job(
            folder=str(place.folder),
            name=name,
            url=self._emulator.url,
            provider=scene.provider,
            ledger_url=place.ledger_url,
            lanes=scene.lanes,
            settle_seconds=scene.weather.settle_seconds,
            shard_rows=scene.shard_rows,
        )

    def _at_once(self, jobs: list[Job]) -> list[tuple[Job, str]]:
        pids = [self._zygote.start(job) for job in jobs]
        return [(job, self._zygote.wait(pid)) for job, pid in zip(jobs, pids, strict=True)]


def bring_up(url: str) -> None:
    """Make the ledger's schema, once: what is proven here is the state machine, not its migration."""
    ledger = Ledger(url)
    ledger.runs(limit=1)
    ledger.close()
