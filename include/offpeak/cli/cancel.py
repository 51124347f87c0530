"""`offpeak cancel`: end a run's batches and keep what they finished."""

from __future__ import annotations

from datetime import timedelta

import click

from offpeak.cli.options import open_site, site_options, workload_of_run


@click.command("cancel")
@click.argument("run_id")
@click.argument("dag_file", metavar="[DAG_FILE[:NAME]]", required=False)
@click.option(
    "--wait",
    "wait_minutes",
    type=click.FloatRange(min=0),
    default=12,
    show_default=True,
    help="Minutes to wait for the provider to end the batches.",
)
@site_options
def command(
    run_id: str, dag_file: str | None, wait_minutes: float, store: str | None, ledger: str | None
) -> int:
    """Cancel RUN_ID: ask the provider to end its batches, keep what they finished, say what was billed.

    The kept answers are not asked again by the workload's next run. A provider may take ten minutes.
    """
    from offpeak.asked import as_asked
    from offpeak.cancel import cancel
    from offpeak.cli.alerting import tell
    from offpeak.cli.screen import usd

    site = open_site(store, ledger)
    workload = as_asked(workload_of_run(site, run_id, dag_file), site.ledger.run(run_id))
    done = cancel(
        workload,
        site,
        run_id,
        patience=timedelta(minutes=wait_minutes),
        watch=lambda happened: click.echo(happened, err=True),
    )
    tell(site, workload, run_id)
    click.echo(
        f"Run {run_id} is cancelled: {done.harvested} batches harvested, {usd(done.spent_usd)} billed."
    )
    if done.still_ending:
        click.echo(
            f"Still ending at the provider, and billed for what they finish: {', '.join(done.still_ending)}. "
            "Run the same command again to keep their answers.",
            err=True,
        )
        return 1
    return 0
