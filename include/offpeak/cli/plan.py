"""`offpeak plan`: what a run would send and cost."""

from __future__ import annotations

import json

import click

from offpeak.cli.options import interval_of, load_workload, open_site, workload_options


@click.command("plan")
@workload_options
@click.option(
    "--start", metavar="TIME", help="Start of the data interval (ISO 8601; UTC if no zone is given)."
)
@click.option("--end", metavar="TIME", help="End of the data interval [default: now].")
@click.option("--show", type=click.IntRange(0, 20), default=1, show_default=True, help="Requests to print.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line on stdout.")
def command(
    dag_file: str,
    rows_file: str | None,
    store: str | None,
    ledger: str | None,
    limit: int | None,
    as_json: bool,
    **options: str | None,
) -> int:
    """Read the rows and show what a run would send and cost. Sends nothing and leaves no run behind."""
    from offpeak.cli.screen import usd
    from offpeak.prospect import prospect

    workload, site = load_workload(dag_file, rows_file), open_site(store, ledger)
    interval = interval_of(options["start"], options["end"])
    seen = prospect(workload, site, interval, limit=limit, samples=int(options["show"] or 0))
    plan, cost = seen.plan, seen.estimate
    click.echo(
        f"{plan.rows:,} rows: {plan.carried:,} answered before, {plan.folded:,} alike, {plan.bad:,} bad, "
        f"{plan.asked:,} to ask in {len(plan.shards)} shards of {workload.model}."
    )
    click.echo(
        f"Estimate: {cost.input_tokens:,} tokens in, {cost.output_tokens:,} out; {usd(cost.batch_usd)} by batch, "
        f"{usd(cost.realtime_usd)} in realtime (from {cost.basis})."
    )
    for line in (*plan.bad_examples, *seen.samples):
        click.echo(line)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "rows": plan.rows,
                    "carried": plan.carried,
                    "folded": plan.folded,
                    "bad": plan.bad,
                    "requests": plan.asked,
                    "shards": len(plan.shards),
                    "input_tokens": cost.input_tokens,
                    "output_tokens": cost.output_tokens,
                    "cost_usd": {
                        "estimate": None if cost.batch_usd is None else float(cost.batch_usd),
                        "realtime": None if cost.realtime_usd is None else float(cost.realtime_usd),
                    },
                }
            )
        )
    return 0
