"""One night: batches with the emulator's lives, and one realtime route that answers at a limited pace."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from offpeak.decision import Facts, Finish, ShardFacts
from offpeak.emulator.latency import Draw
from offpeak.emulator.life import Life, Stage
from offpeak.forecast import PastBatch
from offpeak.states import Route, ShardState
from tests.nights.scenario import FIRST_NIGHT, Scenario, Weather

DAY_SECONDS = 86_400.0
BATCH, REALTIME = 0.5, 1.0
"""What one request costs, of its realtime price."""


@dataclass(slots=True, kw_only=True)
class Job:
    """Requests on the realtime route, from `start` to `end` in seconds of the night."""

    rows: int
    start: float
    end: float

    def answered(self, now: float) -> int:
        if now >= self.end:
            return self.rows
        return int(self.rows * max(now - self.start, 0.0) / (self.end - self.start))


@dataclass(slots=True, kw_only=True)
class Part:
    """One shard of the night."""

    number: int
    life: Life
    kept: int = 0  # answered by a batch that was cancelled
    job: Job | None = None  # its rest in realtime
    had_batch: bool = True

    @property
    def escalated(self) -> bool:
        return self.job is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a night came to."""

    late_seconds: float  # 0 when in time
    cost: float  # of realtime
    realtime_share: float  # of the rows
    cancelled_billed: float  # what cancelled batches had billed, of realtime


class Night:
    """The state of one night; a policy asks `facts`, and says `cancel` and `straight`."""

    def __init__(self, scenario: Scenario, *, seed: int, number: int) -> None:
        self.scenario, self.number, self.seed = scenario, number, seed
        self.started_at = FIRST_NIGHT + timedelta(days=number)
        self.due_at = self.started_at + timedelta(seconds=scenario.window_seconds)
        self.parts = [
            Part(number=shard + 1, life=self._life(shard, scenario.requests))
            for shard in range(scenario.shards)
        ]
        dice = random.Random(f"{seed}/{scenario.name}/{number}")
        self.weather = Weather.of(scenario, dice, slow=scenario.latency.slow(self._draw(0, 1, number)))
        self._free_at = 0.0  # the realtime route has answered all it was given

    def _draw(self, shard: int, requests: int, night: int) -> Draw:
        number = 1 + self.number * 1_000 + shard + (night - self.number) * 100
        return Draw(seed=self.seed, number=number, provider="simulated", requests=requests, night=night)

    def _life(self, shard: int, requests: int, *, later: int = 0) -> Life:
        phases = self.scenario.latency.phases(self._draw(shard, requests, self.number + later))
        return Life(
            created_at=later * DAY_SECONDS, phases=phases, window_seconds=DAY_SECONDS, requests=requests
        )

    def at(self, moment: datetime) -> float:
        return (moment - self.started_at).total_seconds()

    def moment(self, seconds: float) -> datetime:
        return self.started_at + timedelta(seconds=seconds)

    # -- what a policy does
    def straight(self, part: Part) -> None:
        """Answer the shard in realtime from the start, without a batch."""
        part.had_batch = False
        part.job = self._job(part.life.requests, ready=self.weather.reaction_seconds)

    def cancel(self, part: Part, now: float) -> None:
        """Cancel its batch; what that had not done goes to realtime once it has drained. One that completes
        first is kept whole."""
        asked = now + self.weather.reaction_seconds
        if part.escalated or (part.life.ended_at <= asked and part.life.stage(asked) is Stage.COMPLETED):
            return
        part.life = replace(part.life, cancelled_at=asked)
        part.kept = part.life.finished(asked)
        part.job = self._job(part.life.requests - part.kept, ready=part.life.ended_at)

    def _job(self, rows: int, *, ready: float) -> Job:
        start = max(self._free_at, ready)
        pace = self.scenario.requests_per_minute / 60 * self.weather.pace
        end = start + max(rows, 1) / pace
        away, until = self.weather.outage_at, self.weather.outage_at + self.weather.outage_seconds
        if start < until and away < end:
            end += until - max(start, away)
        self._free_at = end
        return Job(rows=rows, start=start, end=end)

    # -- what a policy sees
    def collected(self, part: Part, now: float) -> bool:
        if part.job is not None:
            return now >= part.job.end
        return part.life.stage(now) is Stage.COMPLETED

    def done(self, part: Part, now: float) -> int:
        """What the ledger says is answered of it; old by the weather's lag."""
        if part.job is not None:
            return part.kept + part.job.answered(now)
        if self.collected(part, now):
            return part.life.requests
        if not self.scenario.tells_progress:
            return 0
        return part.life.finished(now - self.weather.lag_seconds)

    def facts(
        self, now: float, finishes: Sequence[Finish | None], *, margin: timedelta = timedelta(0)
    ) -> Facts:
        """All shards, with the forecast of those in a batch."""
        scenario = self.scenario
        shards = tuple(
            ShardFacts(
                number=part.number,
                requests=part.life.requests,
                done=self.done(part, now),
                route=Route.REALTIME if part.escalated else Route.BATCH,
                state=ShardState.COLLECTED if self.collected(part, now) else ShardState.IN_FLIGHT,
                batch_age=timedelta(seconds=now),
                finish=finish,
            )
            for part, finish in zip(self.parts, finishes, strict=True)
        )
        return Facts(
            now=self.moment(now),
            due_at=self.due_at,
            shards=shards,
            realtime=scenario.limits,
            tokens_per_request=0,
            drain=scenario.drain,
            publish_takes=scenario.publish_takes,
            margin=margin,
            requests_total=scenario.total,
        )

    # -- what came of it
    def ends(self, part: Part) -> float:
        if part.job is not None:
            return part.job.end
        life, later = part.life, 0
        while life.stage(life.ended_at) is not Stage.COMPLETED:  # expired: the rest is sent again
            later += 1
            rest = life.requests - life.finished(life.ended_at)
            life = self._life(part.number - 1, rest, later=later)
        return life.ended_at

    def outcome(self) -> Outcome:
        total = self.scenario.total
        ready = max(self.ends(part) for part in self.parts) + self.weather.publish_seconds
        realtime = sum(part.job.rows for part in self.parts if part.job is not None)
        kept = sum(part.kept for part in self.parts)
        return Outcome(
            late_seconds=max(ready - self.scenario.window_seconds, 0.0),
            cost=(realtime * REALTIME + (total - realtime) * BATCH) / total,
            realtime_share=realtime / total,
            cancelled_billed=kept * BATCH / total,
        )

    def past(self) -> list[PastBatch]:
        """What the ledger holds of this night's batches afterwards."""
        return [
            PastBatch(
                requests=part.life.requests,
                created_at=self.started_at,
                lasted=timedelta(seconds=part.life.ended_at - part.life.created_at),
                finished=part.life.stage(part.life.ended_at) is Stage.COMPLETED,
            )
            for part in self.parts
            if part.had_batch
        ]
