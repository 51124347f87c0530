"""`offpeak dead-letters`: rows without an answer, listed, exported or asked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from offpeak.cli.approve import yes_option
from offpeak.cli.options import open_site, site_options, workload_of_run

if TYPE_CHECKING:
    from offpeak.dead_letters import Choice

F = TypeVar("F", bound=Callable[..., Any])


def _choice_options(command: F) -> F:
    """--outcome, --code and --key."""
    command = click.option("--key", default="", metavar="GLOB", help="Only keys like this, e.g. 'eu-*'.")(
        command
    )
    command = click.option(
        "--code", "codes", multiple=True, metavar="CODE", help="Only this code; repeatable."
    )(command)
    return click.option(
        "--outcome",
        "outcomes",
        multiple=True,
        metavar="OUTCOME",
        help="Only this outcome (invalid, refused, truncated, errored ...); repeatable.",
    )(command)


def _choice(options: dict[str, Any]) -> Choice:
    from offpeak.dead_letters import Choice

    return Choice(outcomes=options["outcomes"], codes=options["codes"], key=options["key"])


@click.group("dead-letters")
def command() -> None:
    """List the rows that a run gave up on, export them, or ask them again."""


@command.command("list")
@click.argument("run_id")
@_choice_options
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Rows to list.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per row, with its texts.")
@site_options
def list_letters(
    run_id: str, limit: int, as_json: bool, store: str | None, ledger: str | None, **options: Any
) -> int:
    """List the dead letters of RUN_ID with their outcome and reason."""
    from offpeak.cli.screen import shown
    from offpeak.dead_letters import dead_letters

    site = open_site(store, ledger)
    listed = 0
    for letter in islice(dead_letters(site, run_id, _choice(options)), limit):
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


@command.command("export")
@click.argument("run_id")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_choice_options
@site_options
def export(run_id: str, file: Path, store: str | None, ledger: str | None, **options: Any) -> int:
    """Write the dead letters of RUN_ID with all their texts to FILE (.jsonl, .csv or .parquet)."""
    from offpeak.dead_letters import export_dead_letters

    count = export_dead_letters(open_site(store, ledger), run_id, file, _choice(options))
    click.echo(f"{count:,} dead letters of {run_id} written to {file}.", err=True)
    return 0


@command.command("replay")
@click.argument("run_id")
@click.argument("dag_file", metavar="[DAG_FILE[:NAME]]", required=False)
@_choice_options
@click.option("--model", metavar="PROVIDER:MODEL", help="Ask this model instead of the DAG file's.")
@click.option(
    "--max-output-tokens", type=click.IntRange(min=1), metavar="N", help="Give answers this much room."
)
@click.option(
    "--prompt",
    "user",
    metavar="FILE_OR_TEXT",
    help="Another user template. It may use {{ row.sent }} (the text as it was sent), the key and kept columns.",
)
@click.option("--system", metavar="FILE_OR_TEXT", help="Another system text.")
@yes_option
@click.option("--rows", hidden=True, expose_value=False, help="Not read: the rows are those of the run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line on stdout.")
@site_options
def replay(
    run_id: str,
    dag_file: str | None,
    as_json: bool,
    store: str | None,
    ledger: str | None,
    **options: Any,
) -> int:
    """Ask the dead letters of RUN_ID again; every other row of the run keeps what it has.

    The rows and their texts are those of the run, whatever the source says by now. The result is the next
    edition of the same interval, through the same checks into the same table.
    """
    from offpeak.cli.run import run_to_end
    from offpeak.replay import Replay
    from offpeak.run import new_replay

    site = open_site(store, ledger)
    old, workload = site.ledger.run(run_id), workload_of_run(site, run_id, dag_file)
    given = {name: options[name] for name in ("model", "max_output_tokens")}
    given |= {name: _text(options[name]) for name in ("user", "system")}
    changes = {name: value for name, value in given.items() if value is not None}
    wanted = Replay(of=run_id, choice=_choice(options), changes=changes)
    asked, new, interval = new_replay(workload, site, wanted, started_by=f"replay of {run_id}")
    origin = {name: old.facts.get(name) for name in ("dag_file", "rows_file")}
    return run_to_end(asked, site, new, interval, as_json=as_json, origin=origin)


def _text(file_or_text: str | None) -> str | None:
    """What the file says if there is one of that name, else the text itself."""
    if file_or_text is None or "\n" in file_or_text or len(file_or_text) > 1_000:
        return file_or_text
    path = Path(file_or_text)
    return path.read_text("utf-8") if path.is_file() else file_or_text
