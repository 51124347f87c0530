"""`offpeak status`: the latest runs, or where one stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from offpeak.cli.options import open_site, site_options
from offpeak.states import Route, RunState, ShardState

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.site import Site


@click.command("status")
@click.argument("run_id", required=False)
@click.option("--workload", metavar="NAME", help="Only runs of this workload.")
@click.option("--limit", type=click.IntRange(1, 500), default=10, show_default=True, help="Runs to list.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or a list of runs.")
@site_options
def command(
    run_id: str | None, workload: str | None, limit: int, as_json: bool, store: str | None, ledger: str | None
) -> int:
    """Show the latest runs, or one run with its shards, its money and its time to due."""
    from offpeak.progress import summary

    site = open_site(store, ledger)
    if run_id is not None:
        if as_json:
            click.echo(json.dumps(summary(site, run_id)))
        else:
            _one(site, run_id)
        return 0
    runs = site.ledger.runs(workload, limit=limit)
    if as_json:
        click.echo(json.dumps([summary(site, run.run_id) for run in runs]))
        return 0
    if not runs:
        click.echo("No runs yet.")
    for run in runs:
        _line(site, run.run_id)
    return 0


def _line(site: Site, run_id: str) -> None:
    from offpeak.cli.screen import progress_line
    from offpeak.progress import progress

    click.echo(f"{run_id}  {progress_line(progress(site, run_id), site)}")


def _one(site: Site, run_id: str) -> None:
    from offpeak.cli.screen import shown, usd
    from offpeak.progress import progress

    _line(site, run_id)
    look = progress(site, run_id)
    run = look.run
    for shard in site.ledger.shards(run_id):
        held = f", {shown(shard.note, 300)}" if shard.note else ""
        outcomes = ", ".join(f"{count:,} {name}" for name, count in shard.outcomes.items())
        batch = shard.batch_id or ("in realtime" if shard.route is Route.REALTIME else "no batch yet")
        click.echo(
            f"  shard {shard.key.number} round {shard.key.round}: {shard.state} ({batch}, "
            f"{shard.request_count:,} requests{', ' + outcomes if outcomes else ''}{held})"
        )
    click.echo(f"  spent {usd(look.spent_usd)}, in realtime {usd(look.realtime_usd)}{_estimate(run)}")
    if run.due_at:
        click.echo(f"  due {run.due_at:%Y-%m-%d %H:%M %Z}, route {run.facts.get('route', 'batch')}")
        _foreseen(site, run)
    _decided(run)
    if run.error:
        click.echo(f"  {run.error}")
    in_flight = [s for s in site.ledger.shards(run_id) if s.state is ShardState.IN_FLIGHT]
    if run.state in (RunState.FAILED, RunState.CANCELLED) and in_flight:
        click.echo(f"  {len(in_flight)} batches may still be running and billed: offpeak cancel {run_id}")


def _estimate(run: Run) -> str:
    """The quantiles of the estimate, where past runs tell them."""
    from offpeak.cli.screen import usd

    route = "realtime" if run.facts.get("route") == "realtime" else "batch"
    estimate = run.facts.get("estimate", {})
    half, most = (estimate.get(f"{route}_{name}_usd") for name in ("p50", "p90"))
    if half is None:
        return ""
    return f"; estimated p50 {usd(half)}{'' if most is None else f', p90 {usd(most)}'}"


def _foreseen(site: Site, run: Run) -> None:
    """When it is expected, from what, and how often such forecasts held."""
    from offpeak.cli.screen import shown
    from offpeak.forecast import calibration, past_batches, replayed
    from offpeak.foresight import outlook_of

    outlook = outlook_of(run)
    if outlook is not None and not run.state.ended:
        if outlook.p50 is not None and outlook.p90 is not None:
            click.echo(
                f"  forecast p50 {outlook.p50:%H:%M}, p90 {outlook.p90:%Y-%m-%d %H:%M} UTC ({outlook.basis})"
            )
        click.echo(f"  decision: {shown(outlook.why, 300)}")
    held = calibration(replayed(past_batches(site.ledger, run.provider, run.model, now=site.now())))
    click.echo(f"  {held.said()}")


def _decided(run: Run) -> None:
    """What was escalated or cut short, and why."""
    from offpeak.cli.screen import shown, usd
    from offpeak.intents import ESCALATED, partial_of

    for number, said in run.facts.get(ESCALATED, {}).items():
        click.echo(
            f"  shard {number} escalated: {said['requests']:,} requests for {usd(said['usd'])}: "
            f"{shown(said['why'], 300)}"
        )
    if (part := partial_of(run)) is not None:
        click.echo(f"  published in part: {shown(str(part['why']), 300)}")
