"""The money: estimated, spent, what realtime would have cost, and what was not paid again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from offpeak.ledger.records import Shard, Spend
from offpeak.prices import data_date
from offpeak.providers.provider import Usage
from offpeak.report.coverage import Coverage
from offpeak.report.material import Material
from offpeak.states import ShardState

TOKENS: dict[str, str] = {
    "input_tokens": "Input",
    "cached_tokens": "of it read from the provider's cache",
    "cache_write_tokens": "of it written to the cache",
    "cache_write_long_tokens": "of it written to the cache for longer",
    "output_tokens": "Output",
    "reasoning_tokens": "of it reasoning",
}
"""Every kind of Usage, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    kind: str
    label: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A part of the spend. `actual_usd` sums what has a known price; None when nothing has."""

    name: str
    requests: int
    actual_usd: Decimal | None
    realtime_usd: Decimal | None
    unpriced_requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Sums are Decimals, exact to the digit. `saving` is realtime less actual, over what has both prices."""

    estimate_usd: Decimal | None
    estimate_realtime_usd: Decimal | None
    estimate_p50_usd: Decimal | None
    estimate_p90_usd: Decimal | None
    """Of past runs like it, on the run's own route; None where they are too few to say."""
    estimate_basis: str
    estimate_tokens: tuple[int, int] | None
    """Input, output."""
    total: Spent
    saving_usd: Decimal | None
    saving_share: float | None
    usd_per_1000_answered: Decimal | None
    unpriced_models: tuple[str, ...]
    tokens: tuple[TokenCount, ...]
    rounds: tuple[Spent, ...]
    routes: tuple[Spent, ...]
    carried: int
    folded: int
    not_paid_usd: Decimal | None
    """About what carried and folded rows would have cost at this run's mean price per request."""
    open_requests: int
    """Sent, or waiting to be sent, without a bill yet."""
    price_date: str


def money(found: Material, coverage: Coverage) -> Money:
    """From the ledger's spend rows and, by round, from its shards."""
    estimate = found.part("estimate")
    total = _spent("all", found.spends)
    both = [one for one in found.spends if one.cost_usd is not None and one.realtime_usd is not None]
    realtime = sum((one.realtime_usd or Decimal(0) for one in both), Decimal(0))
    saving = realtime - sum((one.cost_usd or Decimal(0) for one in both), Decimal(0)) if both else None
    usage = _usage(found.spends)
    not_again = (coverage.carried or 0) + (coverage.folded or 0)
    priced = total.requests - total.unpriced_requests
    asked = _first_asked(found)
    known = total.actual_usd is not None and not total.unpriced_requests
    whole = total.actual_usd if known and not found.unjudged else None
    return Money(
        estimate_usd=_decimal(estimate.get("batch_usd")),
        estimate_realtime_usd=_decimal(estimate.get("realtime_usd")),
        estimate_p50_usd=_decimal(estimate.get(f"{_own_route(found)}_p50_usd")),
        estimate_p90_usd=_decimal(estimate.get(f"{_own_route(found)}_p90_usd")),
        estimate_basis=str(estimate.get("basis") or ""),
        estimate_tokens=_pair(estimate),
        total=total,
        saving_usd=saving,
        saving_share=float(saving / realtime) if saving is not None and realtime else None,
        usd_per_1000_answered=whole * 1000 / coverage.answered
        if whole is not None and coverage.answered
        else None,
        unpriced_models=tuple(sorted({one.model for one in found.spends if one.cost_usd is None})),
        tokens=tuple(
            TokenCount(kind=kind, label=label, tokens=usage[kind]) for kind, label in TOKENS.items()
        ),
        rounds=_rounds(found.shards),
        routes=tuple(
            _spent(route, [one for one in found.spends if one.route == route])
            for route in sorted({str(one.route) for one in found.spends})
        ),
        carried=coverage.carried or 0,
        folded=coverage.folded or 0,
        not_paid_usd=whole / asked * not_again
        if whole is not None and asked and priced and not_again
        else None,
        open_requests=sum(one.request_count for one in found.shards if one.state is not ShardState.COLLECTED),
        price_date=str(data_date()),
    )


def _spent(name: str, spends: Iterable[Spend]) -> Spent:
    rows = list(spends)
    actual = [one.cost_usd for one in rows if one.cost_usd is not None]
    realtime = [one.realtime_usd for one in rows if one.realtime_usd is not None]
    return Spent(
        name=name,
        requests=sum(one.requests for one in rows),
        actual_usd=sum(actual, Decimal(0)) if actual or not rows else None,
        realtime_usd=sum(realtime, Decimal(0)) if realtime or not rows else None,
        unpriced_requests=sum(one.requests for one in rows if one.cost_usd is None),
    )


def _rounds(shards: Iterable[Shard]) -> tuple[Spent, ...]:
    done = [one for one in shards if one.state is ShardState.COLLECTED]
    made = []
    for number in sorted({one.key.round for one in done}):
        here = [one for one in done if one.key.round == number]
        costs = [one.cost_usd for one in here if one.cost_usd is not None]
        made.append(
            Spent(
                name=f"round {number}",
                requests=sum(one.request_count for one in here),
                actual_usd=sum(costs, Decimal(0)) if costs else None,
                realtime_usd=None,  # a shard keeps its cost only
                unpriced_requests=sum(one.request_count for one in here if one.cost_usd is None),
            )
        )
    return tuple(made)


def _first_asked(found: Material) -> int:
    return sum(one.request_count for one in found.shards if one.key.round == 1)


def _usage(spends: Iterable[Spend]) -> Counter[str]:
    total: Counter[str] = Counter(dict.fromkeys(Usage.__dataclass_fields__, 0))
    for one in spends:
        total.update({kind: count for kind, count in one.usage.items() if isinstance(count, int)})
    return total


def _own_route(found: Material) -> str:
    return "realtime" if found.run.facts.get("route") == "realtime" else "batch"


def _pair(estimate: dict[str, Any]) -> tuple[int, int] | None:
    into, out = estimate.get("input_tokens"), estimate.get("output_tokens")
    return (into, out) if isinstance(into, int) and isinstance(out, int) else None


def _decimal(value: Any) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
