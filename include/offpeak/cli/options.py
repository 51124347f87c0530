"""Options that several commands share, and the site they name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from offpeak.errors import SpecError

if TYPE_CHECKING:
    from offpeak.pipeline import Pipelined
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload

F = TypeVar("F", bound=Callable[..., Any])


def site_options(command: F) -> F:
    """--store and --ledger."""
    command = click.option(
        "--ledger", metavar="URL", help="Ledger database [env OFFPEAK_LEDGER; default: SQLite in the store]."
    )(command)
    return click.option(
        "--store",
        metavar="DIR",
        help="Folder or s3:// address [env OFFPEAK_STORE; default: ./offpeak-store].",
    )(command)


def workload_options(command: F) -> F:
    """DAG_FILE, --rows and --limit, with the site's options."""
    command = click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Read the first N rows only."
    )(command)
    command = click.option(
        "--rows",
        "rows_file",
        metavar="FILE",
        help="Read rows from this file (.parquet .csv .tsv .jsonl) instead.",
    )(command)
    return click.argument("dag_file", metavar="DAG_FILE[:NAME]")(site_options(command))


def open_site(store: str | None, ledger: str | None) -> Site:
    """The site for a command that waits by itself: it looks at batches sooner than Airflow does."""
    from offpeak.polling import Pace
    from offpeak.site import Site

    return Site.open(store=store, ledger=ledger, pace=Pace.quick_from_env())


def load_workload(dag_file: str, rows_file: str | None) -> Workload:
    """The workload of a DAG file, reading `rows_file` instead of its own source if given."""
    from offpeak.dag_files import load

    workload = load(dag_file)
    return workload if rows_file is None else with_rows(workload, rows_file)


def load_to_run(dag_file: str, rows_file: str | None) -> Workload | Pipelined:
    """The workload or the pipeline of a DAG file. SpecError for a pipeline that is to read another file: its
    rows are made from its source in ways of its own."""
    from offpeak.dag_files import load_spec
    from offpeak.workload import Workload

    spec = load_spec(dag_file)
    if rows_file is None:
        return spec
    if not isinstance(spec, Workload):
        raise SpecError(
            f"--rows is for a workload, and {dag_file} is the pipeline {spec.name}. Leave it out."
        )
    return with_rows(spec, rows_file)


def with_rows(workload: Workload, rows_file: str) -> Workload:
    """The workload reading this file in place of its own source."""
    from offpeak.rows.override import from_file

    return replace(workload, rows=from_file(rows_file, key=workload.rows.key))


def workload_of_run(site: Site, run_id: str, dag_file: str | None) -> Workload:
    """The workload of a run, from the DAG file that is named or else from the one that started the run."""
    run = site.ledger.run(run_id)
    reference = dag_file or run.facts.get("dag_file")
    if not reference:
        raise SpecError(
            f"Run {run_id} does not say which DAG file it came from; name it as the second argument."
        )
    from offpeak.dag_files import load_named

    return load_named(str(reference), run.workload)


def interval_of(start: str | None, end: str | None) -> Interval:
    """The interval named on the command line; an empty one at the present moment if none is."""
    from offpeak.site import Interval

    until = moment_of(end) if end else datetime.now(UTC)
    return Interval(start=moment_of(start) if start else until, end=until)


def moment_of(text: str) -> datetime:
    """A time as people write it; UTC if it names no zone. SpecError when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SpecError(f"{text!r} is not a time; write it as 2026-11-22T08:00:00+00:00.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
