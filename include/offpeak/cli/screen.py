"""How progress, money and tables look on a terminal. Everything goes to stderr; stdout is for results."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from offpeak.progress import Progress, progress
from offpeak.states import RunState

if TYPE_CHECKING:
    import pyarrow as pa

    from offpeak.site import Site

PLAIN_EVERY_SECONDS = 10.0
TERMINAL_EVERY_SECONDS = 0.5


class ProgressLine:
    """One line that follows a run: rewritten on a terminal, printed now and then elsewhere.

    With `named` it says which run it is and is only printed: several of them follow runs side by side.
    """

    def __init__(self, site: Site, run_id: str, *, named: bool = False) -> None:
        self._site = site
        self._run_id = run_id
        self._name = f"{run_id.partition('/')[0]}: " if named else ""
        self._terminal = sys.stderr.isatty() and not named
        self._last_at = 0.0
        self._last = ""

    def __call__(self, happened: str) -> None:
        every = TERMINAL_EVERY_SECONDS if self._terminal else PLAIN_EVERY_SECONDS
        if time.monotonic() - self._last_at < every and not happened.startswith(("checking", "publishing")):
            return
        self._last_at = time.monotonic()
        line = self._name + progress_line(progress(self._site, self._run_id), self._site)
        if line == self._last:
            return
        self._last = line
        if self._terminal:
            click.echo(f"\r\033[K{line}", err=True, nl=False)
        else:
            click.echo(line, err=True)

    def end(self) -> None:
        if self._terminal and self._last:
            click.echo("", err=True)


def progress_line(look: Progress, site: Site) -> str:
    """Stage, rows, batches, spend and time left, in one line."""
    facts = look.run.facts
    requests = look.requests
    done = sum(look.outcomes.values()) if "outcomes" not in facts else requests
    parts = [str(look.run.state)]
    if "rows" in facts:
        parts.append(f"{facts['rows']:,} rows")
    if look.run.state is RunState.RUNNING:
        parts.append(f"{max(done, min(look.seen_requests, requests)):,}/{requests:,} requests answered")
        parts.append(f"{look.batches_ended}/{look.batches} batches ended")
    parts.append(f"{usd(look.spent_usd)} spent")
    left = look.left(site.now())
    if left is not None and not look.run.state.ended:
        parts.append(f"{duration(left)} to due" if left > timedelta(0) else f"{duration(-left)} LATE")
    return " · ".join(parts)


def usd(amount: Decimal | str | float | None) -> str:
    """Money with as many digits as it takes to tell it from nothing."""
    if amount is None:
        return "unknown cost"
    value = Decimal(str(amount))
    if value == 0:
        return "$0"
    return (
        f"${value:,.2f}"
        if abs(value) >= 1
        else f"${value:.2g}"
        if abs(value) < Decimal("0.001")
        else f"${value:.4f}"
    )


def duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"


def show_table(table: pa.Table, columns: list[str], *, width: int = 36) -> None:
    """A few rows, cut to fit; control characters and line breaks are shown, never sent to the terminal."""
    rows = [[_cell(value, width) for value in row.values()] for row in table.select(columns).to_pylist()]
    widths = [max([len(name), *(len(row[index]) for row in rows)]) for index, name in enumerate(columns)]
    for row in [columns, ["-" * size for size in widths], *rows]:
        click.echo("  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any, width: int) -> str:
    if isinstance(value, list) and len(value) > 4 and isinstance(value[0], float):
        return f"[{value[0]:.4f}, {value[1]:.4f}, … {len(value)}]"
    return "" if value is None else shown(str(value), width)


def shown(text: str, width: int) -> str:
    """A text from outside, safe for a terminal and cut to `width` characters."""
    safe = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: 4 * width])
    return safe if len(safe) <= width and len(text) <= 4 * width else safe[: width - 1] + "…"
