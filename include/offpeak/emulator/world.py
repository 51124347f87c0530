"""All state of one emulator, and the batches' passage through it."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from offpeak.emulator.batch import NEEDS_WORK, Asked, Batch
from offpeak.emulator.clock import Clock
from offpeak.emulator.fault_table import Strikes
from offpeak.emulator.faults import FaultBook, Target
from offpeak.emulator.files import Files
from offpeak.emulator.journal import Create, Journal, Tally
from offpeak.emulator.latency import Draw, night_of
from offpeak.emulator.life import Life, Stage
from offpeak.emulator.model import StandIn
from offpeak.emulator.options import Options
from offpeak.emulator.quirks import quirks_of
from offpeak.emulator.tokens import PromptCache
from offpeak.emulator.twists import Twist
from offpeak.emulator.wire import ApiError, Ids, JsonObject
from offpeak.emulator.work import LineWire

WORKERS = 3
HOUR_SECONDS = 3_600.0


class World:
    """Shared by all connections. Batches are worked on in threads; everything else is on the loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ids = Ids()
        self.folder = Path(tempfile.mkdtemp(prefix="offpeak-emulator-"))
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="emulator-work")
        self.stop = threading.Event()
        self._start()

    def _start(self) -> None:
        options = self.options
        self.clock = Clock(start=options.start, speed=options.speed, frozen=options.frozen)
        self.latency = options.latency
        self.faults = FaultBook(seed=options.seed)
        self.journal = Journal()
        self.files = Files()
        self.batches: dict[str, Batch] = {}
        self.stand_in = StandIn()
        self.cache = PromptCache()
        self._numbers = itertools.count(1)

    def reset(self) -> None:
        """Forgets everything: batches, files, faults, counts, and the clock's jumps."""
        self.stop.set()
        self.stop = threading.Event()
        for entry in self.folder.iterdir():
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
        self._start()

    def close(self) -> None:
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def now(self) -> float:
        return self.clock.now()

    def new_path(self) -> Path:
        return self.folder / self.ids.new("part-")

    def open_batch(self, asked: Asked, *, prefix: str, path: str, wire: LineWire) -> Batch:
        """A new batch with its faults and its phases decided; nothing of it runs yet."""
        now, number = self.now(), next(self._numbers)
        if self.journal.creates_since(asked.provider, now - HOUR_SECONDS) >= self.options.creates_per_hour:
            limit = f"Batch creation limit of {self.options.creates_per_hour} per hour reached."
            raise ApiError(status=429, message=limit, type="rate_limit_error", code="rate_limit_exceeded")
        quirks = quirks_of(self.faults.strike_all(Target(method="POST", path=path), Strikes.BATCH))
        options = self.options
        draw = Draw(
            seed=options.seed,
            number=number,
            provider=asked.provider,
            requests=asked.requests,
            night=night_of(now),
        )
        phases = quirks.stretch(self.latency.phases(draw), options.window_seconds)
        life = Life(
            created_at=now, phases=phases, window_seconds=options.window_seconds, requests=asked.requests
        )
        batch_id = self.ids.new(prefix)
        folder = self.folder / batch_id
        folder.mkdir()
        return Batch(
            id=batch_id, number=number, asked=asked, folder=folder, quirks=quirks, life=life, wire=wire
        )

    def start_batch(
        self, batch: Batch, prepare: Callable[[Batch], None], custom_ids: tuple[str, ...]
    ) -> None:
        """Commits the batch: from here on it is listed, counted and worked on, answered or not."""
        self.batches[batch.id] = batch
        self.journal.created(
            Create(
                provider=batch.asked.provider,
                batch_id=batch.id,
                created_at=batch.life.created_at,
                requests=batch.asked.requests,
                custom_ids=custom_ids,
                metadata=batch.asked.metadata,
            )
        )
        self.pool.submit(_carry_out, batch, prepare, self.stop)

    def find(self, batch_id: str, provider: str) -> Batch | None:
        batch = self.batches.get(batch_id)
        if batch is None or batch.asked.provider != provider or batch.hidden(self.now()):
            return None
        return batch

    def listed(self, provider: str) -> list[Batch]:
        """The batches of a provider, newest first."""
        now = self.now()
        mine = (b for b in self.batches.values() if b.asked.provider == provider and not b.unlisted(now))
        return sorted(mine, key=lambda b: -b.number)

    async def settle(self, batch: Batch) -> Stage:
        """The batch's stage by the clock, once the work behind it is done in fact.

        Waits for that work, but no longer than `settle_seconds`; then the batch shows the stage before.
        """
        now = self.now()
        stage = batch.life.stage(now)
        if stage is Stage.VALIDATING:
            return stage
        if not await self._done(batch.checked):
            return Stage.VALIDATING
        stage = batch.life.stage(now)
        if stage not in NEEDS_WORK:
            return stage
        before = Stage.CANCELLING if batch.life.cancelled_at is not None else Stage.IN_PROGRESS
        if not await self._done(batch.worked):
            return before
        if not stage.terminal:
            return stage
        if batch.assembled is None:
            batch.assembled = self.pool.submit(_assemble, batch, stage)
        if not await self._done(batch.assembled):
            return before
        return stage

    def twist(self, path: str, body: JsonObject, *, custom_id: str = "") -> Twist | None:
        """The line fault that strikes this line or realtime request, if one does."""
        if not self.faults.any_lines():
            return None
        import orjson

        target = Target(
            method="POST",
            path=path,
            custom_id=custom_id,
            body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS),
        )
        return Twist.of(self.faults.strike(target, Strikes.LINE))

    def enqueued_tokens(self, model: str) -> int:
        now = self.now()
        return sum(b.queued_tokens for b in self.batches.values() if b.model == model and b.live(now))

    def billed(self, provider: str) -> Tally:
        """What was billed so far: realtime answers and the lines of batches that are done."""
        now, total = self.now(), Tally()
        parts = [b.billed(now) for b in self.batches.values() if b.asked.provider == provider]
        for part in [*parts, self.journal.realtime[provider]]:
            total.add(
                requests=part.requests,
                input_tokens=part.input_tokens,
                cached_tokens=part.cached_tokens,
                output_tokens=part.output_tokens,
            )
        return total

    async def _done(self, future: Future[Any]) -> bool:
        if not future.done():
            await asyncio.wait([asyncio.wrap_future(future)], timeout=self.options.settle_seconds)
        if future.done():
            future.result()  # a bug in the emulator's own work must show as a 500, not as a slow batch
        return future.done()


def _carry_out(batch: Batch, prepare: Callable[[Batch], None], stop: threading.Event) -> None:
    """Runs in a thread: checks the input, then answers the lines that will be finished."""
    try:
        prepare(batch)
        batch.checked.set_result(None)
        if batch.work is not None:
            batch.work.run(batch.wire, until=lambda: batch.life.finished(float("inf")), stop=stop)
        batch.worked.set_result(None)
    except BaseException as error:
        for future in (batch.checked, batch.worked):
            if not future.done():
                future.set_exception(error)
        raise


def _assemble(batch: Batch, stage: Stage) -> Any:
    if batch.work is None:
        raise RuntimeError(f"batch {batch.id} ended as {stage.value} without work")
    finished = batch.finished(batch.life.ended_at)
    return batch.work.assemble(batch.wire, finished=finished, ending=stage, quirks=batch.quirks)
