"""`offpeak extend`: a run gets more time."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import click

from offpeak.cli.options import open_site, site_options, workload_of_run
from offpeak.errors import SpecError

_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")


@click.command("extend")
@click.argument("run_id")
@click.argument("span", metavar="TIME")
@click.argument("dag_file", metavar="[DAG_FILE[:NAME]]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: run_id, due_at.")
@site_options
def command(
    run_id: str, span: str, dag_file: str | None, as_json: bool, store: str | None, ledger: str | None
) -> int:
    """Move the due time of RUN_ID by TIME, such as 30m, 2h or 1h30m. Costs nothing; the table may come later.

    Only this run: the workload's next one has the due time of its DAG file.
    """
    from offpeak.by_hand import extend
    from offpeak.cli.alerting import tell

    more, site = _span(span), open_site(store, ledger)
    workload = workload_of_run(site, run_id, dag_file)
    run = extend(site, run_id, more)
    tell(site, workload, run_id)
    assert run.due_at is not None
    if as_json:
        click.echo(json.dumps({"run_id": run_id, "due_at": run.due_at.isoformat()}))
    else:
        click.echo(f"Run {run_id} is due at {run.due_at:%Y-%m-%d %H:%M} UTC now.")
    return 0


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text.strip().lower())
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    span = timedelta(days=days, hours=hours, minutes=minutes)
    if not span:
        raise SpecError(f"{text!r} is not a time to extend by. Nothing was changed. Write 30m, 2h or 1h30m.")
    return span
