"""`offpeak run` of a pipeline: its stages layer by layer, those of one layer side by side, then its last step."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from offpeak.cli.alerting import Alerting
from offpeak.cli.approve import settle_on_terminal
from offpeak.cli.options import interval_of
from offpeak.cli.run import REFUSED_EXIT, say_plan
from offpeak.errors import GateRefused, OffpeakError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offpeak.ledger import NewRun
    from offpeak.pipeline import Finished, Pipeline
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload


class _LetGo(BaseException):
    """The command was interrupted: no failure of the run, which can be taken up again."""


@dataclass(frozen=True, kw_only=True)
class _Work:
    """One call of the command."""

    pipeline: Pipeline
    site: Site
    interval: Interval
    options: dict[str, Any]
    origin: dict[str, Any]
    let_go: threading.Event = field(default_factory=threading.Event)

    def new(self, stage: Workload) -> NewRun:
        from offpeak.run import new_run
        from offpeak.stage import reading

        given = self.options
        read = reading(self.pipeline, stage.name, limit=given["limit"], again=bool(given["again"]))
        return new_run(stage, self.site, self.interval, limit=read.limit, again=read.again)

    def stages_to_do(self, layer: tuple[Workload, ...]) -> Iterator[Workload]:
        from offpeak.stage import is_done

        for stage in layer:
            if is_done(self.site, self.new(stage), self.interval):
                click.echo(f"{stage.name}: published before for this interval.", err=True)
            else:
                yield stage


def run_pipeline(
    pipeline: Pipeline, site: Site, options: dict[str, Any], origin: dict[str, Any], *, as_json: bool
) -> int:
    """Carry the pipeline to its end with progress on the screen; the exit code."""
    named = interval_of(options["start"], options["end"])
    work = _begun_before(_Work(pipeline=pipeline, site=site, interval=named, options=options, origin=origin))
    try:
        for layer in pipeline.layers:
            _run_layer(work, layer)
        click.echo(f"{pipeline.name}: the last step", err=True)
        finished = _finish(work)
    except KeyboardInterrupt:
        _say_still_running(work)
        raise
    except OffpeakError as error:
        return _failed(work, error, as_json=as_json)
    _close(work, finished, as_json=as_json)
    return finished.exit_code


def _finish(work: _Work) -> Finished:
    from offpeak.stage import finish

    return finish(work.pipeline, work.site, work.interval)


def _begun_before(work: _Work) -> _Work:
    """The work in the interval of a stage that was begun and can be gone on with, unless another is asked for."""
    from offpeak.run import can_take_up
    from offpeak.site import Interval

    if work.options["new"] or work.options["end"] is not None:
        return work
    for stage in work.pipeline.stages():
        last = next(iter(work.site.ledger.runs(stage.name, limit=1)), None)
        if last is None or last.spec_hash != work.new(stage).spec_hash:
            continue
        if not last.state.ended or can_take_up(work.site, last):
            click.echo(f"Taking up the unfinished run {last.run_id} ({last.state}).", err=True)
            return replace(work, interval=Interval(start=last.interval_start, end=last.interval_end))
    return work


def _run_layer(work: _Work, layer: tuple[Workload, ...]) -> None:
    """Plan the stages one after the other, then wait for all of them together."""
    planned = [_planned(work, stage) for stage in work.stages_to_do(layer)]
    if not planned:
        return
    with ThreadPoolExecutor(len(planned), thread_name_prefix="stage") as pool:
        going = [pool.submit(_carry_on, work, stage, run_id) for stage, run_id in planned]
        try:
            for one in as_completed(going):
                one.result()
        except BaseException:
            work.let_go.set()
            raise


def _planned(work: _Work, stage: Workload) -> tuple[Workload, str]:
    from offpeak.run import start
    from offpeak.stage import prepared

    workload, site = prepared(work.pipeline, stage, work.site, work.interval), work.site
    click.echo(f"{stage.name}: reading {workload.rows.describe()}", err=True)
    run = start(workload, site, work.new(stage), work.interval)
    site.ledger.note_run(run.run_id, work.origin, now=site.now())
    say_plan(run)
    settle_on_terminal(workload, site, run)
    return workload, run.run_id


def _carry_on(work: _Work, workload: Workload, run_id: str) -> None:
    from offpeak.cli.screen import ProgressLine
    from offpeak.drive import drive
    from offpeak.report import write_report

    line = ProgressLine(work.site, run_id, named=True)
    alerting = Alerting(work.site, workload, run_id)

    def watch(happened: str) -> None:
        if work.let_go.is_set():
            raise _LetGo
        line(happened)
        alerting(happened)

    try:
        drive(workload, work.site, run_id, watch)
    finally:
        if not work.let_go.is_set():
            line.end()
            alerting.end()
            write_report(work.site, run_id)


def _close(work: _Work, finished: Finished, *, as_json: bool) -> None:
    from offpeak.cli.screen import usd

    facts = _facts(work)
    for name, said in facts["stages"].items():
        cost = usd(said["cost_usd"]["actual"])
        click.echo(f"{name}: {said['table_rows']:,} rows, {said['requests']:,} requests, {cost}", err=True)
    for told in finished.said:
        click.echo(told, err=True)
    if as_json:
        click.echo(json.dumps({**facts, "state": "published", "finished": dict(finished.facts)}))


def _facts(work: _Work) -> dict[str, Any]:
    """The pipeline as one JSON object, for scripts: each stage as `offpeak run --json` tells a workload."""
    from offpeak.progress import summary
    from offpeak.stage import run_of

    runs = {stage.name: run_of(work.site, stage.name, work.interval) for stage in work.pipeline.stages()}
    return {
        "pipeline": work.pipeline.name,
        "interval": work.interval.key,
        "stages": {name: summary(work.site, run.run_id) for name, run in runs.items() if run is not None},
    }


def _failed(work: _Work, error: OffpeakError, *, as_json: bool) -> int:
    click.echo(f"Error: {error}", err=True)
    if as_json:
        click.echo(json.dumps({**_facts(work), "state": "failed", "error": str(error)}))
    if isinstance(error, GateRefused):
        return REFUSED_EXIT
    return 2 if isinstance(error, SpecError) else 1


def _say_still_running(work: _Work) -> None:
    stages = _facts(work)["stages"].values()
    open_runs = [said["run_id"] for said in stages if said["state"] in ("planning", "running")]
    live = [
        batch for run_id in open_runs for batch in work.site.ledger.batches(run_id) if not batch.status.ended
    ]
    cancels = "; ".join(f"`offpeak cancel {run_id}`" for run_id in open_runs)
    click.echo(
        f"\nStopped waiting for {work.pipeline.name}. {len(live)} batches are still running and billed. The same "
        f"command takes it up again{f'; {cancels} ends it' if cancels else ''}.",
        err=True,
    )
