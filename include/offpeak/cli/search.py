"""`offpeak search`: the chunks of a corpus that are nearest to a question."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from offpeak.cli.options import open_site, site_options


@click.command("search")
@click.argument("dag_file", metavar="DAG_FILE[:NAME]")
@click.argument("question")
@site_options
@click.option("--top", type=click.IntRange(1, 100), default=5, show_default=True, help="Chunks to show.")
@click.option("--version", metavar="VERSION", help="Search this version, not the one that readers see.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per chunk on stdout.")
def command(
    dag_file: str,
    question: str,
    store: str | None,
    ledger: str | None,
    top: int,
    version: str | None,
    as_json: bool,
) -> int:
    """Embed QUESTION in realtime and show the nearest chunks with score, document, heading and text.

    Costs the realtime price of the question. Exit code 1 when nothing is there to be searched.
    """
    from offpeak.cli.screen import shown
    from offpeak.cli.vectors import embeddings_of
    from offpeak.embeddings.search import search

    spec, site = embeddings_of(dag_file), open_site(store, ledger)
    seen, hits = search(spec, site, question, top=top, version=version)
    for number, hit in enumerate(hits, 1):
        if as_json:
            click.echo(json.dumps(asdict(hit), ensure_ascii=False))
            continue
        click.echo(f"\n{number}. {hit.score:.3f}  {shown(hit.document, 200)}")
        if hit.heading:
            click.echo(f"   {shown(hit.heading, 200)}")
        click.echo(f"   {shown(' '.join(hit.text.split()), 400)}")
    click.echo(f"\n{len(hits)} of {seen.row_count:,} chunks, version {seen.name}.", err=True)
    return 0 if hits else 1
