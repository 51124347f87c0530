"""The month's money: what a workload has cost since the first of the month, and what it may still cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from offpeak.approval import expected_usd
from offpeak.errors import BudgetError

if TYPE_CHECKING:
    from offpeak.estimate import Estimate
    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload


def month_of(now: datetime) -> datetime:
    """Its first moment in UTC; `now` is aware."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def spent_this_month(workload: str, site: Site) -> Decimal:
    """What the workload has spent since the month began (UTC), previews too. Where the price was not known,
    nothing is counted."""
    spends = site.ledger.spent(workload=workload, since=month_of(site.now()))
    return sum((spend.cost_usd for spend in spends if spend.cost_usd is not None), Decimal(0))


def left_this_month(workload: Workload, site: Site) -> Decimal | None:
    """What the monthly budget leaves, promises of open runs not counted; None without a budget."""
    if workload.monthly_budget_usd is None:
        return None
    return Decimal(workload.monthly_budget_usd) - spent_this_month(workload.name, site)


def promised(workload: Workload, site: Site, *, beside: str) -> Decimal:
    """What the workload's other unfinished runs are still expected to cost."""
    from offpeak.run import OPEN

    total = Decimal(0)
    for run in site.ledger.runs(workload.name, states=OPEN):
        expected = expected_usd(workload, run.facts.get("estimate", {}))
        if run.run_id != beside and expected is not None:
            spends = site.ledger.spent(run_id=run.run_id)
            spent = sum((spend.cost_usd for spend in spends if spend.cost_usd is not None), Decimal(0))
            total += max(Decimal(0), expected - spent)
    return total


def keep_to_month(workload: Workload, site: Site, run: Run, forecast: Estimate) -> None:
    """BudgetError when this run's estimate does not fit into what the month has left. Nothing was sent then."""
    if workload.monthly_budget_usd is None:
        return
    said = {"batch_usd": forecast.batch_usd, "realtime_usd": forecast.realtime_usd}
    expected = expected_usd(workload, said)
    if not expected:
        return
    spent = spent_this_month(workload.name, site)
    others = promised(workload, site, beside=run.run_id)
    budget = Decimal(workload.monthly_budget_usd)
    if spent + others + expected <= budget:
        return
    going = f" and ${others:.2f} are expected of its runs under way" if others else ""
    raise BudgetError(
        f"Workload {workload.name}: the run is estimated at ${expected:.2f} (from {forecast.basis}); "
        f"${spent:.2f} are spent in {site.now():%B %Y} (UTC){going}, together above its "
        f"monthly_budget_usd={budget}. Nothing was sent or billed. "
        "Raise the budget, choose a cheaper model, send fewer rows (--limit), or wait for the next month."
    )
