"""`offpeak dead-letters`: rows without an answer, listed or asked again."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice

import click

from offpeak.cli.options import open_site, site_options, with_rows, workload_of_run


@click.group("dead-letters")
def command() -> None:
    """List the rows that a run gave up on, or ask them again."""


@command.command("list")
@click.argument("run_id")
@click.option("--outcome", help="Only this outcome (invalid, refused, truncated, errored ...).")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Rows to list.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per row, with its texts.")
@site_options
def list_letters(
    run_id: str, outcome: str | None, limit: int, as_json: bool, store: str | None, ledger: str | None
) -> int:
    """List the dead letters of RUN_ID with their outcome and reason."""
    from offpeak.cli.screen import shown
    from offpeak.dead_letters import dead_letters

    site = open_site(store, ledger)
    listed = 0
    for letter in islice(dead_letters(site, run_id, outcome=outcome), limit):
        listed += 1
        if as_json:
            click.echo(json.dumps(asdict(letter)))
        else:
            place = letter.key if letter.key is not None else f"{letter.origin}, {letter.number}"
            click.echo(
                f"{shown(place, 60)}  {letter.outcome}  {shown(letter.reason or letter.code or '', 200)}"
            )
    total = site.ledger.run(run_id).facts["dead_letters"]
    click.echo(f"{listed:,} of {total:,} dead letters of {run_id}.", err=True)
    return 0


@command.command("replay")
@click.argument("run_id")
@click.argument("dag_file", metavar="[DAG_FILE[:NAME]]", required=False)
@click.option("--rows", "rows_file", metavar="FILE", help="The file that the run read with --rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line on stdout.")
@site_options
def replay(
    run_id: str,
    dag_file: str | None,
    rows_file: str | None,
    as_json: bool,
    store: str | None,
    ledger: str | None,
) -> int:
    """Run the interval of RUN_ID again: what was answered is kept, only the dead letters are asked.

    The result goes through the same checks into the same table.
    """
    from offpeak.cli.run import run_to_end
    from offpeak.run import new_run
    from offpeak.site import Interval

    site = open_site(store, ledger)
    old, workload = site.ledger.run(run_id), workload_of_run(site, run_id, dag_file)
    rows_file = rows_file or old.facts.get("rows_file")
    if rows_file:
        workload = with_rows(workload, rows_file)
    interval = Interval(start=old.interval_start, end=old.interval_end)
    new = new_run(workload, site, interval, limit=old.spec.get("limit"), started_by=f"replay of {run_id}")
    origin = {name: old.facts.get(name) for name in ("dag_file", "rows_file")}
    return run_to_end(workload, site, new, interval, as_json=as_json, origin=origin)
