"""Many nights of one policy, and what they came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.nights.night import Night, Outcome
from tests.nights.policies import POLICIES, Memory
from tests.nights.scenario import Scenario

WARM_UP = 30
"""Nights that are lived but not counted, for the policy to gather its history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """The counted nights of one policy in one scenario."""

    scenario: Scenario
    policy: str
    outcomes: tuple[Outcome, ...]
    p90_held: float | None

    @property
    def on_time(self) -> float:
        return sum(not one.late_seconds for one in self.outcomes) / len(self.outcomes)

    @property
    def cost(self) -> float:
        return sum(one.cost for one in self.outcomes) / len(self.outcomes)

    @property
    def dearest(self) -> float:
        return max(one.cost for one in self.outcomes)

    @property
    def beyond_bound(self) -> int:
        """Nights that cost more than realtime plus what cancelled batches had billed."""
        return sum(one.cost > 1.0 + one.cancelled_billed + 1e-9 for one in self.outcomes)

    @property
    def escalated(self) -> float:
        """The share of nights on which anything went realtime."""
        return sum(one.realtime_share > 0 for one in self.outcomes) / len(self.outcomes)

    @property
    def late_minutes(self) -> list[float]:
        """Of the late nights, rising."""
        return sorted(one.late_seconds / 60 for one in self.outcomes if one.late_seconds)


def live(
    scenario: Scenario, policy: str, *, nights: int, seed: int, tell: Callable[[int], None] = lambda _: None
) -> Year:
    """`nights` counted nights after the warm-up. The same nights for every policy of a seed."""
    memory, act, outcomes = Memory(), POLICIES[policy], []
    for number in range(WARM_UP + nights):
        night = Night(scenario, seed=seed, number=number)
        act(night, memory)
        memory.batches.extend(night.past())
        if number >= WARM_UP:
            outcomes.append(night.outcome())
            tell(len(outcomes))
    held = memory.held / memory.forecasts if memory.forecasts else None
    return Year(scenario=scenario, policy=policy, outcomes=tuple(outcomes), p90_held=held)


def at_rank(rising: list[float], level: float) -> float | None:
    """The quantile of a sorted list; None of an empty one."""
    return rising[min(int(level * len(rising)), len(rising) - 1)] if rising else None
