"""What a child process is told to do, and where it leaves its traces."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tests.chaos.boundaries import Boundary

Task = Literal["run", "cancel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One process's work in one scenario."""

    folder: str
    """The scenario's own: store, ledger, temporary files and logs lie in it."""
    name: str
    """Of this process within the scenario, for its files."""
    url: str
    """The emulator's."""
    provider: str
    ledger_url: str
    task: Task = "run"
    lanes: int = 1
    """Shards that are advanced at once; with one, the order of the boundaries is always the same."""
    kill: Boundary | None = None
    settle_seconds: float = 0.3
    shard_rows: int = 6
    behind_seconds: float = 0.0
    """How far this process's clock is behind."""

    @property
    def log(self) -> Path:
        return Path(self.folder) / f"{self.name}.crossed"

    @property
    def output(self) -> Path:
        return Path(self.folder) / f"{self.name}.output"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        record = json.loads(text)
        kill = record.pop("kill")
        return cls(**record, kill=None if kill is None else Boundary(*kill))
