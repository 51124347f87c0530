"""`offpeak preview`: a few rows in realtime, before anyone pays for all of them."""

from __future__ import annotations

import json
from decimal import Decimal

import click

from offpeak.cli.options import interval_of, load_workload, open_site, workload_options


@click.command("preview")
@workload_options
@click.option("--count", type=click.IntRange(1, 50), default=5, show_default=True, help="Rows to ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per row on stdout.")
def command(
    dag_file: str,
    rows_file: str | None,
    store: str | None,
    ledger: str | None,
    limit: int | None,
    count: int,
    as_json: bool,
) -> int:
    """Ask the first few rows through the realtime route and show each request with its answer.

    Costs the realtime price of these rows. Publishes nothing. Exit code 1 when no row was answered.
    """
    from offpeak.cli.screen import shown, usd
    from offpeak.prospect import preview
    from offpeak.states import Outcome

    workload, site = load_workload(dag_file, rows_file), open_site(store, ledger)
    spent: Decimal | None = Decimal(0)
    answered = asked = 0
    for one in preview(workload, site, interval_of(None, None), count=min(count, limit or count)):
        asked += 1
        answered += one.result.outcome is Outcome.ANSWERED
        spent = None if spent is None or one.cost_usd is None else spent + one.cost_usd
        answer = one.result.answer if one.result.answer is not None else one.result.raw
        if as_json:
            record = {
                "user": one.user,
                "outcome": one.result.outcome,
                "answer": answer,
                "reason": one.result.reason,
                "model": one.result.model,
            }
            click.echo(json.dumps(record, default=_plain))
            continue
        click.echo(f"\n{asked}. {shown(one.user, 400)}")
        said = json.dumps(answer, ensure_ascii=False, default=_plain)
        click.echo(f"   {one.result.outcome}: {shown(said, 800)}")
        if one.result.reason:
            click.echo(f"   {shown(one.result.reason, 400)}")
    click.echo(
        f"\n{answered} of {asked} rows answered by {workload.model}; {usd(spent)} spent in realtime. "
        "Nothing was published.",
        err=True,
    )
    return 0 if answered else 1


def _plain(value: object) -> str:
    return f"{len(value) // 4} float32" if isinstance(value, bytes) else str(value)
