"""Before anything is submitted: the route that each shard starts on, and the margin of the run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from offpeak.decision.facts import Facts, realtime_takes
from offpeak.decision.moments import moments, sure
from offpeak.decision.money import over_budget
from offpeak.forecast.finish import Finish
from offpeak.states import Route

LEAST_MARGIN = (timedelta(minutes=2), timedelta(minutes=15))
"""A thirtieth of the time to due, within these."""
ORDINARY = 3
"""An ordinary night's slowest batch is done within so many medians."""


def usual_margin(facts: Facts) -> timedelta:
    """The margin for a run whose facts are those before submission; its own `margin` is not read.

    As long again as realtime needs for everything, so that an account which answers at half the trusted pace
    is still in time, as far as an ordinary batch is done before the last safe moment that this leaves: a
    margin that sends every night to realtime would cost more than it saves. Hold it for the whole run: a
    last safe moment must not move.
    """
    window = (facts.due_at or facts.now) - facts.now
    least = min(max(window / 30, LEAST_MARGIN[0]), LEAST_MARGIN[1])
    takes = realtime_takes(facts, sum(one.left for one in facts.shards))
    medians = [one.finish.p50 - facts.now for one in facts.shards if one.finish]
    batch = max(medians, default=window) * ORDINARY
    spare = window - takes - facts.drain - facts.publish_takes - batch
    return max(least, min(takes, spare))


def first_routes(facts: Facts) -> Mapping[int, Route]:
    """The route of each shard before anything is submitted; `finish` of a shard is that of a batch sent now.

    A shard starts in realtime when its last safe moment would have come before even a lucky batch (one in
    ten) is done, and a batch is not sure to be in time either; every other one starts as a batch, which
    `decide` escalates if need be. Over the budget all start as batches.
    """
    routes = {one.number: Route.BATCH for one in facts.shards}
    if facts.due_at is None:
        return routes
    for moment in moments(facts, facts.due_at):
        lucky = _lucky(facts.now, moment.shard.finish)
        if not sure(facts, moment.shard) and (lucky is None or lucky > max(moment.at, facts.now)):
            routes[moment.shard.number] = Route.REALTIME
    chosen = [one for one in facts.shards if routes[one.number] is Route.REALTIME]
    if over_budget(facts, chosen):
        return {one.number: Route.BATCH for one in facts.shards}
    return routes


def _lucky(now: datetime, finish: Finish | None) -> datetime | None:
    """By when one batch in ten is done, if p90 is as far above the median as this is below (as ratios)."""
    if finish is None:
        return None
    half, most = (max((at - now).total_seconds(), 1.0) for at in (finish.p50, finish.p90))
    return now + timedelta(seconds=half * half / most)
