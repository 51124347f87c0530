"""A run from its rows to its published table: the stages, in order, as functions.

`start` → `advance` per shard (see advance.py) → `check` → `publish` → `report`. Each is safe to call
again: after a crash, by a second worker, or when it has already been done.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.assemble import STAGED, Assembled, assemble
from offpeak.distribution import distribution
from offpeak.due import due_at
from offpeak.errors import BudgetError, CheckBroken, GateRefused, LedgerConflict, OffpeakError, SpecError
from offpeak.estimate import Estimate, estimate
from offpeak.foresight import first_route
from offpeak.harvest import harvest_earlier
from offpeak.intents import partial_of
from offpeak.ledger.records import NewRun, NewShard, Run, ShardKey
from offpeak.monthly import keep_to_month
from offpeak.plan import Plan, Reading, make_plan
from offpeak.replay import Replay, plan_replay, to_ask
from offpeak.requires import require_passed
from offpeak.shards import ShardFile, estimated_tokens
from offpeak.site import account_of
from offpeak.spec import hash_of, spec_of
from offpeak.spool_shares import shares_of
from offpeak.states import RunState, ShardState
from offpeak.suite import suite_of
from offpeak.tables.table import Published, Staged

if TYPE_CHECKING:
    from offpeak.checks import Verdict
    from offpeak.checks.measures import Judged
    from offpeak.providers.provider import Account, Client
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload

OPEN = (RunState.PLANNING, RunState.RUNNING, RunState.CHECKING, RunState.PUBLISHING)
REPAIRABLE = (RunState.REFUSED, RunState.FAILED)
"""Ended, but a later try of the same run may take it up again."""


def connect(workload: Workload, site: Site) -> Client:
    """A client for the workload's account. The caller closes it."""
    return workload.provider.connect(account_of(workload, site))


def new_run(
    workload: Workload,
    site: Site,
    interval: Interval,
    *,
    limit: int | None = None,
    again: bool = False,
    started_by: str = "",
) -> NewRun:
    """The identity of a run, before the ledger knows it."""
    spec = spec_of(workload, limit=limit, again=again)
    return NewRun(
        workload=workload.name,
        interval_key=interval.key,
        interval_start=interval.start,
        interval_end=interval.end,
        spec_hash=hash_of(spec),
        spec=spec,
        store=site.store.root,
        due_at=None if workload.due is None else due_at(workload.due, interval.end),
        started_by=started_by,
        provider=workload.provider_name,
        model=workload.model_name,
    )


def new_replay(
    workload: Workload, site: Site, replay: Replay, *, started_by: str = ""
) -> tuple[Workload, NewRun, Interval]:
    """The run that asks an earlier run's dead letters again: the workload to ask with, its identity and interval.

    Every later step takes the workload that is returned (or `as_asked`). SpecError when it cannot be replayed.
    """
    from offpeak.site import Interval

    asked, said = to_ask(workload, site, replay)
    earlier = site.ledger.run(replay.of)
    interval = Interval(start=earlier.interval_start, end=earlier.interval_end)
    new = new_run(asked, site, interval, started_by=started_by)
    spec = {**new.spec, **said}
    return asked, replace(new, spec=spec, spec_hash=hash_of(spec)), interval


def start(workload: Workload, site: Site, new: NewRun, interval: Interval) -> Run:
    """Open the run, or join the unfinished one, and plan it. Afterwards it is running, or past that.

    Raises SpecError (no credentials), GateRefused (a suite it requires has not passed it), InputError (rows),
    BudgetError (the estimate is above the budget), LedgerConflict (an unfinished run of the same interval asks
    something else).
    """
    account = account_of(workload, site)
    _take_up_last(site, new)
    run, _ = site.ledger.open_run(new, now=site.now())
    if run.state is not RunState.PLANNING:
        return run
    try:
        with site.ledger.stage(run.run_id, "plan"):
            require_passed(workload, site, run)
            _rehearse(workload)
            earlier = harvest_earlier(workload, site)
            with shares_of(workload, site, new) as shares:
                plan = _planned(workload, site, run, interval, shares)
            forecast = estimate(workload, site.ledger, plan)
        _keep_to_budget(workload, plan, forecast)
        keep_to_month(workload, site, run, forecast)
    except OffpeakError as error:
        fail(site, run.run_id, str(error))
        raise
    shards = [_new_shard(workload, run, account, shard) for shard in plan.shards]
    facts = _facts(plan, forecast) | {"earlier": earlier}
    shards, said = first_route(workload, site, replace(run, facts=facts), shards)
    try:
        facts |= said
        return site.ledger.start_running(run.run_id, shards, facts, now=site.now())
    except LedgerConflict:
        found = site.ledger.run(run.run_id)  # another planner was faster; its plan counts
        if found.state in OPEN and found.state is not RunState.PLANNING:
            return found
        raise


def _planned(workload: Workload, site: Site, run: Run, interval: Interval, shares: Sequence[Path]) -> Plan:
    """The plan, from the rows of the source (or its shares) or, for a replay, from those of the earlier run."""
    if "replay" in run.spec:
        return plan_replay(workload, site, run)
    reading = Reading(run.spec["limit"], bool(run.spec["again"]), shares)
    return make_plan(workload, site, run, interval, reading)


def _rehearse(workload: Workload) -> None:
    """Build the listed checks for real, which parsing has no time for: a bad one is found before the money is."""
    if not workload.checks:
        return
    from offpeak.checks import listed, rehearse

    if mistakes := rehearse([check.expectation for check in listed(workload.checks)]):
        raise SpecError(f"Workload {workload.name}: " + " ".join(mistakes))


def _take_up_last(site: Site, new: NewRun) -> None:
    """A run of this interval that broke off is gone on with: what is in flight must not be asked anew."""
    run = site.ledger.latest(new.workload, new.interval_key)
    if run is not None and run.spec_hash == new.spec_hash:
        take_up(site, run.run_id)


def _keep_to_budget(workload: Workload, plan: Plan, forecast: Estimate) -> None:
    budget = None if workload.budget_usd is None else Decimal(workload.budget_usd)
    amount = forecast.realtime_usd if workload.route == "realtime" else forecast.batch_usd
    if budget is None or amount is None or amount <= budget:
        return
    route = "realtime" if workload.route == "realtime" else "batch"
    raise BudgetError(
        f"Workload {workload.name}: {plan.asked:,} requests are estimated at ${amount:.2f} on the {route} "
        f"route (from {forecast.basis}), above its budget_usd={budget}. Nothing was sent or billed. "
        "Raise the budget, choose a cheaper model, or send fewer rows (--limit)."
    )


def _new_shard(workload: Workload, run: Run, account: Account, shard: ShardFile) -> NewShard:
    return NewShard(
        key=ShardKey(run_id=run.run_id, round=1, number=shard.number),
        tag=shard.tag,
        file=shard.file,
        request_count=shard.request_count,
        size_bytes=shard.size_bytes,
        estimated_tokens=estimated_tokens(shard.size_bytes),
        provider=workload.provider_name,
        account=account.id,
        model=workload.model_name,
        endpoint=workload.endpoint,
    )


def _facts(plan: Plan, forecast: Estimate) -> dict[str, Any]:
    return {
        "folder": plan.folder,
        "rows": plan.rows,
        "requests": plan.asked,
        "folded": plan.folded,
        "carried": plan.carried,
        "bad": plan.bad,
        "bad_examples": list(plan.bad_examples),
        **({"kept": plan.kept, "replay_of": plan.replay_of} if plan.replay_of else {}),
        "shards": len(plan.shards),
        "canary": plan.canary,
        "estimate": {
            "input_tokens": forecast.input_tokens,
            "output_tokens": forecast.output_tokens,
            "batch_usd": _text(forecast.batch_usd),
            "realtime_usd": _text(forecast.realtime_usd),
            "basis": forecast.basis,
            "runs": forecast.runs,
            "batch_p50_usd": _text(forecast.batch_p50_usd),
            "batch_p90_usd": _text(forecast.batch_p90_usd),
            "realtime_p50_usd": _text(forecast.realtime_p50_usd),
            "realtime_p90_usd": _text(forecast.realtime_p90_usd),
        },
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")


def check(workload: Workload, site: Site, run_id: str) -> Verdict | None:
    """Assemble the run and judge it. None when it is already past its checks.

    Raises GateRefused when the verdict is no, CheckBroken when a check could not be evaluated,
    ReconcileError when rows and outcomes do not add up. Nothing is published in any of these.
    """
    run = site.ledger.run(run_id)
    if run.state in (RunState.PUBLISHING, RunState.PUBLISHED):
        return None
    site.ledger.move_run(
        run_id,
        RunState.CHECKING,
        since=(RunState.RUNNING, RunState.CHECKING, *REPAIRABLE),
        now=site.now(),
    )
    with site.ledger.stage(run_id, "check"):
        assembled = assemble(workload, site, run)
        with site.store.reading(f"{run.facts['folder']}/{STAGED}") as staged:
            verdict, measured = _judged(workload, site, run, assembled, staged)
            spread = distribution(workload, staged)
    facts = {
        "outcomes": dict(assembled.outcomes),
        "table_rows": assembled.rows,
        "dead_letters": assembled.dead_letters,
        "verdict": verdict.as_dict(),
        "distribution": spread,
        **({"measured": measured} if measured else {}),
    }
    _decide(site, run_id, verdict, facts)
    return verdict


def _judged(workload: Workload, site: Site, run: Run, assembled: Assembled, staged: Path) -> Judged:
    """The verdict. Where there are no rows and nobody lists a check, nothing can be wrong with them."""
    from offpeak.checks import judge
    from offpeak.checks.measures import Judged, Measuring, with_measures
    from offpeak.checks.verdict import NOTHING_TO_JUDGE

    if not sum(assembled.outcomes.values()) and not workload.checks and workload.measures is None:
        return Judged(NOTHING_TO_JUDGE, {})
    suite = suite_of(workload, assembled, in_part=partial_of(run) is not None)
    verdict = judge(staged, suite, key=workload.rows.key)
    if workload.measures is None:
        return Judged(verdict, {})
    with tempfile.TemporaryDirectory(prefix="offpeak-measures-") as folder:
        measuring = Measuring(workload=workload, site=site, run=run, staged=staged, folder=Path(folder))
        return with_measures(verdict, workload.measures, measuring)


def _decide(site: Site, run_id: str, verdict: Verdict, facts: Mapping[str, Any]) -> None:
    if verdict.decision == "yes":
        site.ledger.move_run(
            run_id, RunState.PUBLISHING, since=(RunState.CHECKING,), now=site.now(), facts=facts, error=""
        )
        return
    reasons = "".join(f"\n  - {one.sentence}" for one in verdict.against[:5])
    if verdict.decision == "broken":
        message = (
            f"Run {run_id}: a check could not be evaluated, so the data was not judged.{reasons}\n"
            "Nothing was published and nothing more is billed; readers keep the last good table. "
            "Correct the check and run again: no row is asked twice."
        )
        site.ledger.move_run(
            run_id, RunState.FAILED, since=(RunState.CHECKING,), now=site.now(), facts=facts, error=message
        )
        raise CheckBroken(message)
    message = (
        f"Run {run_id}: the verdict is no.{reasons}\n"
        "Nothing was published; readers keep the last good table. The answers are kept: after a change of "
        "the checks, run again and no row is asked twice."
    )
    site.ledger.move_run(
        run_id, RunState.REFUSED, since=(RunState.CHECKING,), now=site.now(), facts=facts, error=message
    )
    raise GateRefused(message)


def publish(workload: Workload, site: Site, run_id: str) -> Published | None:
    """Publish the judged file in one atomic step; None when it was published before.

    LedgerConflict when the run has no yes. TableError leaves the old table and the run to be tried again.
    """
    import pyarrow.parquet as pq

    from offpeak.alerts.heartbeat import ping
    from offpeak.layout import layout_of

    run = site.ledger.run(run_id)
    if run.state is RunState.PUBLISHED:
        return None
    site.ledger.move_run(run_id, RunState.PUBLISHING, since=(RunState.PUBLISHING,), now=site.now())
    folder = run.facts["folder"]
    with site.ledger.stage(run_id, "publish"), site.store.reading(f"{folder}/{STAGED}") as path:
        with site.store.reading(f"{folder}/rows.parquet") as rows:
            layout = layout_of(workload, pq.read_schema(rows))
        table = workload.into.open(site.store, site.connections)
        try:
            published = table.publish(
                Staged(
                    path=path,
                    layout=layout,
                    workload=workload.name,
                    run_id=run_id,
                    interval_key=run.interval_key,
                    row_count=int(run.facts["table_rows"]),
                )
            )
        finally:
            table.close()
    facts = {"table": {"address": published.address, "rows": published.row_count}}
    site.ledger.move_run(
        run_id, RunState.PUBLISHED, since=(RunState.PUBLISHING,), now=site.now(), facts=facts, error=""
    )
    ping(workload, site)
    return published


def fail(site: Site, run_id: str, why: str) -> Run:
    """End an unfinished run as failed. What is in flight at the provider stays there, and can be taken up again."""
    run = site.ledger.run(run_id)
    if run.state.ended:
        return run
    try:
        return site.ledger.move_run(run_id, RunState.FAILED, since=OPEN, now=site.now(), error=why)
    except LedgerConflict:  # the shards of a run fail side by side, and the first one's reason stands
        if not (found := site.ledger.run(run_id)).state.ended:
            raise
        return found


def can_take_up(site: Site, run: Run) -> bool:
    """Whether a failed run has requests that are not collected yet: at the provider, or not sent."""
    if run.state is not RunState.FAILED or not run.facts.get("folder") or run.facts.get("stopped"):
        return False
    return any(shard.state is not ShardState.COLLECTED for shard in site.ledger.shards(run.run_id))


def take_up(site: Site, run_id: str) -> Run:
    """Bring a failed run back to running when it can be; any other run is returned as it is."""
    run = site.ledger.run(run_id)
    if not can_take_up(site, run):
        return run
    try:
        return site.ledger.move_run(
            run_id, RunState.RUNNING, since=(RunState.FAILED,), now=site.now(), error=""
        )
    except LedgerConflict:  # several shards are cleared at once, and another one was faster
        if (found := site.ledger.run(run_id)).state is RunState.FAILED:
            raise
        return found
