"""`offpeak report`: a run's report, written again from the ledger."""

from __future__ import annotations

import click

from offpeak.cli.options import open_site, site_options
from offpeak.errors import SpecError


@click.command("report")
@click.argument("run_id", required=False)
@click.option("--workload", metavar="NAME", help="The latest run of this workload.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON instead of the addresses.")
@site_options
def command(
    run_id: str | None, workload: str | None, as_json: bool, store: str | None, ledger: str | None
) -> int:
    """Write the report of RUN_ID (default: the latest run) and print where the page and the JSON are."""
    from offpeak.report import write_report

    site = open_site(store, ledger)
    if run_id is None:
        latest = site.ledger.runs(workload, limit=1)
        if not latest:
            raise SpecError(f"There is no run{f' of {workload}' if workload else ''} in this ledger.")
        run_id = latest[0].run_id
    page, facts = write_report(site, run_id)
    if as_json:
        click.echo(site.store.read_bytes(facts.removeprefix(site.store.root).lstrip("/")))
    else:
        click.echo(page)
        click.echo(facts)
    return 0
