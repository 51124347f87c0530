"""`offpeak vectors`: the versions of a table of vectors, and which one readers see."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from offpeak.cli.options import open_site, site_options

if TYPE_CHECKING:
    from offpeak.embeddings.spec import Embeddings


@click.command("vectors")
@click.argument("dag_file", metavar="DAG_FILE[:NAME]")
@site_options
@click.option("--use", metavar="VERSION", help="Show readers this version, and keep it before them.")
@click.option("--follow", is_flag=True, help="Show readers the latest publish again, and each that follows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per version on stdout.")
def command(
    dag_file: str, store: str | None, ledger: str | None, use: str | None, follow: bool, as_json: bool
) -> int:
    """List the versions that are kept; --use goes back to one of them in one step. Asks no provider."""
    from offpeak.embeddings.search import open_table

    if use and follow:
        raise click.UsageError(
            "--use holds readers at a version, --follow lets them go on. Give one of them."
        )
    spec, site = embeddings_of(dag_file), open_site(store, ledger)
    table = open_table(spec, site)
    try:
        if use or follow:
            moved = table.use(use)
            click.echo(f"Readers now see version {moved.name} ({moved.row_count:,} chunks).", err=True)
        versions = table.versions()
    finally:
        table.close()
    for one in versions:
        facts = {
            "version": one.name,
            "chunks": one.row_count,
            "published_at": one.published_at.isoformat(timespec="seconds"),
            "run_id": one.run_id,
            "readers": one.current,
            "held": one.pinned,
            "dag_file": one.name == spec.version,
        }
        marks = [
            "readers see it" * one.current,
            "held there by --use" * one.pinned,
            "the DAG file's" * (one.name == spec.version),
        ]
        said = ", ".join(filter(None, marks))
        line = f"{one.name}  {one.row_count:>9,} chunks  {facts['published_at']}  {said}".rstrip()
        click.echo(json.dumps(facts) if as_json else line)
    if not versions:
        click.echo(f"{spec.into.describe()} holds no vectors yet. Run the workload first.", err=True)
    return 0


def embeddings_of(dag_file: str) -> Embeddings:
    """The Embeddings of a DAG file; SpecError when it has none."""
    from offpeak.dag_files import load_spec
    from offpeak.embeddings.spec import Embeddings
    from offpeak.errors import SpecError

    spec = load_spec(dag_file)
    if not isinstance(spec, Embeddings):
        raise SpecError(
            f"{dag_file} gives {spec.name}, which is no Embeddings, so there are no vectors. "
            "Name the DAG file of one; with several in a file write FILE:NAME."
        )
    return spec
