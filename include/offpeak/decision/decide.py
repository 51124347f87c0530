"""The one decision about the due time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from offpeak.decision.facts import SUSTAINED, Action, Decision, Facts, ShardFacts, realtime_takes
from offpeak.decision.moments import Moment, moments, slowness, sure
from offpeak.decision.money import budget_says, over_budget, realtime_usd
from offpeak.forecast.finish import Finish, of_all

AGAIN = timedelta(minutes=5)
"""Until the next decision, where nothing dates it."""
SOONEST = timedelta(seconds=15)
"""No decision is followed by another one earlier."""


def decide(facts: Facts) -> Decision:
    """The one thing to do now about the due time. Never escalates without one.

    Waits before the last safe moment of every shard; then escalates those whose moment has come and whose
    finish is not sure, no others. What it costs is never more than asking everything in realtime, as long as
    a batch costs no more than that. Never raises.
    """
    finish = _run_finish(facts)
    waiting = [one for one in facts.shards if one.open]
    if facts.due_at is None or not waiting:
        why = "there is no due time" if waiting else "every shard is collected"
        return Decision(action=Action.WAIT, finish=finish, why=why)
    if (partial := _partial(facts, finish)) is not None:
        return partial
    line = moments(facts, facts.due_at)
    needed = [one.shard for one in line if one.at <= facts.now and not sure(facts, one.shard)]
    queue = _queue(facts)
    if needed or queue:
        late = _realtime_end(facts, queue, needed) - facts.due_at
        if late > timedelta(0):
            return _too_late(facts, needed, late, finish)
    if not needed:
        return _wait(facts, line, finish)
    return _escalate(facts, line, needed, finish)


def _realtime_end(facts: Facts, queue: int, needed: list[ShardFacts]) -> datetime:
    """When all would be published if `needed` went realtime now, behind the `queue` that already does."""
    drain = facts.drain if needed and realtime_takes(facts, queue) < facts.drain else timedelta(0)
    work = realtime_takes(facts, queue + sum(one.left for one in needed))
    return facts.now + drain + work + facts.publish_takes


def _queue(facts: Facts) -> int:
    """Requests that wait in realtime already."""
    return sum(one.left for one in facts.shards if one.open and not one.in_batch)


def _run_finish(facts: Facts) -> Finish | None:
    finishes = [one.finish for one in facts.shards if one.in_batch]
    if queue := _queue(facts):
        takes = realtime_takes(facts, queue)
        p50, p90 = facts.now + takes * SUSTAINED, facts.now + takes
        finishes.append(Finish(p50=p50, p90=p90, basis="from the account's realtime limits", sure=None))
    last = of_all(finishes)
    if last is None:
        return None
    return replace(last, p50=last.p50 + facts.publish_takes, p90=last.p90 + facts.publish_takes, sure=None)


def _wait(facts: Facts, line: list[Moment], finish: Finish | None) -> Decision:
    coming = [one.at for one in line if one.at > facts.now]
    trusting = len(coming) < len(line)
    if not line:
        return Decision(
            action=Action.WAIT, wake_at=facts.now + AGAIN, finish=finish, why="all is in realtime"
        )
    why = f"the last safe moment is {_clock(min(one.at for one in line))}"
    if trusting:  # a batch that stops now must be noticed while the margin lasts
        coming.append(facts.now + min(facts.margin / 4, AGAIN))
        why += "; the batches it has come for are sure to be in time"
    return Decision(action=Action.WAIT, wake_at=max(min(coming), facts.now + SOONEST), finish=finish, why=why)


def _escalate(facts: Facts, line: list[Moment], needed: list[ShardFacts], finish: Finish | None) -> Decision:
    """ESCALATE, or UNAFFORDABLE where the budget is too small for all that will be needed, not only for now."""
    uncertain = [one.shard for one in line if not sure(facts, one.shard)]
    rows, money = sum(one.left for one in needed), realtime_usd(facts, needed)
    numbers = tuple(one.number for one in needed)
    if over_budget(facts, uncertain):
        return Decision(
            action=Action.UNAFFORDABLE,
            shards=tuple(one.number for one in uncertain),
            wake_at=facts.now + AGAIN,
            cost_usd=realtime_usd(facts, uncertain),
            finish=finish,
            why=budget_says(facts, uncertain),
        )
    later = [one.at for one in line if one.at > facts.now]
    return Decision(
        action=Action.ESCALATE,
        shards=numbers,
        wake_at=max(min([*later, facts.now + AGAIN]), facts.now + SOONEST),
        cost_usd=money,
        finish=finish,
        why=f"{rows:,} requests are left of shards whose batch is not sure to be in time for "
        f"{_clock(facts.due_at)}, and realtime needs {_minutes(realtime_takes(facts, rows))} for them",
    )


def _too_late(facts: Facts, needed: list[ShardFacts], late: timedelta, finish: Finish | None) -> Decision:
    """Still in realtime goes what that is expected to end sooner, if the budget allows; and everything once
    the run has been late for as long as realtime takes: by then the forecast has proved wrong.
    """
    end = _realtime_end(facts, _queue(facts), needed)
    assert facts.due_at is not None
    misled = facts.now - facts.due_at >= end - facts.now
    gaining = [one for one in needed if misled or one.finish is None or one.finish.p50 > end]
    why = f"realtime from now on would be ready {_minutes(late)} after {_clock(facts.due_at)}"
    if gaining and over_budget(facts, gaining):
        why += f"; {budget_says(facts, gaining)}"
        gaining = []
    return Decision(
        action=Action.TOO_LATE,
        shards=tuple(one.number for one in gaining),
        wake_at=facts.now + AGAIN,
        cost_usd=realtime_usd(facts, gaining),
        finish=finish,
        why=why,
    )


def _partial(facts: Facts, finish: Finish | None) -> Decision | None:
    """The partial publish, once it is the last moment for one and enough is answered, or lies in batches
    that a cancel would give free."""
    assert facts.due_at is not None
    if facts.partial_at is None or not facts.requests_total:
        return None
    batches = [one for one in facts.shards if one.in_batch and one.done > 0]
    wanted = facts.partial_at * facts.requests_total
    last = facts.due_at - facts.publish_takes - facts.margin / 2
    if any(one.in_batch for one in facts.shards):  # what is open is cancelled and harvested in any case
        last -= facts.drain
    if facts.answered + sum(one.done for one in batches) < wanted:
        return None
    if facts.now < last:
        return None
    return Decision(
        action=Action.PUBLISH_PARTIAL,
        shards=tuple(one.number for one in sorted(batches, key=slowness, reverse=True)),
        wake_at=facts.now + AGAIN,
        cost_usd=Decimal(0),
        finish=finish,
        why=f"{facts.answered + sum(one.done for one in batches):,} of {facts.requests_total:,} requests are "
        f"answered, which is the share of {facts.partial_at:.1%} that may be published, and the time "
        f"to {_clock(facts.due_at)} is up",
    )


def _clock(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()


def _minutes(span: timedelta) -> str:
    return f"{max(span.total_seconds() / 60, 1):,.0f} min"
