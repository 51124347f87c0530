"""Where the demo keeps its things, and that only one of its kind runs there."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from offpeak.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder of the project, kept between runs and never shared with a user's own Airflow."""

    root: Path
    """The project: it has `dags/` and may have `plugins/`."""
    folder: Path

    @property
    def airflow(self) -> Path:
        return self.folder / "airflow"

    @property
    def emulator(self) -> Path:
        return self.folder / "emulator"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def dags(self) -> Path:
        return self.root / "dags"

    @property
    def plugins(self) -> Path:
        return self.root / "plugins"


def place_in(root: Path, name: str) -> Place:
    """The folder `name` of the project at `root`. SpecError when `root` is no project."""
    if not (root / "dags").is_dir():
        raise SpecError(f"There is no folder dags in {root}. Run this in the project's own folder.")
    return Place(root=root.resolve(), folder=root.resolve() / name)


@contextmanager
def alone(place: Place) -> Iterator[None]:
    """Nobody else works in this place during the block. SpecError when somebody does."""
    place.folder.mkdir(parents=True, exist_ok=True)
    with (place.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpecError(
                f"`make demo` or `make up` is already running in {place.folder}. End it first (Ctrl-C)."
            ) from None
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does; a second signal does not disturb the clearing up."""

    def leave(number: int, frame: FrameType | None) -> None:
        for which in watched:
            signal.signal(which, signal.SIG_IGN)
        raise KeyboardInterrupt

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, leave) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def environ() -> dict[str, str]:
    """The environment without the variables that say where another Offpeak keeps its state."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OFFPEAK_")}
