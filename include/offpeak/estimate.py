"""The estimate: what a plan will cost, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from offpeak.prices import cost
from offpeak.providers.provider import Usage
from offpeak.shards import estimated_tokens
from offpeak.states import Route

if TYPE_CHECKING:
    from offpeak.ledger import Ledger
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


def estimate(workload: Workload, ledger: Ledger, plan: Plan) -> Estimate:
    """From this workload's own past tokens per request where there are some, else from the bytes."""
    asked = plan.asked
    past = ledger.tokens_per_request(workload.name, workload.model_name) if asked else None
    if past is not None:
        into, out = past
        basis = "the tokens per request of this workload's last runs"
    else:
        size = sum(shard.size_bytes for shard in plan.shards)
        into = estimated_tokens(size) / asked if asked else 0
        out = _output_guess(workload)
        basis = "the size of the requests (no history yet): four bytes a token"
    usage = Usage(input_tokens=round(into), output_tokens=round(out))
    price = workload.priced

    def money(route: Route) -> Decimal | None:
        each = cost(price, usage, route) if price else None
        return None if each is None else each * asked

    return Estimate(
        input_tokens=round(into * asked),
        output_tokens=round(out * asked),
        batch_usd=money(Route.BATCH),
        realtime_usd=money(Route.REALTIME),
        basis=basis,
    )


def _output_guess(workload: Workload) -> float:
    kind = workload.form.form.kind
    if kind == "vector":
        return 0
    guess = TEXT_ANSWER_TOKENS if kind == "text" else 6 + TOKENS_PER_FIELD * len(workload.form.columns)
    return min(guess, workload.max_output_tokens)
