"""One batch: who asked for it, its life, and its work."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from offpeak.emulator.journal import Tally
from offpeak.emulator.life import Life, Stage
from offpeak.emulator.quirks import Failure, Quirks
from offpeak.emulator.wire import JsonObject
from offpeak.emulator.work import LineWire, ResultFiles, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the creator of a batch said; only what its own wire shows again."""

    provider: str
    endpoint: str
    requests: int
    input_file_id: str = ""
    metadata: dict[str, str] | None = None
    output_life_seconds: float | None = None
    version: str = ""  # of the Anthropic API


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch of either provider. `life` says when; `work` holds what came out."""

    id: str
    number: int
    asked: Asked
    folder: Path
    quirks: Quirks
    life: Life
    wire: LineWire
    model: str | None = None
    queued_tokens: int = 0
    failures: list[Failure] = field(default_factory=list)
    work: Work | None = None
    checked: Future[None] = field(default_factory=Future)
    worked: Future[None] = field(default_factory=Future)
    assembled: Future[ResultFiles] | None = None
    shown_files: JsonObject | None = None  # ids of the result files, once they exist

    @property
    def source(self) -> Path:
        """The input, one request a line."""
        return self.folder / "input.jsonl"

    def cancel(self, now: float) -> None:
        """Asks for cancellation. A second time changes nothing."""
        if self.life.cancelled_at is None:
            self.life = replace(self.life, cancelled_at=now)

    def fail(self, failures: list[Failure]) -> None:
        self.failures = failures
        self.life = replace(self.life, invalid=True)

    def finished(self, now: float) -> int:
        """Lines that are done by the clock and in fact."""
        return min(self.life.finished(now), self.work.done if self.work else 0)

    def billed(self, now: float) -> Tally:
        return self.work.tally(self.finished(now)) if self.work else Tally()

    def result_files(self) -> ResultFiles | None:
        if self.assembled is None or not self.assembled.done():
            return None
        return self.assembled.result()

    def hidden(self, now: float) -> bool:
        return now < self.life.created_at + self.quirks.absent_seconds

    def unlisted(self, now: float) -> bool:
        return now < self.life.created_at + self.quirks.unlisted_seconds

    def live(self, now: float) -> bool:
        return not self.life.stage(now).terminal


NEEDS_WORK = (Stage.FINALIZING, Stage.COMPLETED, Stage.EXPIRED, Stage.CANCELLED)
