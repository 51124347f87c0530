"""`offpeak publish --partial`: what is answered is published as it is."""

from __future__ import annotations

import click

from offpeak.cli.options import open_site, site_options, workload_of_run
from offpeak.errors import SpecError


@click.command("publish")
@click.argument("run_id")
@click.argument("dag_file", metavar="[DAG_FILE[:NAME]]", required=False)
@click.option("--partial", is_flag=True, help="Publish without the rows that are not answered yet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line on stdout.")
@site_options
def command(
    run_id: str, dag_file: str | None, partial: bool, as_json: bool, store: str | None, ledger: str | None
) -> int:
    """Publish what RUN_ID has, if the checks say yes: its batches are ended, what they finished is kept.

    Rows without an answer are in the table as `cancelled`; the workload's next run asks them. A provider may
    take ten minutes to end a batch. Exit codes are those of `offpeak run`.
    """
    from offpeak.asked import as_asked
    from offpeak.by_hand import begin_partial
    from offpeak.cli.run import finish

    if not partial:
        raise SpecError(
            f"`offpeak publish` ends the asking early: say --partial. Nothing was changed; run {run_id} is "
            "published by itself once all is answered."
        )
    site = open_site(store, ledger)
    workload = as_asked(workload_of_run(site, run_id, dag_file), site.ledger.run(run_id))
    begin_partial(workload, site, run_id)
    return finish(workload, site, run_id, as_json=as_json)
