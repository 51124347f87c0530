"""The command `offpeak` and its subcommands, each imported when it is called."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from importlib import import_module
from typing import NoReturn

import click

_COMMANDS = {
    "run": ("offpeak.cli.run", "Run a workload from its rows to its published table."),
    "plan": ("offpeak.cli.plan", "Show what a run would send and cost. Sends nothing."),
    "preview": ("offpeak.cli.preview", "Ask a few rows in realtime and show the answers."),
    "status": ("offpeak.cli.status", "Show the latest runs, or where one stands."),
    "report": ("offpeak.cli.report", "Write a run's report again and say where it is."),
    "dead-letters": ("offpeak.cli.dead_letters", "List rows without an answer, or ask them again."),
    "escalate": ("offpeak.cli.escalate", "Take a run's rest to the realtime route now."),
    "extend": ("offpeak.cli.extend", "Give a run more time."),
    "publish": ("offpeak.cli.publish", "Publish what a run has, without its open rows."),
    "cancel": ("offpeak.cli.cancel", "Cancel a run's batches and keep what they finished."),
    "search": ("offpeak.cli.search", "Show the chunks of a corpus nearest to a question."),
    "vectors": ("offpeak.cli.vectors", "List the versions of vectors, or go back to one."),
    "sweep": ("offpeak.cli.sweep", "Find paid batches that no living run looks after."),
    "emulate": ("offpeak.cli.emulate", "Serve the providers' APIs on localhost, for trials and tests."),
}


class _Lazy(click.Group):
    """Lists its commands without importing them, so that --help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(_COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="offpeak", prog_name="offpeak")
def group() -> None:
    """LLM work that nobody waits for: paid once, checked before it is read, on time.

    A store (a folder or an s3:// address) holds the files, a ledger (SQLite or Postgres) the state:
    --store and --ledger, or the variables OFFPEAK_STORE and OFFPEAK_LEDGER; by default ./offpeak-store.
    Keys come from AIRFLOW_CONN_OPENAI_DEFAULT and the like, or OPENAI_API_KEY, ANTHROPIC_API_KEY.
    """


def script() -> NoReturn:
    """What the installed command calls: `main`, and then the end of the process.

    Python would first take every module apart, a second of work once Great Expectations is among them.
    """
    try:
        main()
    except SystemExit as done:
        if "great_expectations" not in sys.modules or any(
            not thread.daemon and thread is not threading.current_thread() for thread in threading.enumerate()
        ):
            raise
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(done.code if isinstance(done.code, int) else 1)
    raise AssertionError("main ends with SystemExit")


def main() -> NoReturn:
    """Run the command. An error that Offpeak knows is a message and exit code 1, never a traceback."""
    from offpeak.errors import OffpeakError, SpecError
    from offpeak.memory import keep_little

    keep_little()
    try:
        sys.exit(group.main(standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except SpecError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except OffpeakError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
