"""Asking: all requests of a held shard that have no answer yet, as fast as the account's limits allow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from offpeak.blocks import lines_of
from offpeak.errors import OutcomeUnknown, ProviderBusy, RunEnded
from offpeak.estimate import output_guess
from offpeak.prices import cost
from offpeak.providers.provider import Client, Reply, Usage
from offpeak.quota import RealtimeLimits
from offpeak.realtime.segments import Recorder, recorded_note, replies, segment_folder
from offpeak.realtime.throttle import Clock, Throttle
from offpeak.realtime.tokens import TokenGuess
from offpeak.realtime.trying import STARVED, TRIES, Tries, given_up, pause_after
from offpeak.states import Route

if TYPE_CHECKING:
    from offpeak.ledger.records import Shard
    from offpeak.site import Site
    from offpeak.workload import Workload

LEASE = timedelta(minutes=2)
"""Renewed every BEAT_SECONDS. A process that stood still for longer sends nothing before it has it again."""
BEAT_SECONDS = 5.0
"""How often a shard looks at the ledger: for its run's end, and for others that share its account."""
DRAIN_SECONDS = 30.0
"""When it stops early, requests under way (they are paid) may take so long to be answered and recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a shard is, everything recorded before counted."""

    requests: int
    answered: int
    """Replies of any outcome."""
    usage: Usage
    cost_usd: Decimal | None
    """None when the model's realtime price is not known."""


Watch = Callable[[Progress], None]
"""Told the progress every BEAT_SECONDS, from a thread of its own. Whatever it raises stops the shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A shard to ask, and all that is needed for it."""

    workload: Workload
    site: Site
    client: Client
    shard: Shard
    """Held by the site's worker."""
    limits: RealtimeLimits
    clock: Clock
    watch: Watch | None = None
    due_at: datetime | None = None
    folder: str = field(kw_only=True)
    """Of the run, in the store."""

    @property
    def whose(self) -> str:
        key = self.shard.key
        return f"shard {key.number} of run {key.run_id}, round {key.round}"


class Asking:
    """One call of `run`: workers that take turns, the recorder, and the beat that keeps the lease."""

    def __init__(self, task: Task) -> None:
        shard = task.shard
        self._task, self._clock = task, task.clock
        folder = segment_folder(task.folder, shard.key.round, shard.key.number)
        self._recorder = Recorder(task.site.store, folder)
        self._throttle = Throttle(task.limits, clock=task.clock)
        past = task.site.ledger.tokens_per_request(task.workload.name, shard.model)
        self._guess = TokenGuess(
            output_tokens=past[1] if past else output_guess(task.workload),
            line_bytes=shard.size_bytes / max(shard.request_count, 1),
        )
        self._done: set[str] = set()
        self._usage, self._cost = Usage(), Decimal(0)
        self._under_way: set[asyncio.Task[object] | None] = set()
        self._stopping = False
        self._failures_in_row = 0
        self._answered_at = self._held_until = task.clock.time()

    @property
    def progress(self) -> Progress:
        price = self._task.workload.priced
        return Progress(
            requests=self._task.shard.request_count,
            answered=len(self._done),
            usage=self._usage,
            cost_usd=self._cost if price is not None else None,
        )

    async def run(self, path: Path) -> None:
        """Ask what is not recorded of the shard file at `path`; returns when every request has its reply.

        Raises what stopped it; whatever was answered until then is recorded.
        """
        for reply in replies(self._task.site, self._task.shard):
            self._count(reply)
        left = self._task.shard.request_count - len(self._done)
        if left <= 0:
            return
        keepers: list[asyncio.Task[None]] = []
        workers: list[asyncio.Task[None]] = []
        try:
            await self._take_part()
            lines = self._unanswered(path)
            keepers = [asyncio.create_task(work) for work in (self._beats(), self._recorder.keep_flushing())]
            count = min(self._task.limits.concurrency, left)
            workers = [asyncio.create_task(self._work(lines)) for _ in range(count)]
            await self._until_done(workers, keepers)
        finally:
            await self._end(workers, keepers)

    async def _until_done(self, workers: list[asyncio.Task[None]], keepers: list[asyncio.Task[None]]) -> None:
        pending = set(workers)
        while pending:
            finished, _ = await asyncio.wait({*pending, *keepers}, return_when=asyncio.FIRST_COMPLETED)
            for one in finished:
                one.result()  # a keeper ends only by raising
            pending -= finished

    async def _end(self, workers: list[asyncio.Task[None]], keepers: list[asyncio.Task[None]]) -> None:
        """Let requests under way come home, end everything else, and write down what there is."""
        self._stopping = True
        paid = {one for one in workers if one in self._under_way}
        for one in workers:
            if one not in paid:
                one.cancel()
        if paid:
            await asyncio.wait(paid, timeout=DRAIN_SECONDS)
        for one in (*workers, *keepers):
            one.cancel()
        await asyncio.gather(*workers, *keepers, return_exceptions=True)
        try:
            await self._recorder.finish()
        finally:
            await self._task.client.aclose()

    def _unanswered(self, path: Path) -> Iterator[tuple[str, bytes]]:
        """The custom_id and line of each request that had no reply at the start; one at a time is held."""
        custom_id = self._task.workload.provider.custom_id
        done = frozenset(self._done)
        for raw in lines_of(path):
            named = custom_id(orjson.loads(raw))
            if named not in done:
                yield named, raw

    async def _work(self, lines: Iterator[tuple[str, bytes]]) -> None:
        for custom_id, raw in lines:
            if self._stopping:
                return
            await self._answer(custom_id, raw)

    async def _answer(self, custom_id: str, raw: bytes) -> None:
        """One request, until it has its reply. ProviderRefused and ProviderBusy are about all of them."""
        tries = Tries()
        while not self._stopping:
            expected = self._guess.of(len(raw))
            async with self._throttle.turn(expected) as sent_at:
                await self._still_ours()
                mine = asyncio.current_task()
                self._under_way.add(mine)
                try:
                    reply = await self._ask(custom_id, raw)
                    self._throttle.correct(expected, self._tokens(reply, expected))
                    self._guess.learn(len(raw), reply.usage)
                    await self._record(reply)
                    return
                except (ProviderBusy, OutcomeUnknown) as error:
                    tries, failure = tries.after(error), error
                finally:
                    self._under_way.discard(mine)
            if await self._given_up(custom_id, failure, tries, sent_at=sent_at):
                return

    async def _ask(self, custom_id: str, raw: bytes) -> Reply:
        body = self._task.workload.provider.body_of(orjson.loads(raw))
        return await self._task.client.aask(self._task.workload.ask, custom_id, body)

    @staticmethod
    def _tokens(reply: Reply, expected: float) -> float:
        return reply.usage.input_tokens + reply.usage.output_tokens or expected

    async def _given_up(
        self, custom_id: str, error: ProviderBusy | OutcomeUnknown, tries: Tries, *, sent_at: float
    ) -> bool:
        """Wait before the next try of this request; True when there is none and it has its reply."""
        self._failures_in_row += 1
        if tries.used_up:
            await self._record(given_up(custom_id, error, tries), answered=False)
        site, due_at = self._task.site, self._task.due_at
        left = None if due_at is None else due_at - site.now()
        pause = pause_after(error, tries, left=left, draw=random.random())  # noqa: S311
        if pause.too_long or self._nothing_works():
            raise self._let_go(error, pause.seconds if pause.too_long else None)
        if pause.everybody:
            self._throttle.slow_down(sent_at, pause.seconds)
        elif not tries.used_up:
            await self._clock.sleep(pause.seconds)
        return tries.used_up

    def _nothing_works(self) -> bool:
        """The provider is down, or declines everything: no reason to use up the tries of every request."""
        starved = self._clock.time() - self._answered_at > STARVED.total_seconds()
        return starved or self._failures_in_row > TRIES * self._task.limits.concurrency

    def _let_go(self, error: ProviderBusy | OutcomeUnknown, wait_seconds: float | None) -> ProviderBusy:
        return ProviderBusy(
            f"The realtime route does not answer {self._task.whose}, now: {error}\n"
            f"{len(self._done):,} of its {self._task.shard.request_count:,} requests are recorded and are not asked "
            "again; the rest is asked later.",
            retry_after_seconds=wait_seconds,
            code=getattr(error, "code", ""),
        )

    async def _record(self, reply: Reply, *, answered: bool = True) -> None:
        await self._recorder.add(reply)
        self._count(reply)
        if answered:
            self._failures_in_row, self._answered_at = 0, self._clock.time()

    def _count(self, reply: Reply) -> None:
        self._done.add(reply.custom_id)
        self._usage += reply.usage
        self._cost += cost(self._task.workload.priced, reply.usage, Route.REALTIME) or 0

    async def _take_part(self) -> None:
        """The first beat. Where others already use the account's rate, they get time to notice."""
        parts = await self._beat()
        if parts > 1 and self._task.limits.stated:
            await self._clock.sleep(BEAT_SECONDS)
            await self._beat()

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._beat()

    async def _beat(self) -> int:
        """Renew the lease, and divide the account's limits by those who use them."""
        began = self._clock.time()
        parts = await asyncio.to_thread(self._look)
        self._held_until = began + LEASE.total_seconds()
        self._throttle.divide(parts)
        return parts

    def _look(self) -> int:
        site, shard, progress = self._task.site, self._task.shard, self.progress
        run = site.ledger.run(shard.key.run_id)
        if run.state.ended:
            raise RunEnded(
                f"Run {run.run_id} is {run.state}; no more of {self._task.whose}, is asked. {progress.answered:,} of "
                f"its {progress.requests:,} requests are recorded, and are not asked again."
            )
        note = recorded_note(progress.answered, progress.requests)
        parts = site.ledger.realtime.beat(shard.key, site.worker, LEASE, now=site.now(), note=note)
        if self._task.watch is not None:
            self._task.watch(progress)
        return parts

    async def _still_ours(self) -> None:
        """Nothing is sent on a lease that ran out while this process stood still."""
        if self._clock.time() >= self._held_until:
            await self._beat()
