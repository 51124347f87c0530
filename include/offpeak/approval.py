"""Approval: a run that would cost more than its workload lets through unseen waits for a person's yes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from offpeak.errors import BudgetError, LedgerConflict, RunEnded
from offpeak.states import Route, RunState

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload

FACT = "approval"
"""Of the run: `asked_at`, `usd`, `above_usd` and `where`, then `answer` (yes or no), `by` and `answered_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked. Numbers and names only: no prompt and no row is in it."""

    title: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join([self.title, *self.lines])


def expected_usd(workload: Workload, estimate: Mapping[str, Any]) -> Decimal | None:
    """What the run is estimated to cost on its workload's route, from the run's fact `estimate`."""
    amount = estimate.get(f"{_route(workload)}_usd")
    return None if amount is None else Decimal(str(amount))


def is_needed(workload: Workload, run: Run) -> bool:
    """Whether a person must say yes before this run sends anything. A cost that is not known needs a yes, too."""
    above = workload.approve_above_usd
    if above is None or run.state is not RunState.RUNNING or not run.facts.get("requests"):
        return False
    if run.facts.get(FACT, {}).get("answer") == "yes":
        return False
    usd = expected_usd(workload, run.facts.get("estimate", {}))
    return usd is None or usd > Decimal(above)


def question_of(workload: Workload, site: Site, run: Run, *, where: str) -> Question:
    """The question, noted in the run's facts as asked; `where` is what the person is asked on.

    RunEnded when the run was cancelled before anybody answered."""
    _still_waits(run)
    known = run.facts.get(FACT, {})
    usd = expected_usd(workload, run.facts.get("estimate", {}))
    asked = {
        "asked_at": known.get("asked_at") or site.now().isoformat(),
        "usd": None if usd is None else format(usd, "f"),
        "above_usd": format(Decimal(workload.approve_above_usd or 0), "f"),
        "where": where,
    }
    site.ledger.note_run(run.run_id, {FACT: asked}, now=site.now())
    return Question(
        title=f"Send {int(run.facts['requests']):,} requests of {run.run_id} for about {_usd(usd)}?",
        lines=tuple(_lines(workload, site, run)),
    )


def _lines(workload: Workload, site: Site, run: Run) -> list[str]:
    from offpeak.monthly import spent_this_month

    facts, said = run.facts, run.facts["estimate"]
    route, other = _route(workload), Route.BATCH
    if route is Route.BATCH:
        other = Route.REALTIME
    lines = [
        f"Estimate on the {route} route: {_usd(said.get(f'{route}_usd'))}, above "
        f"approve_above_usd={workload.approve_above_usd}; from {said.get('basis') or 'an unknown basis'}.",
        _spread(said, route),
        f"On the {other} route: {_usd(said.get(f'{other}_usd'))}.",
        f"Rows: {facts.get('rows', 0):,}; answered before: {facts.get('carried', 0):,}; alike: "
        f"{facts.get('folded', 0):,}; model: {workload.model}.",
        f"Spent in this calendar month (UTC) by {workload.name}: {_usd(spent_this_month(workload.name, site))}"
        + (f" of {_usd(workload.monthly_budget_usd)}." if workload.monthly_budget_usd is not None else "."),
        "Nothing is sent or billed so far. A no ends the run as cancelled; readers keep the last good table.",
    ]
    return [line for line in lines if line]


def _spread(said: Mapping[str, Any], route: Route) -> str:
    """How the quantiles of past runs read; empty where no past run is known."""
    p50, p90 = said.get(f"{route}_p50_usd"), said.get(f"{route}_p90_usd")
    if p50 is None and p90 is None:
        return ""
    runs = f"the last {said['runs']} runs" if said.get("runs") else "past runs"
    ninety = f"nine in ten at most {_usd(p90)}" if p90 is not None else "too few for a p90"
    return f"At what {runs} took per request: half of them at most {_usd(p50)} (p50), {ninety} (p90)."


def answer(site: Site, run_id: str, *, yes: bool, by: str) -> Run:
    """Write down what a person said. A no ends the run as cancelled, with nothing sent or billed.

    The first answer counts. RunEnded when it was no, or when the run had ended before."""
    run = site.ledger.run(run_id)
    _still_waits(run)
    asked = run.facts.get(FACT, {})
    if asked.get("answer") == "yes":
        return run
    said = {**asked, "answer": "yes" if yes else "no", "by": by, "answered_at": site.now().isoformat()}
    if yes:
        site.ledger.note_run(run_id, {FACT: said}, now=site.now())
        return site.ledger.run(run_id)
    why = (
        f"Not approved: {by} said no to sending {int(run.facts['requests']):,} requests for about "
        f"{_usd(asked.get('usd'))}. Nothing was sent or billed; readers keep the last good table. Start the "
        "interval again to be asked anew."
    )
    try:
        site.ledger.move_run(
            run_id,
            RunState.CANCELLED,
            since=(RunState.RUNNING,),
            now=site.now(),
            facts={FACT: said},
            error=why,
        )
    except LedgerConflict:
        _still_waits(site.ledger.run(run_id))
        raise
    raise RunEnded(f"Run {run_id} was cancelled. {why}")


def settle(
    workload: Workload, site: Site, run: Run, *, yes: bool, ask: Callable[[Question], bool] | None
) -> None:
    """Get a person's yes from the command line, if the run needs one. `yes` says it beforehand.

    Raises RunEnded when the answer is no (the run is then cancelled), and BudgetError when there is nobody
    to `ask`: the run then waits as it is, with nothing sent.
    """
    if not is_needed(workload, run):
        return
    question = question_of(workload, site, run, where="terminal")
    if not yes and ask is None:
        raise BudgetError(
            f"{question.text}\nThere is no terminal to answer on, so the run waits. The same command with --yes "
            f"sends it; `offpeak cancel {run.run_id}` ends it."
        )
    said = yes or (ask is not None and ask(question))
    answer(site, run.run_id, yes=said, by="--yes" if yes else "the person at the terminal")


def _still_waits(run: Run) -> None:
    if run.state.ended:
        raise RunEnded(
            f"Run {run.run_id} is {run.state} and waits for no approval any more: {run.error or 'no reason noted'}"
        )


def _route(workload: Workload) -> Route:
    """Where the run's requests go as far as is known beforehand: escalation is not foreseen."""
    return Route.REALTIME if getattr(workload, "route", "batch") == "realtime" else Route.BATCH


def _usd(amount: Any) -> str:
    from offpeak.report.wording import usd

    return usd(None if amount is None else Decimal(str(amount)))
