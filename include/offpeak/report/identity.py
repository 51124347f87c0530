"""The identity: which run this is, where its files and its table lie, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from offpeak.ledger.records import Run
from offpeak.plan import run_folder
from offpeak.report.material import Material
from offpeak.states import RunState

COLUMNS: Mapping[str, str] = {
    "_fingerprint": "hash of the request that answered the row; empty for a row that was never asked",
    "_model": "the model that answered, in the provider's words",
    "_run": "the run in which the row was asked; an earlier one for a carried answer",
    "_outcome": "how the row ended, as under Coverage",
    "_input_tokens": "tokens that went in, over all rounds of the row",
    "_output_tokens": "tokens that came out, reasoning included, over all rounds of the row",
    "_cost_usd": "what the row cost this run; the sum over the table is what was paid",
    "_answered_at": "when the answer was made",
}
"""The columns of provenance, one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something to do next, and what it does."""

    command: str
    does: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    at: datetime
    what: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    run_id: str
    workload: str
    edition: int
    interval_key: str
    interval_start: datetime
    interval_end: datetime
    provider: str
    model: str
    started_by: str
    spec_hash: str
    store: str
    folder: str
    """Of the report, in the store."""
    files: str
    """The folder of the run's own files in the store; empty before it is planned."""
    into: str
    table_address: str
    """Where it was published; empty when it was not."""
    table_rows: int | None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    offpeak_version: str
    columns: Mapping[str, str]
    commands: tuple[Command, ...]
    events: tuple[EventLine, ...]


def identity(found: Material) -> Identity:
    run, table = found.run, found.part("table")
    return Identity(
        run_id=run.run_id,
        workload=run.workload,
        edition=run.edition,
        interval_key=run.interval_key,
        interval_start=run.interval_start,
        interval_end=run.interval_end,
        provider=run.provider,
        model=run.model,
        started_by=run.started_by,
        spec_hash=run.spec_hash,
        store=run.store,
        folder=run_folder(run),
        files=str(found.fact("folder") or ""),
        into=str(run.spec.get("into") or ""),
        table_address=str(table.get("address") or ""),
        table_rows=table.get("rows"),
        created_at=run.created_at,
        updated_at=run.updated_at,
        ended_at=run.ended_at,
        offpeak_version=version("offpeak"),
        columns=COLUMNS,
        commands=_commands(run, found.count("dead_letters") or 0),
        events=tuple(EventLine(at=one.at, what=one.what, detail=one.detail) for one in found.events),
    )


def _commands(run: Run, dead_letters: int) -> tuple[Command, ...]:
    named = shlex.quote(run.run_id)
    commands = [Command(command=f"offpeak status {named}", does="how the run stands now")]
    if dead_letters:
        commands.append(
            Command(command=f"offpeak dead-letters list {named}", does="every row without an answer, and why")
        )
    if not run.state.ended:
        commands.append(
            Command(
                command=f"offpeak cancel {named}", does="end it; what is answered stays paid for and kept"
            )
        )
    if run.state in (RunState.REFUSED, RunState.FAILED):
        commands.append(
            Command(
                command=f"offpeak status --workload {shlex.quote(run.workload)}",
                does="the workload's other runs",
            )
        )
    return tuple(commands)
