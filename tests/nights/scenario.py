"""What a simulated night is made of: the work, the account's limits, and the weather of the realtime route."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from offpeak.emulator.profiles import PROFILES, Profile
from offpeak.quota import RealtimeLimits

HOUR_SECONDS = 3_600.0
FIRST_NIGHT = datetime(2026, 1, 1, 21, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One workload on one provider, run once a night."""

    name: str
    profile: str
    shards: int
    requests: int  # of one shard
    window_seconds: float  # from submission to due
    requests_per_minute: int
    drain: timedelta = timedelta(minutes=10)
    publish_takes: timedelta = timedelta(minutes=3)
    tells_progress: bool = True  # some providers tell nothing before the end

    @property
    def latency(self) -> Profile:
        found = PROFILES[self.profile]
        assert isinstance(found, Profile)
        return found

    @property
    def total(self) -> int:
        return self.shards * self.requests

    @property
    def limits(self) -> RealtimeLimits:
        return RealtimeLimits(requests_per_minute=self.requests_per_minute, concurrency=10_000)


SCENARIOS = (
    Scenario(
        name="nightly",
        profile="typical",
        shards=8,
        requests=25_000,
        window_seconds=8 * HOUR_SECONDS,
        requests_per_minute=2_500,
    ),
    Scenario(
        name="nightly, silent",
        profile="typical",
        shards=8,
        requests=25_000,
        window_seconds=8 * HOUR_SECONDS,
        requests_per_minute=2_500,
        tells_progress=False,
    ),
    Scenario(
        name="hourly",
        profile="quick",
        shards=3,
        requests=2_000,
        window_seconds=0.75 * HOUR_SECONDS,
        requests_per_minute=1_000,
        drain=timedelta(minutes=5),
        publish_takes=timedelta(minutes=1),
    ),
    Scenario(
        name="congested",
        profile="congested",
        shards=8,
        requests=25_000,
        window_seconds=10 * HOUR_SECONDS,
        requests_per_minute=2_500,
    ),
    Scenario(
        name="slow account",
        profile="typical",
        shards=8,
        requests=25_000,
        window_seconds=8 * HOUR_SECONDS,
        requests_per_minute=600,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How one night treats the realtime route and those who use it. The policies do not know it."""

    pace: float  # of the account's limits, what is really answered
    outage_at: float  # seconds after the start, nothing is answered for a while
    outage_seconds: float
    reaction_seconds: float  # from a decision to the cancel
    lag_seconds: float  # the ledger's counts are so old
    publish_seconds: float

    @classmethod
    def of(cls, scenario: Scenario, dice: random.Random, *, slow: bool) -> Weather:
        """1 night in 50 the account answers at 40 to 80 % of its limits, on slow nights of the batches 1 in
        10; 1 night in 200 the realtime route is away for 5 to 30 minutes."""
        poor = dice.random() < (0.1 if slow else 0.02)
        outage = dice.random() < 0.005
        return cls(
            pace=dice.uniform(0.4, 0.8) if poor else dice.uniform(0.8, 1.0),
            outage_at=dice.uniform(0, scenario.window_seconds),
            outage_seconds=dice.uniform(300, 1_800) if outage else 0.0,
            reaction_seconds=dice.uniform(2, 60),
            lag_seconds=dice.uniform(0, 300),
            publish_seconds=scenario.publish_takes.total_seconds() * dice.uniform(0.3, 1.0),
        )
