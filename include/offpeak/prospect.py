"""Looking ahead: a plan that is not carried out, and a few rows asked in realtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from offpeak.accept import rows_of, weighed
from offpeak.arrays import texts as texts_column
from offpeak.asked_now import ask_now
from offpeak.blocks import lines_of
from offpeak.estimate import Estimate, estimate
from offpeak.ledger.records import Run
from offpeak.plan import Plan, Reading, make_plan, run_folder
from offpeak.requests import read_custom_id
from offpeak.results import Result, judge
from offpeak.site import account_of
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.providers.provider import Client
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    plan: Plan
    estimate: Estimate
    samples: tuple[str, ...]
    """The first requests, as they would be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed:
    """One row, asked in realtime."""

    user: str
    result: Result
    cost_usd: Decimal | None


def prospect(
    workload: Workload, site: Site, interval: Interval, *, limit: int | None = None, samples: int = 0
) -> Prospect:
    """What a run would send and cost, read from the rows. Leaves nothing behind and sends nothing."""
    with _passing_plan(workload, site, interval, limit, again=False) as plan:
        lines = [line.decode() for line in _first_lines(site, plan, samples)]
        return Prospect(plan=plan, estimate=estimate(workload, site.ledger, plan), samples=tuple(lines))


def preview(workload: Workload, site: Site, interval: Interval, *, count: int) -> Iterator[Previewed]:
    """Ask the first `count` rows in realtime, at the realtime price, which is recorded as spent.

    Raises what the provider's realtime call raises; what was answered before that is spent.
    """
    client = workload.provider.connect(account_of(workload, site))
    try:
        tolerant = replace(workload, max_failed=1.0)  # a bad row among so few is no reason to stop
        with _passing_plan(tolerant, site, interval, count, again=True) as plan:
            texts = _user_texts(site, plan)
            rows = (
                {}
                if workload.accept is None
                else rows_of(site.store, plan.folder, workload, texts_column(texts))
            )
            for raw in _first_lines(site, plan, count):
                asked = _ask(workload, site, client, orjson.loads(raw), texts)
                if workload.accept is not None:
                    asked = replace(
                        asked, result=weighed(workload, asked.result, rows.get(asked.result.fingerprint))
                    )
                yield asked
    finally:
        client.close()


def _user_texts(site: Site, plan: Plan) -> dict[str, str]:
    """What the rows of a small plan say, by fingerprint."""
    import pyarrow.parquet as pq

    with site.store.reading(f"{plan.folder}/rows.parquet") as path:
        rows = pq.read_table(path, columns=["_fingerprint", "_user"]).to_pylist()
    return {row["_fingerprint"]: row["_user"] for row in rows if row["_fingerprint"]}


def _ask(
    workload: Workload, site: Site, client: Client, line: dict[str, Any], texts: dict[str, str]
) -> Previewed:
    provider = workload.provider
    custom_id = provider.custom_id(line)
    fingerprint = read_custom_id(custom_id, custom_id.partition("-")[0]) or ""
    body = provider.body_of(line)
    reply, spent = ask_now(workload, site, client, custom_id, body)
    return Previewed(user=texts[fingerprint], result=judge(workload, fingerprint, reply), cost_usd=spent)


@contextmanager
def _passing_plan(
    workload: Workload, site: Site, interval: Interval, limit: int | None, *, again: bool
) -> Iterator[Plan]:
    """A plan in a folder of its own that is gone afterwards; the ledger does not hear of it."""
    now = site.now()
    run = Run(
        run_id=f"{workload.name}/prospect",
        workload=workload.name,
        interval_key=f"prospect-{now:%Y%m%d%H%M%S%f}",
        interval_start=interval.start,
        interval_end=interval.end,
        edition=0,
        state=RunState.PLANNING,
        spec_hash="",
        spec={},
        store=site.store.root,
        provider=workload.provider_name,
        model=workload.model_name,
        created_at=now,
        updated_at=now,
    )
    try:
        yield make_plan(workload, site, run, interval, Reading(limit, again))
    finally:
        site.store.delete(run_folder(run))


def _first_lines(site: Site, plan: Plan, count: int) -> list[bytes]:
    found: list[bytes] = []
    for shard in plan.shards:
        if len(found) >= count:
            break
        with site.store.reading(shard.file) as path:
            for line in lines_of(path):
                if len(found) >= count:
                    break
                found.append(line)
    return found
