"""Approval on the command line: `--yes`, or a question where there is a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from offpeak.approval import Question
    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload

yes_option = click.option(
    "--yes", is_flag=True, help="Approve an estimate above approve_above_usd without being asked."
)


def settle_on_terminal(workload: Workload, site: Site, run: Run) -> None:
    """`approval.settle` for the command that runs, which has `yes_option`. Raises what it raises."""
    from offpeak.approval import settle

    yes = bool(click.get_current_context().params.get("yes"))
    settle(workload, site, run, yes=yes, ask=_ask if sys.stdin.isatty() else None)


def _ask(question: Question) -> bool:
    click.echo("\n".join(question.lines), err=True)
    return click.confirm(question.title, default=False, err=True)
