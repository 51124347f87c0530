"""By hand: the same steps towards the due time that a run decides for itself, when a person decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from offpeak.decision import realtime_takes
from offpeak.decision.money import budget_says, over_budget, realtime_usd
from offpeak.errors import BudgetError, SpecError
from offpeak.foresight import Known, facts_of
from offpeak.on_time import escalate, look_again, publish_partial, reasons
from offpeak.run import connect, take_up
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.ledger.records import Run
    from offpeak.site import Site
    from offpeak.workload import Workload

BY_HAND = "a person decided it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """What was escalated."""

    run_id: str
    shards: tuple[int, ...]
    requests: int
    """At most: what the batches finish until they end is not asked again."""
    usd: Decimal | None
    """None when the price is not known."""
    ready_by: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "shards": list(self.shards),
            "requests": self.requests,
            "usd": None if self.usd is None else float(self.usd),
            "ready_by": self.ready_by.isoformat(),
        }


def escalate_all(workload: Workload, site: Site, run_id: str) -> Escalated:
    """Take everything of a running run that waits for a batch to the realtime route, whatever its `route`.

    Whoever carries the run does the rest. Raises SpecError for a run that is not running, BudgetError when the
    budget is too small; nothing is changed then.
    """
    run = site.ledger.run(run_id)
    if run.state is not RunState.RUNNING:
        raise SpecError(
            f"Run {run_id} is {run.state}: only a running one can be escalated. Nothing was changed."
        )
    known, client = Known.of(workload, site, run), connect(workload, site)
    try:
        numbers = {one.number for one in facts_of(workload, site, run, known).shards if one.in_batch}
        look_again(site, client, run_id, numbers)
        facts = facts_of(workload, site, run, known)
        chosen = [one for one in facts.shards if one.in_batch]
        if over_budget(facts, chosen):
            raise BudgetError(
                f"Run {run_id} was not escalated: {budget_says(facts, chosen)}. Nothing was changed, and its batches "
                "go on. Raise budget_usd in the DAG file, or publish what there is with "
                f"`offpeak publish --partial {run_id}`."
            )
        new = escalate(site, client, run_id, reasons(facts, numbers, BY_HAND))
    finally:
        client.close()
    left = [one for one in chosen if one.number in new]
    rest = sum(one.left for one in facts.shards if one.open)
    return Escalated(
        run_id=run_id,
        shards=tuple(sorted(new)),
        requests=sum(one.left for one in left),
        usd=realtime_usd(facts, left),
        ready_by=facts.now + facts.drain + realtime_takes(facts, rest) + facts.publish_takes,
    )


def extend(site: Site, run_id: str, more: timedelta) -> Run:
    """Move the due time of an unfinished run. SpecError when it has none, or has ended."""
    run = site.ledger.run(run_id)
    if run.due_at is None or run.state.ended:
        why = "has no due time" if run.due_at is None else f"is {run.state}"
        raise SpecError(f"Run {run_id} {why}: there is nothing to extend. Nothing was changed.")
    return site.ledger.extend(run_id, run.due_at + more, now=site.now())


def begin_partial(workload: Workload, site: Site, run_id: str) -> Run:
    """Decide that the run is published with what it has, and ask the provider to end its batches. Carry it on
    afterwards. A run that broke off is taken up for it; SpecError for one that cannot be."""
    run = take_up(site, run_id)
    if run.state is RunState.PLANNING or run.state.ended:
        raise SpecError(
            f"Run {run_id} is {run.state}: it has nothing that could be published in part. Nothing was changed."
        )
    if run.state is RunState.RUNNING:
        client = connect(workload, site)
        try:
            publish_partial(site, client, run_id, BY_HAND)
        finally:
            client.close()
    return site.ledger.run(run_id)
