"""The throttle: when the next request may be sent, for all requests of a shard together.

It holds to the account's limits, stops all of them while the provider wants a rest, and goes on slower
after it. Time comes from a clock, so that tests need not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from offpeak.quota import RealtimeLimits

SHRINK = 0.5
"""The pace after a refusal, as a share of the pace before it."""
LEAST = 1 / 64
REGAIN_SECONDS = 60.0
"""After a refusal the pace grows back, evenly, to the whole in this time at most."""
_NEARLY = 1e-9


class Clock(Protocol):
    def time(self) -> float:
        """Seconds since some moment; never goes back."""

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    """The machine's own."""

    def time(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Bucket:
    """At most `per_minute` of something in any minute: it fills evenly, and holds what one second gives.

    One take may be larger than all it holds; the next ones then wait until that is made good. So in any
    minute it is exceeded by less than one take.
    """

    def __init__(self, per_minute: int | None, *, now: float) -> None:
        self._per_minute, self._at = per_minute, now
        self._held = self._room(1.0)

    def wait(self, amount: float, *, now: float, share: float) -> float:
        """Seconds until `amount` may be taken, at this share of the limit. 0 where there is no limit."""
        if self._per_minute is None:
            return 0.0
        room, rate = self._room(share), self._rate(share)
        self._held = min(room, self._held + (now - self._at) * rate)
        self._at = now
        short = min(amount, room) - self._held
        return short / rate if short > _NEARLY else 0.0

    def take(self, amount: float) -> None:
        """Also more than there is, and less than nothing: a wrong estimate is put right by it."""
        self._held -= amount

    def _room(self, share: float) -> float:
        return max(1.0, (self._per_minute or 0) * share / 60)

    def _rate(self, share: float) -> float:
        """Per second: what a full bucket gives at the start of a minute is taken off the minute."""
        limit, room = (self._per_minute or 0) * share, self._room(share)
        return (limit - room) / 60 if room > 1.0 else limit / 60


class Throttle:
    """Gives turns, in the order in which they are asked for. Lives in one event loop."""

    def __init__(self, limits: RealtimeLimits, *, clock: Clock) -> None:
        now = clock.time()
        self._clock, self._concurrency = clock, limits.concurrency
        self._requests = Bucket(limits.requests_per_minute, now=now)
        self._tokens = Bucket(limits.tokens_per_minute, now=now)
        self._parts = 1
        self._under_way = 0
        self._freed = asyncio.Event()
        self._line = asyncio.Lock()
        self._paused_until = self._shrunk_at = float("-inf")
        self._shrunk_to = 1.0

    def divide(self, parts: int) -> None:
        """Use one of so many equal parts of the account's limits from now on."""
        self._parts = max(parts, 1)
        self._freed.set()

    @property
    def pace(self) -> float:
        """The present share of the own part: 1 when the provider has not complained lately."""
        since = self._clock.time() - max(self._shrunk_at, self._paused_until)
        return min(1.0, self._shrunk_to + max(since, 0.0) / REGAIN_SECONDS)

    @asynccontextmanager
    async def turn(self, tokens: float) -> AsyncIterator[float]:
        """Wait until a request of about so many tokens may be sent; it is under way until the block ends.

        Gives the time at which it was let go, for `slow_down`.
        """
        async with self._line:
            sent_at = await self._let_go(tokens)
            self._under_way += 1
        try:
            yield sent_at
        finally:
            self._under_way -= 1
            self._freed.set()

    async def _let_go(self, tokens: float) -> float:
        while True:
            now, share = self._clock.time(), self.pace / self._parts
            if self._under_way >= max(1, int(self._concurrency * share)):
                self._freed.clear()
                await self._freed.wait()
                continue
            wait = max(
                self._paused_until - now,
                self._requests.wait(1, now=now, share=share),
                self._tokens.wait(tokens, now=now, share=share),
            )
            if wait <= 0:
                self._requests.take(1)
                self._tokens.take(tokens)
                return now
            await self._clock.sleep(wait)

    def correct(self, expected: float, actual: float) -> None:
        """A request took other tokens than it was let go with."""
        self._tokens.take(actual - expected)

    def slow_down(self, sent_at: float, pause_seconds: float) -> None:
        """The provider declined a request that was let go at `sent_at`: nothing is sent for so long, and all
        goes slower afterwards. Requests that were under way together and are declined together count once."""
        now = self._clock.time()
        if sent_at > self._shrunk_at:
            self._shrunk_to = max(LEAST, self.pace * SHRINK)
            self._shrunk_at = now
        self._paused_until = max(self._paused_until, now + pause_seconds)
