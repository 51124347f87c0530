"""What realtime would cost, and whether the budget allows it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from offpeak.decision.facts import Facts, ShardFacts


def realtime_usd(facts: Facts, shards: Iterable[ShardFacts]) -> Decimal | None:
    each = facts.usd_realtime_each
    return None if each is None else each * sum(one.left for one in shards)


def total_usd(facts: Facts, shards: list[ShardFacts]) -> Decimal | None:
    """What the run will have cost with `shards` in realtime; their part of what is committed is given back."""
    money = realtime_usd(facts, shards)
    if money is None:
        return None
    freed = (facts.usd_batch_each or Decimal(0)) * sum(one.left for one in shards)
    return facts.spent_usd + max(facts.committed_usd - freed, Decimal(0)) + money


def over_budget(facts: Facts, shards: list[ShardFacts]) -> bool:
    """Also where the price is unknown: a budget that cannot be kept to is not risked."""
    if facts.budget_usd is None or not shards:
        return False
    total = total_usd(facts, shards)
    return total is None or total > facts.budget_usd


def budget_says(facts: Facts, shards: list[ShardFacts]) -> str:
    total, rows = total_usd(facts, shards), sum(one.left for one in shards)
    if total is None:
        return f"realtime for {rows:,} requests has no known price, and the budget is {facts.budget_usd} USD"
    return (
        f"realtime for {rows:,} requests costs {realtime_usd(facts, shards):.2f} USD and would bring the run "
        f"to {total:.2f} USD, above its budget of {facts.budget_usd:.2f} USD"
    )
