"""`offpeak sweep`: find paid batches that no living run looks after."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import click

from offpeak.cli.options import moment_of, open_site, site_options

if TYPE_CHECKING:
    from offpeak.swept import Swept


@click.command("sweep")
@click.argument("dag_files", metavar="[DAG_FILE[:NAME]]...", nargs=-1)
@click.option(
    "--since", metavar="TIME", help="Runs and batches begun after this (ISO 8601) [default: 7 days ago]."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: counts, lines, for_person.")
@site_options
def command(
    dag_files: tuple[str, ...], since: str | None, as_json: bool, store: str | None, ledger: str | None
) -> int:
    """Find paid batches that no living run looks after: attach them, keep what they finished, end strays.

    Sweeps the workloads of the DAG files given; without one, of every run, from the DAG file it recorded.
    Sends nothing to a model. Exit code 0 when nothing needs a person, 1 otherwise.
    """
    from offpeak.sweep import sweep_dag_files

    site = open_site(store, ledger)
    begin: datetime | None = moment_of(since) if since else None
    swept = sweep_dag_files(site, dag_files, since=begin)
    if as_json:
        click.echo(json.dumps(swept.as_json()))
    else:
        _show(swept)
    return 1 if swept.for_person else 0


def _show(swept: Swept) -> None:
    from offpeak.cli.screen import shown

    for line in swept.lines:
        mark = "!" if line.for_person else " "
        click.echo(f"{mark} {line.act:<9}  {line.run_id or '-'}  {shown(line.said, 400)}")
    counts = ", ".join(f"{count:,} {act}" for act, count in swept.counts.items())
    click.echo(f"Swept: {counts or 'nothing was left lying about'}.", err=True)
    if swept.for_person:
        click.echo("Lines marked ! need a person.", err=True)
