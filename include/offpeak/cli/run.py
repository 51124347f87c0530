"""`offpeak run`: a workload from its rows to its published table, without Airflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from offpeak.cli.alerting import Alerting
from offpeak.cli.approve import settle_on_terminal, yes_option
from offpeak.cli.options import interval_of, load_to_run, open_site, workload_options
from offpeak.errors import OffpeakError, SpecError

if TYPE_CHECKING:
    from offpeak.ledger import NewRun, Run
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload

REFUSED_EXIT = 3


@click.command("run")
@workload_options
@click.option(
    "--start", metavar="TIME", help="Start of the data interval (ISO 8601; UTC if no zone is given)."
)
@click.option("--end", metavar="TIME", help="End of the data interval [default: now].")
@click.option("--again", is_flag=True, help="Ask every row, even those that were answered before.")
@yes_option
@click.option("--new", is_flag=True, help="Begin a new run even if an unfinished one could be taken up.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line on stdout.")
def command(
    dag_file: str,
    rows_file: str | None,
    store: str | None,
    ledger: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Run a workload: read its rows, ask them in batches, check the answers, publish the table. Of a pipeline
    (a digest, embeddings, an evaluation suite), all its stages and its last step.

    An unfinished run of the same workload is taken up where it stands; nothing is submitted or paid
    twice. Exit code 0 only when the table was published; 3 when the checks refused it, 2 for a mistake
    in the workload or the command, 1 for any other failure.
    """
    from offpeak.workload import Workload

    origin = {
        "dag_file": _absolute(dag_file),
        "rows_file": str(Path(rows_file).resolve()) if rows_file else None,
    }
    try:
        workload = load_to_run(dag_file, rows_file)
        site = open_site(store, ledger)
        if not isinstance(workload, Workload):
            from offpeak.cli.pipeline import run_pipeline

            return run_pipeline(workload.pipeline, site, options, origin, as_json=as_json)
        new, interval = _which(workload, site, options)
    except SpecError as error:
        return _failed(None, None, error, as_json=as_json)
    return run_to_end(workload, site, new, interval, as_json=as_json, origin=origin)


def _absolute(dag_file: str) -> str:
    path, colon, name = dag_file.partition(":")
    return f"{Path(path).resolve()}{colon}{name}"


def run_to_end(
    workload: Workload,
    site: Site,
    new: NewRun,
    interval: Interval,
    *,
    as_json: bool,
    origin: dict[str, Any],
) -> int:
    """Plan the run, carry it to its end with progress on the screen, and say how it ended; the exit code.

    `origin` (the DAG file and the rows file) is kept with the run, for commands that name only the run.
    """
    from offpeak.run import start

    run_id: str | None = None
    try:
        again = new.spec.get("replay")
        read = f"the rows of run {again['of']}" if again else workload.rows.describe()
        click.echo(f"Reading {read}", err=True)
        try:
            run = start(workload, site, new, interval)
        except OffpeakError:
            run_id = _just_failed(site, new)
            raise
        run_id = run.run_id
        site.ledger.note_run(run_id, origin, now=site.now())
        say_plan(run)
        settle_on_terminal(workload, site, run)
    except KeyboardInterrupt:
        _say_still_running(site, run_id)
        raise
    except OffpeakError as error:
        if run_id is not None:
            Alerting(site, workload, run_id).end()
        return _failed(site, run_id, error, as_json=as_json)
    return finish(workload, site, run_id, as_json=as_json)


def finish(workload: Workload, site: Site, run_id: str, *, as_json: bool) -> int:
    """Carry a planned run to its end with progress on the screen and its alerts told; the exit code."""
    try:
        run = _carry_on(workload, site, run_id)
    except KeyboardInterrupt:
        _say_still_running(site, run_id)
        raise
    except OffpeakError as error:
        return _failed(site, run_id, error, as_json=as_json)
    _close(workload, site, run, as_json=as_json)
    return 0


def _just_failed(site: Site, new: NewRun) -> str | None:
    """The run that ended while it was planned, if it got as far as the ledger."""
    runs = site.ledger.runs(new.workload, limit=1)
    return runs[0].run_id if runs and runs[0].interval_key == new.interval_key else None


def _which(workload: Workload, site: Site, options: dict[str, Any]) -> tuple[NewRun, Interval]:
    """The unfinished run of this very workload if there is one, else a new one."""
    from offpeak.run import new_run, take_up

    interval = interval_of(options["start"], options["end"])
    new = new_run(workload, site, interval, limit=options["limit"], again=options["again"])
    if not options["new"] and options["end"] is None:
        unfinished = site.ledger.open_like(workload.name, new.spec_hash) or _broken_off(site, new)
        if unfinished is not None:
            click.echo(f"Taking up the unfinished run {unfinished.run_id} ({unfinished.state}).", err=True)
            interval = _interval(unfinished)
            new = new_run(workload, site, interval, limit=options["limit"], again=options["again"])
            take_up(site, unfinished.run_id)
    return new, interval


def _broken_off(site: Site, new: NewRun) -> Run | None:
    """The last run, if it failed on the way with requests still at the provider or not yet sent."""
    from offpeak.run import can_take_up

    last = next(iter(site.ledger.runs(new.workload, limit=1)), None)
    return last if last and last.spec_hash == new.spec_hash and can_take_up(site, last) else None


def _interval(run: Run) -> Interval:
    from offpeak.site import Interval

    return Interval(start=run.interval_start, end=run.interval_end)


def say_plan(run: Run) -> None:
    """What a planned run will send, and what it should cost."""
    from offpeak.cli.screen import usd

    facts = run.facts
    estimate = facts["estimate"]
    click.echo(
        f"Run {run.run_id}: {facts['rows']:,} rows; {facts['carried']:,} answered before, "
        f"{facts['folded']:,} alike, {facts['bad']:,} bad; {facts['requests']:,} requests in {facts['shards']} "
        f"shards. Estimate {usd(estimate['batch_usd'])} (realtime {usd(estimate['realtime_usd'])}), "
        f"from {estimate['basis']}.",
        err=True,
    )


def _carry_on(workload: Workload, site: Site, run_id: str) -> Run:
    from offpeak.cli.screen import ProgressLine
    from offpeak.drive import drive

    line, alerting = ProgressLine(site, run_id), Alerting(site, workload, run_id)

    def watch(happened: str) -> None:
        line(happened)
        alerting(happened)

    try:
        return drive(workload, site, run_id, watch)
    finally:
        line.end()
        alerting.end()


def _close(workload: Workload, site: Site, run: Run, *, as_json: bool) -> None:
    from offpeak.cli.screen import show_table, usd
    from offpeak.progress import summary
    from offpeak.report import write_report

    write_report(site, run.run_id)
    facts = summary(site, run.run_id)
    table = workload.into.open(site.store, site.connections)
    try:
        head = table.head(10)
    finally:
        table.close()
    if not as_json:
        show_table(head, [name for name in head.column_names if not name.startswith("_")] + ["_outcome"])
    money = facts["cost_usd"]
    click.echo(
        f"Published {facts['table_rows']:,} rows to {facts['table']} (verdict: {facts['verdict']}; outcomes: "
        f"{_counts(facts['outcomes'])}).\n"
        f"Cost {usd(money['actual'])}, in realtime {usd(money['realtime'])}; {facts['requests']:,} requests asked"
        f"{' (nothing was asked again and nothing was spent)' if not facts['requests'] else ''}.\n"
        f"Report: {facts['report']}",
        err=True,
    )
    if as_json:
        click.echo(json.dumps(facts))


def _counts(outcomes: dict[str, int]) -> str:
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(outcomes.items(), key=lambda item: -item[1])
    )


def _failed(site: Site | None, run_id: str | None, error: OffpeakError, *, as_json: bool) -> int:
    """Say why, write the report, and leave the facts for a script."""
    from offpeak.errors import GateRefused
    from offpeak.progress import summary
    from offpeak.report import write_report

    click.echo(f"Error: {error}", err=True)
    facts: dict[str, Any] = {"run_id": None, "state": "failed", "error": str(error)}
    if site is not None and run_id is not None:
        write_report(site, run_id)
        facts = summary(site, run_id) | {"error": str(error)}
        click.echo(f"Report: {facts['report']}", err=True)
    if as_json:
        click.echo(json.dumps(facts))
    if isinstance(error, GateRefused):
        return REFUSED_EXIT
    return 2 if isinstance(error, SpecError) else 1


def _say_still_running(site: Site | None, run_id: str | None) -> None:
    if site is None or run_id is None:
        return
    live = [batch for batch in site.ledger.batches(run_id) if not batch.status.ended]
    click.echo(
        f"\nStopped waiting for run {run_id}. {len(live)} batches are still running and billed. The same command "
        f"takes the run up again; `offpeak cancel {run_id}` ends it.",
        err=True,
    )
