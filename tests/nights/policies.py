"""The four ways to be in time. Offpeak's is the library's own decision over the library's own forecast."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from offpeak.decision import Action, Finish, decide, first_routes, realtime_takes, usual_margin
from offpeak.forecast import History, PastBatch, Progress, of_share
from offpeak.forecast.finish import of_survival
from offpeak.forecast.history import MOST, Chosen
from offpeak.states import Route
from tests.nights.night import Night, Part

LAST_LOOK_SECONDS = 5 * 86_400.0


@dataclass(slots=True)
class Memory:
    """What the ledger remembers of a policy's own past nights, and how its forecasts at submission held."""

    batches: deque[PastBatch] = field(default_factory=lambda: deque(maxlen=MOST))
    forecasts: int = 0
    held: int = 0

    def like(self, night: Night) -> Chosen:
        """All shards of a night are alike: the history is searched once."""
        return History(self.batches).like(night.scenario.requests, night.started_at)


Policy = Callable[[Night, Memory], None]


def batch_only(night: Night, memory: Memory) -> None:
    """Send, and wait."""


def realtime_only(night: Night, memory: Memory) -> None:
    for part in night.parts:
        night.straight(part)


def fixed_cutoff(night: Night, memory: Memory) -> None:
    """One time for the night, early enough to answer the whole run in realtime with Offpeak's own margin; then
    whatever is open goes."""
    scenario = night.scenario
    like = memory.like(night)
    facts = night.facts(0, [_finish(night, part, 0, like) for part in night.parts])
    spare = realtime_takes(facts, scenario.total) + usual_margin(facts)
    spare += scenario.drain + scenario.publish_takes
    cutoff = scenario.window_seconds - spare.total_seconds()
    if cutoff <= 0:
        realtime_only(night, memory)
        return
    for part in night.parts:
        if not night.collected(part, cutoff):
            night.cancel(part, cutoff)


def offpeak(night: Night, memory: Memory) -> None:
    """Route, then decide whenever the last decision asked to be woken."""
    like = memory.like(night)
    facts = night.facts(0, [_finish(night, part, 0, like) for part in night.parts])
    facts = replace(facts, margin=usual_margin(facts))
    _judge(night, memory, like)
    for number, route in first_routes(facts).items():
        if route is Route.REALTIME:
            night.straight(night.parts[number - 1])
    now = 0.0
    while now < LAST_LOOK_SECONDS:
        finishes = [_finish(night, part, now, like) for part in night.parts]
        decision = decide(night.facts(now, finishes, margin=facts.margin))
        if decision.action in (Action.ESCALATE, Action.TOO_LATE):
            for number in decision.shards:
                night.cancel(night.parts[number - 1], now)
        if decision.wake_at is None:
            return
        now = max(night.at(decision.wake_at), now + 1)
        if all(part.escalated or night.collected(part, now) for part in night.parts):
            return


def _finish(night: Night, part: Part, now: float, like: Chosen) -> Finish | None:
    if part.escalated or night.collected(part, now):
        return None
    progress = Progress(
        requests=part.life.requests,
        done=night.done(part, now),
        created_at=night.started_at,
        now=night.moment(now),
    )
    return of_share(progress) or of_survival(progress, like.survival, basis=like.basis)


def _judge(night: Night, memory: Memory, like: Chosen) -> None:
    """Whether the p90 made at submission holds; the simulation knows the end, escalated or not."""
    if not like.survival.count:
        return
    promised = like.survival.quantile(0.9, lasted=0)
    memory.forecasts += len(night.parts)
    memory.held += sum(part.life.completed_at <= promised for part in night.parts)


POLICIES: dict[str, Policy] = {
    "batch only": batch_only,
    "realtime only": realtime_only,
    "fixed cut-off": fixed_cutoff,
    "Offpeak": offpeak,
}
