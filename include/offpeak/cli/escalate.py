"""`offpeak escalate`: what a run's batches have not answered goes to the realtime route now."""

from __future__ import annotations

import json

import click

from offpeak.cli.options import open_site, site_options, workload_of_run


@click.command("escalate")
@click.argument("run_id")
@click.argument("dag_file", metavar="[DAG_FILE[:NAME]]", required=False)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object: shards, requests, usd, ready_by."
)
@site_options
def command(run_id: str, dag_file: str | None, as_json: bool, store: str | None, ledger: str | None) -> int:
    """Escalate RUN_ID: cancel its batches, keep what they finished, and ask the rest in realtime.

    Costs the realtime price of that rest, within budget_usd. Whoever carries the run (Airflow's tasks, or
    `offpeak run`) goes on by itself. Exit code 1 when the budget forbids it; nothing is changed then.
    """
    from offpeak.asked import as_asked
    from offpeak.by_hand import escalate_all
    from offpeak.cli.alerting import tell
    from offpeak.cli.screen import usd

    site = open_site(store, ledger)
    workload = as_asked(workload_of_run(site, run_id, dag_file), site.ledger.run(run_id))
    done = escalate_all(workload, site, run_id)
    tell(site, workload, run_id)
    if as_json:
        click.echo(json.dumps(done.as_json()))
    elif not done.shards:
        click.echo(f"Nothing of run {run_id} waits for a batch: nothing was changed.")
    else:
        click.echo(
            f"Run {run_id}: {len(done.shards)} shards go on in realtime with at most {done.requests:,} requests for "
            f"{usd(done.usd)}, published about {done.ready_by:%Y-%m-%d %H:%M} UTC. Their batches are asked to end, "
            "and what they finished is kept."
        )
    return 0
