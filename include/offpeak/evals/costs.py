"""What a candidate costs and how long it took: from its table, its price and the ledger's batches."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.files_sql import literal
from offpeak.prices import cost
from offpeak.providers.provider import Usage
from offpeak.states import Route
from offpeak.tables.engine import engine

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one candidate."""

    spent_usd: Decimal
    """What this evaluation paid for it; what is carried was paid before."""
    usd_per_1000: float | None
    """Of a thousand requests as they are sent; None when no price is known."""
    basis: str
    input_tokens: float | None
    """Per request, on average."""
    output_tokens: float | None
    slowest_batch_seconds: float | None
    """From submission to end; None when nothing was sent in batches this time."""


def cost_of(stage: Workload, site: Site, run: Run, path: Path) -> Cost:
    """Per thousand by what this run paid; where all was carried, by the tokens and the batch price of today."""
    with engine() as sql:
        asked, spent, tokens_in, tokens_out = _one(
            sql.execute(
                f"""SELECT count(*) FILTER (_run = {literal(run.run_id)} AND _cost_usd > 0),
                       coalesce(sum(_cost_usd) FILTER (_run = {literal(run.run_id)}), 0),
                       avg(_input_tokens), avg(_output_tokens)
                    FROM read_parquet({literal(path)}) WHERE _outcome = 'answered'"""
            )
        )
    per_1000, basis = None, "no price is known"
    if asked:
        per_1000, basis = float(spent) / asked * 1000, f"paid for {asked:,} requests of this evaluation"
    elif tokens_in is not None:
        usage = Usage(input_tokens=round(tokens_in), output_tokens=round(tokens_out or 0))
        amount = cost(stage.priced, usage, Route.BATCH)
        if amount is not None:
            per_1000, basis = (
                float(1000 * amount),
                "nothing was asked anew: tokens at the batch price of today",
            )
    return Cost(
        spent_usd=sum(
            (one.cost_usd or Decimal(0) for one in site.ledger.spent(run_id=run.run_id)), Decimal(0)
        ),
        usd_per_1000=per_1000,
        basis=basis,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        slowest_batch_seconds=_slowest(site, run),
    )


def _one(result: Any) -> tuple[Any, ...]:
    (row,) = result.fetchall()
    return tuple(row)


def _slowest(site: Site, run: Run) -> float | None:
    ended = [one for one in site.ledger.batches(run.run_id) if one.ended_at is not None]
    seconds = [(one.ended_at - one.created_at).total_seconds() for one in ended if one.ended_at is not None]
    return max(seconds, default=None)
