"""Where a run stands, read from the ledger: for the screen, for scripts and for Airflow's pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from offpeak.states import RunState, ShardState

if TYPE_CHECKING:
    from offpeak.ledger import Run, Shard
    from offpeak.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at a run."""

    run: Run
    outcomes: Mapping[str, int]
    """Of the input's rows once the run is assembled; before, of the requests whose results are in."""
    rounds: int
    batches: int
    batches_ended: int
    seen_requests: int
    """Requests that the provider says it has finished, where it tells before the end."""
    usage: Mapping[str, int]
    spent_usd: Decimal | None
    realtime_usd: Decimal | None
    waiting_for: tuple[str, ...] = field(default=())
    """Shards that are held up, and why."""

    @property
    def requests(self) -> int:
        return int(self.run.facts.get("requests", 0))

    def left(self, now: datetime) -> timedelta | None:
        """Time to due; negative when it has passed. None without a due time."""
        return None if self.run.due_at is None else self.run.due_at - now


def progress(site: Site, run_id: str) -> Progress:
    """Read where the run stands."""
    run = site.ledger.run(run_id)
    shards = site.ledger.shards(run_id)
    batches = site.ledger.batches(run_id)
    spends = site.ledger.spent(run_id=run_id)
    usage: Counter[str] = Counter()
    for spend in spends:
        usage.update(spend.usage)
    return Progress(
        run=run,
        outcomes=dict(run.facts["outcomes"]) if "outcomes" in run.facts else _so_far(shards),
        rounds=max((shard.key.round for shard in shards), default=0),
        batches=len(batches),
        batches_ended=sum(1 for batch in batches if batch.status.ended),
        seen_requests=sum(batch.completed + batch.failed for batch in batches),
        usage=dict(usage),
        spent_usd=_sum(spend.cost_usd for spend in spends),
        realtime_usd=_sum(spend.realtime_usd for spend in spends),
        waiting_for=tuple(
            f"shard {shard.key.number}, round {shard.key.round}: {shard.note}"
            for shard in shards
            if shard.note and shard.state in (ShardState.WRITTEN, ShardState.SUBMITTING)
        ),
    )


def _so_far(shards: Iterable[Shard]) -> dict[str, int]:
    """Outcomes of the latest collected round of each shard, the asked-again ones left to their round."""
    counts: Counter[str] = Counter()
    ordered = list(shards)
    following = {(shard.key.round, shard.key.number): shard.request_count for shard in ordered}
    for shard in ordered:
        if shard.state is not ShardState.COLLECTED:
            continue
        counts["answered"] += int(shard.outcomes.get("answered", 0))
        if (shard.key.round + 1, shard.key.number) not in following:
            counts.update({name: n for name, n in shard.outcomes.items() if name != "answered"})
    return {name: count for name, count in counts.items() if count}


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """None as soon as one amount is not known."""
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


def summary(site: Site, run_id: str) -> dict[str, Any]:
    """The run as one JSON object, for scripts. Money in USD as numbers, null where a price is not known."""
    look = progress(site, run_id)
    run, facts = look.run, look.run.facts
    estimate = facts.get("estimate", {})
    verdict = facts.get("verdict")
    return {
        "run_id": run.run_id,
        "workload": run.workload,
        "state": str(run.state),
        "rows": facts.get("rows"),
        "requests": facts.get("requests"),
        "folded": facts.get("folded"),
        "carried": facts.get("carried"),
        "outcomes": dict(look.outcomes),
        "rounds": look.rounds,
        "batches": look.batches,
        "usage": dict(look.usage),
        "cost_usd": {
            "estimate": _number(estimate.get("batch_usd")),
            "actual": _number(look.spent_usd),
            "realtime": _number(look.realtime_usd),
        },
        "estimate_usd": {
            name: _number(estimate.get(f"{_route(facts)}_{name}_usd")) for name in ("p50", "p90")
        },
        "route": facts.get("route", "batch"),
        "forecast": _forecast(facts),
        "escalated": sorted(int(number) for number in facts.get("escalated", {})),
        "partial": "partial" in facts,
        "table": facts["table"]["address"] if run.state is RunState.PUBLISHED else None,
        "table_rows": facts.get("table_rows"),
        "report": facts.get("report", {}).get("html"),
        "dead_letters": facts.get("dead_letters", 0),
        "verdict": verdict["decision"] if verdict else None,
        "due_at": run.due_at.isoformat() if run.due_at else None,
        "error": run.error or None,
    }


def _route(facts: Mapping[str, Any]) -> str:
    """The route whose price is the run's own; one that may escalate begins with batches."""
    return "realtime" if facts.get("route") == "realtime" else "batch"


def _forecast(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """When the run would be published if nothing is decided; None when nobody can say."""
    said = facts.get("outlook", {})
    return {name: said[name] for name in ("p50", "p90", "basis", "why")} if said.get("p90") else None


def _number(amount: Decimal | str | None) -> float | None:
    return None if amount is None else float(amount)
