"""Settling a shard in realtime: asked to its end and collected, or collected with what it has."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from offpeak.collect import collect_replies
from offpeak.errors import BudgetError, RunEnded
from offpeak.intents import partial_of
from offpeak.on_time import consider
from offpeak.realtime.answer import TO_COLLECT, ask_rest, held_elsewhere
from offpeak.realtime.asking import Progress
from offpeak.submit import NotYet

if TYPE_CHECKING:
    from offpeak.ledger.records import Run, Shard
    from offpeak.providers.provider import Client
    from offpeak.site import Site
    from offpeak.workload import Workload


MayAsk = Callable[[], bool]
"""Whether a worker may go on asking. Called every few seconds, from a thread."""


def always() -> bool:
    return True


def ask(
    workload: Workload, site: Site, client: Client, shard: Shard, *, may_ask: MayAsk = always
) -> NotYet | None:
    """Ask what is left of `shard` and collect it; None when that is done, when `may_ask` says no, or when the
    run is to be published with what it has. Raises what `ask_rest` raises, and BudgetError once the run's budget
    is spent: what was answered is recorded."""

    def watch(progress: Progress) -> None:
        consider(workload, site, client, shard.key.run_id)
        run = site.ledger.run(shard.key.run_id)
        _keep_to_budget(workload, site, run, progress)
        if partial_of(run) is not None or not may_ask():
            raise _Enough(f"No more of run {run.run_id} is asked by this worker.")

    try:
        held = ask_rest(workload, site, client, shard, watch=watch)
    except _Enough:
        return None
    if isinstance(held, NotYet):
        return held
    collect_replies(workload, site, held)
    return None


class _Enough(RunEnded):
    """The asking was stopped; the shard is collected as it is."""


def _keep_to_budget(workload: Workload, site: Site, run: Run, progress: Progress) -> None:
    if workload.budget_usd is None or progress.cost_usd is None:
        return
    known = [spend.cost_usd or Decimal(0) for spend in site.ledger.spent(run_id=run.run_id)]
    spent, budget = sum(known, progress.cost_usd), Decimal(workload.budget_usd)
    if spent <= budget:
        return
    raise BudgetError(
        f"Run {run.run_id}: ${spent:.4f} are spent, which is more than budget_usd={budget}. No more is asked in "
        f"realtime; {progress.answered:,} of {progress.requests:,} answers of the shard are recorded, and are not "
        "asked again. Nothing was published. Raise the budget and run again, or publish what there is with "
        f"`offpeak publish --partial {run.run_id}`."
    )


def close(workload: Workload, site: Site, shard: Shard) -> NotYet | None:
    """Collect a shard of which nothing more is asked, with what was recorded of it; the rest is `cancelled`.

    None when it is collected; NotYet while a living worker holds it. No batch of it may exist.
    """
    now = site.now()
    held = site.ledger.realtime.claim(shard.key, site.worker, TO_COLLECT, now=now, to_end=True)
    if held is None:
        return held_elsewhere(site, site.ledger.shard(shard.key))
    collect_replies(workload, site, held)
    return None
