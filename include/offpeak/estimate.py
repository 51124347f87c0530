"""The estimate: what a plan will cost, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from offpeak.prices import Price, cost
from offpeak.providers.provider import Usage
from offpeak.shards import estimated_tokens
from offpeak.states import Route

if TYPE_CHECKING:
    from offpeak.ledger import Ledger
    from offpeak.ledger.records import TokenSample
    from offpeak.plan import Plan
    from offpeak.workload import Workload

TOKENS_PER_FIELD = 12
TEXT_ANSWER_TOKENS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Tokens and money that a plan will take. None where the model's price is not known."""

    input_tokens: int
    output_tokens: int
    batch_usd: Decimal | None
    realtime_usd: Decimal | None
    basis: str
    """What it rests on, in words."""
    runs: int = 0
    """Past runs whose cost per request the quantiles below are taken from."""
    batch_p50_usd: Decimal | None = None
    batch_p90_usd: Decimal | None = None
    realtime_p50_usd: Decimal | None = None
    realtime_p90_usd: Decimal | None = None
    """Nine runs in ten like the past ones cost at most so much. None where there are too few to say that
    (a p50 needs one, a p90 nine) or the price is not known."""


def estimate(workload: Workload, ledger: Ledger, plan: Plan) -> Estimate:
    """From this workload's own past tokens per request where there are some, else from the bytes."""
    asked = plan.asked
    past = ledger.tokens_per_request(workload.name, workload.model_name) if asked else None
    if past is not None:
        into, out = past
        basis = "the tokens per request of this workload's last runs"
        samples = ledger.token_samples(workload.name, workload.model_name)
    else:
        size = sum(shard.size_bytes for shard in plan.shards)
        into = estimated_tokens(size) / asked if asked else 0
        out = output_guess(workload)
        basis = "the size of the requests (no history yet): four bytes a token"
        samples = []
    usage = Usage(input_tokens=round(into), output_tokens=round(out))
    price = workload.priced

    def money(route: Route) -> Decimal | None:
        each = cost(price, usage, route) if price else None
        return None if each is None else each * asked

    def quantile(route: Route, share: float) -> Decimal | None:
        each = _of_past(samples, price, route, share)
        return None if each is None else each * asked

    return Estimate(
        input_tokens=round(into * asked),
        output_tokens=round(out * asked),
        batch_usd=money(Route.BATCH),
        realtime_usd=money(Route.REALTIME),
        basis=basis,
        runs=len(samples),
        batch_p50_usd=quantile(Route.BATCH, 0.5),
        batch_p90_usd=quantile(Route.BATCH, 0.9),
        realtime_p50_usd=quantile(Route.REALTIME, 0.5),
        realtime_p90_usd=quantile(Route.REALTIME, 0.9),
    )


def _of_past(
    samples: Sequence[TokenSample], price: Price | None, route: Route, share: float
) -> Decimal | None:
    """What a request cost at most in this share of the past runs, at today's price.

    The next run is one more of its kind: of n + 1 runs it is the k-th dearest with equal chance for every
    k, so the ceil(share x (n + 1))-th cheapest past run is the bound, and with too few runs there is none.
    """
    place = math.ceil(round(share * (len(samples) + 1), 9))
    if price is None or not samples or place > len(samples):
        return None
    each = []
    for sample in samples:
        usage = Usage(input_tokens=round(sample.input_tokens), output_tokens=round(sample.output_tokens))
        spent = cost(price, usage, route)
        if spent is None:
            return None
        each.append(spent)
    return sorted(each)[place - 1]


def output_guess(workload: Workload) -> float:
    """Tokens of one answer, before there has been any."""
    kind = workload.form.form.kind
    if kind == "vector":
        return 0
    guess = TEXT_ANSWER_TOKENS if kind == "text" else 6 + TOKENS_PER_FIELD * len(workload.form.columns)
    return min(guess, workload.max_output_tokens)
