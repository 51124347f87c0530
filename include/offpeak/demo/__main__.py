"""`python -m offpeak.demo`: run WORKLOAD ..., or up."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from offpeak.demo.place import interruptible
from offpeak.errors import OffpeakError, SpecError

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 published (or `up` ended by Ctrl-C), 1 failed, 2 a mistake in the command, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m offpeak.demo", description=__doc__)
    parser.add_argument("what", choices=("run", "up"))
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="default: ticket_triage")
    parser.add_argument("--all", action="store_true", help="every workload that there are sample rows for")
    parser.add_argument("--nights", type=int, choices=(1, 2), default=2, help="default: 2")
    given = parser.parse_args(arguments)
    try:
        with interruptible():
            return _do(given)
    except KeyboardInterrupt:
        sys.stdout.write("\nInterrupted; everything that was started has been ended.\n")
        return 0 if given.what == "up" else INTERRUPTED
    except OffpeakError as error:
        sys.stderr.write(f"\nError: {error}\n")
        return 2 if isinstance(error, SpecError) else 1


def _do(given: argparse.Namespace) -> int:
    if given.what == "up":
        from offpeak.demo.up import up

        up(Path.cwd())
        return 0
    from offpeak.demo.run import demo
    from offpeak.demo.samples import SAMPLES

    names = list(SAMPLES) if given.all else given.workloads or ["ticket_triage"]
    return demo(Path.cwd(), names, nights=given.nights)


if __name__ == "__main__":
    sys.exit(main())
