"""Foresight: what the ledger knows of a running workload, as the facts of the one decision about its due time,
and what is foreseen, as the run keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from offpeak.decision import Action, Decision, Facts, ShardFacts, first_routes, realtime_takes, usual_margin
from offpeak.decision.money import over_budget, realtime_usd
from offpeak.forecast import Finish, History, Progress, of_share, past_batches
from offpeak.forecast.finish import of_survival
from offpeak.forecast.history import Chosen
from offpeak.intents import is_escalated
from offpeak.ledger.records import BatchRecord, NewShard, Run, Shard
from offpeak.quota import RealtimeLimits
from offpeak.realtime.segments import recorded_of
from offpeak.site import account_of
from offpeak.states import Route, RunState, ShardState

if TYPE_CHECKING:
    from offpeak.alerts.look import Outlook
    from offpeak.site import Site
    from offpeak.workload import Workload

OUTLOOK = "outlook"
"""Fact: the last forecast and decision."""
MARGIN = "margin_seconds"
"""Fact: held for the whole run; a last safe moment must not move."""
PUBLISH_LEAST = timedelta(minutes=2)
PUBLISH_TIMES = 2
"""Checks and publish are trusted to take at most so many times what they took the last time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is read once for any number of decisions."""

    history: History
    limits: RealtimeLimits
    publish_takes: timedelta
    _chosen: dict[tuple[int, int], Chosen] = field(default_factory=dict)

    def finish(self, progress: Progress) -> Finish:
        """As `of_batch`; the history is searched once for all shards of a size and an hour."""
        like = (progress.requests, int(progress.created_at.timestamp()) // 3_600)
        if like not in self._chosen:
            self._chosen[like] = self.history.like(progress.requests, progress.created_at)
        chosen = self._chosen[like]
        return of_share(progress) or of_survival(progress, chosen.survival, basis=chosen.basis)

    @classmethod
    def of(cls, workload: Workload, site: Site, run: Run) -> Known:
        """SpecError when there are no credentials."""
        account = account_of(workload, site)
        return cls(
            history=past_batches(site.ledger, run.provider, run.model, now=site.now()),
            limits=account.quota.realtime,
            publish_takes=_publish_takes(site, run),
        )


def _publish_takes(site: Site, run: Run) -> timedelta:
    took = 0.0
    for last in site.ledger.runs(run.workload, states=(RunState.PUBLISHED,), limit=1):
        stages = site.ledger.stages(last.run_id)
        took = sum(stage.seconds for stage in stages if stage.name in ("check", "publish"))
    return max(PUBLISH_LEAST, timedelta(seconds=took * PUBLISH_TIMES))


def facts_of(
    workload: Workload, site: Site, run: Run, known: Known, *, shards: Sequence[Shard] | None = None
) -> Facts:
    """The facts at this moment, from the ledger; `shards` are those of a run that is not written down yet."""
    found = site.ledger.shards(run.run_id) if shards is None else shards
    batches = {one.batch_id: one for one in site.ledger.batches(run.run_id)}
    latest = {shard.key.number: shard for shard in found}  # by round: the last one is the present one
    now, requests = site.now(), max(int(run.facts.get("requests", 0)), 1)
    estimate = run.facts.get("estimate", {})
    made = tuple(_shard(one, run, batches.get(one.batch_id or ""), known, now=now) for one in latest.values())
    batch_each, realtime_each = (_each(estimate, name, requests) for name in ("batch_usd", "realtime_usd"))
    tokens = int(estimate.get("input_tokens", 0)) + int(estimate.get("output_tokens", 0))
    facts = Facts(
        now=now,
        due_at=run.due_at,
        shards=made,
        realtime=known.limits,
        tokens_per_request=tokens / requests,
        usd_batch_each=batch_each,
        usd_realtime_each=realtime_each,
        spent_usd=_spent(site, run),
        committed_usd=_committed(made, batch_each, realtime_each),
        budget_usd=None if workload.budget_usd is None else Decimal(workload.budget_usd),
        publish_takes=known.publish_takes,
        partial_at=workload.publish_partial_at,
        requests_total=int(run.facts.get("requests", 0)) + int(run.facts.get("carried", 0)),
        answered=_answered(run, found, made),
    )
    held = run.facts.get(MARGIN)
    return replace(facts, margin=usual_margin(facts) if held is None else timedelta(seconds=float(held)))


def _shard(shard: Shard, run: Run, batch: BatchRecord | None, known: Known, *, now: datetime) -> ShardFacts:
    flying = shard.state is ShardState.IN_FLIGHT and batch is not None
    done = batch.completed if batch is not None and flying else recorded_of(shard.note)
    begun = (shard.intent_at or now) if flying else now
    realtime = shard.route is Route.REALTIME or is_escalated(run, shard.key.number)
    finish = None
    if not realtime and shard.state is not ShardState.COLLECTED and not _waits(shard, now):
        progress = Progress(
            requests=shard.request_count, done=done if flying else 0, created_at=begun, now=now
        )
        finish = known.finish(progress)
    return ShardFacts(
        number=shard.key.number,
        requests=shard.request_count,
        done=done,
        route=Route.REALTIME if realtime else Route.BATCH,
        state=shard.state,
        batch_age=now - begun if flying else None,
        finish=finish,
    )


def _waits(shard: Shard, now: datetime) -> bool:
    """For room at the provider, or because it asked for patience: nobody knows for how long."""
    later = shard.not_before is not None and shard.not_before > now
    return shard.state is ShardState.WRITTEN and (shard.ahead is not None or later)


def _each(estimate: Mapping[str, Any], name: str, requests: int) -> Decimal | None:
    amount = estimate.get(name)
    return None if amount is None else Decimal(str(amount)) / requests


def _spent(site: Site, run: Run) -> Decimal:
    return sum((one.cost_usd or Decimal(0) for one in site.ledger.spent(run_id=run.run_id)), Decimal(0))


def _committed(
    shards: Sequence[ShardFacts], batch_each: Decimal | None, realtime_each: Decimal | None
) -> Decimal:
    """What open shards will still cost; what their batches have done is billed, and in no spend yet."""
    total = Decimal(0)
    for one in shards:
        if one.in_batch:
            total += one.requests * (batch_each or 0)
        elif one.open:
            in_batch = one.done if one.batch_age is not None else 0
            total += in_batch * (batch_each or 0) + (one.requests - in_batch) * (realtime_each or 0)
    return total


def _answered(run: Run, shards: Sequence[Shard], made: Sequence[ShardFacts]) -> int:
    collected = sum(
        int(shard.outcomes.get("answered", 0)) for shard in shards if shard.state is ShardState.COLLECTED
    )
    recorded = sum(one.done for one in made if one.open and not one.in_batch and one.batch_age is None)
    return int(run.facts.get("carried", 0)) + collected + recorded


def first_route(
    workload: Workload, site: Site, run: Run, shards: Sequence[NewShard]
) -> tuple[list[NewShard], dict[str, Any]]:
    """The shards of a run that is about to begin, each with its route, and what is held for the whole run.

    `run` has the facts of its plan. With route="auto" a shard that no batch can bring in time starts in
    realtime, as far as the budget goes.
    """
    said: dict[str, Any] = {"route": workload.route}
    if run.due_at is None or not shards:
        return [_on(workload, shard, Route.BATCH) for shard in shards], said
    written = [_written(shard, site.now()) for shard in shards]
    facts = facts_of(workload, site, run, Known.of(workload, site, run), shards=written)
    said[MARGIN] = facts.margin.total_seconds()
    routes = first_routes(facts) if workload.route == "auto" else {}
    return [_on(workload, one, routes.get(one.key.number, Route.BATCH)) for one in shards], said


def _on(workload: Workload, shard: NewShard, route: Route) -> NewShard:
    return replace(shard, route=Route.REALTIME if workload.route == "realtime" else route)


def _written(shard: NewShard, now: datetime) -> Shard:
    given = {one.name: getattr(shard, one.name) for one in fields(shard)}
    return Shard(**given, state=ShardState.WRITTEN, attempt=0, updated_at=now)


def outlook(workload: Workload, facts: Facts, decision: Decision) -> dict[str, Any]:
    """What is foreseen, as JSON; `outlook_of` reads it."""
    in_batch = [one for one in facts.shards if one.in_batch]
    queue = sum(one.left for one in facts.shards if one.open and not one.in_batch)
    ready = (
        facts.drain + realtime_takes(facts, queue + sum(one.left for one in in_batch)) + facts.publish_takes
    )
    price = realtime_usd(facts, in_batch) if in_batch else None
    finish: Finish | None = decision.finish
    return {
        "at": facts.now.isoformat(),
        "action": str(decision.action),
        "p50": finish.p50.isoformat() if finish else None,
        "p90": finish.p90.isoformat() if finish else None,
        "basis": finish.basis if finish else "",
        "escalate_usd": None if price is None else format(price, "f"),
        "escalated_by": (facts.now + ready).isoformat() if in_batch else None,
        "affordable": not over_budget(facts, in_batch),
        "why": _why(workload, decision),
        "wake": decision.wake_at.isoformat() if decision.wake_at else None,
    }


def _why(workload: Workload, decision: Decision) -> str:
    if workload.route == "batch" and decision.action in (Action.ESCALATE, Action.TOO_LATE):
        return f"route='batch' only waits: {decision.why}"
    return decision.why


def outlook_of(run: Run) -> Outlook | None:
    """The last forecast of a run, as alerts take it; None when there was none."""
    from offpeak.alerts.look import Outlook

    said = run.facts.get(OUTLOOK)
    if not isinstance(said, Mapping):
        return None
    price = said.get("escalate_usd")
    return Outlook(
        p50=_time(said.get("p50")),
        p90=_time(said.get("p90")),
        basis=str(said.get("basis") or ""),
        escalate_usd=None if price is None else Decimal(str(price)),
        escalated_by=_time(said.get("escalated_by")),
        affordable=bool(said.get("affordable", True)),
        why=str(said.get("why") or ""),
    )


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
