"""One stage of a pipeline: prepared with the money that is left, settled once its shards are collected; and the
last step of all."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from offpeak.errors import SpecError
from offpeak.pipeline import Finished, Finishing
from offpeak.plan import Reading
from offpeak.run import check, publish
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.ledger import NewRun, Run
    from offpeak.pipeline import Pipeline
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload


def run_of(site: Site, stage: str, interval: Interval) -> Run | None:
    """The stage's latest run of this interval."""
    return site.ledger.latest(stage, interval.key)


def reading(pipeline: Pipeline, stage: str, *, limit: int | None, again: bool) -> Reading:
    """What a caller asks for, for one stage: `limit` cuts the first layer, what follows is made from its rows."""
    first = stage in {one.name for one in pipeline.layers[0]}
    return Reading(limit if first else None, again or stage in pipeline.again)


def prepared(pipeline: Pipeline, stage: Workload, site: Site, interval: Interval) -> Workload:
    """The stage with what the other stages of this interval have left of the pipeline's budget."""
    if pipeline.budget_usd is None:
        return stage
    spent = _spent(pipeline, stage, site, interval)
    return replace(stage, budget_usd=max(Decimal(0), Decimal(pipeline.budget_usd) - spent))


def _spent(pipeline: Pipeline, stage: Workload, site: Site, interval: Interval) -> Decimal:
    others = (run_of(site, other.name, interval) for other in pipeline.stages() if other.name != stage.name)
    spends = (spend for run in others if run is not None for spend in site.ledger.spent(run_id=run.run_id))
    return sum((spend.cost_usd or Decimal(0) for spend in spends), Decimal(0))


def is_done(site: Site, new: NewRun, interval: Interval) -> bool:
    """Whether this very stage is already published for this interval."""
    run = run_of(site, new.workload, interval)
    return run is not None and run.state is RunState.PUBLISHED and run.spec_hash == new.spec_hash


def settle(workload: Workload, site: Site, run_id: str) -> None:
    """Check and publish a stage whose shards are collected. Raises what the two raise (see run.py)."""
    check(workload, site, run_id)
    publish(workload, site, run_id)


def finish(pipeline: Pipeline, site: Site, interval: Interval) -> Finished:
    """Take the pipeline's last step, once every stage is published, and keep its facts with the last stage's run.

    Safe to call again. SpecError names the stages that are not published for this interval.
    """
    runs = {stage.name: run_of(site, stage.name, interval) for stage in pipeline.stages()}
    published = {
        name: run for name, run in runs.items() if run is not None and run.state is RunState.PUBLISHED
    }
    if missing := [name for name in runs if name not in published]:
        raise SpecError(
            f"{pipeline.name}: the stages {', '.join(missing)} are not published for the interval {interval.key}, "
            "so nothing was made of it. Run the pipeline again: what is published is not asked again."
        )
    last = published[pipeline.last.name]
    with site.ledger.stage(last.run_id, "finish"):
        finished = pipeline.finish(Finishing(site=site, interval=interval, runs=published))
    said = {"finished": dict(finished.facts), "finished_said": list(finished.said)}
    site.ledger.note_run(last.run_id, said, now=site.now())
    return finished
