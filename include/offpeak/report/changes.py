"""What changed: the spec of this run beside that of the last published one, line by line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from offpeak.report.material import Material
from offpeak.report.wording import cut

PARTS: Mapping[str, str] = {
    "model": "model",
    "endpoint": "endpoint",
    "system": "system prompt",
    "user": "user prompt",
    "answer": "answer columns",
    "schema": "answer schema",
    "suite": "checks",
    "params": "parameters",
    "max_output_tokens": "output limit",
    "rows": "source of the rows",
    "keep": "kept columns",
    "into": "table",
    "limit": "limit on the rows",
    "again": "ask again what was answered before",
}
"""Every part of a spec, in words; a part that is not listed is shown under its own name."""
DERIVED = ("asks",)
"""Hashes of other parts: what changed is said there."""
DIFF_LINES = 60

Kind = Literal["added", "removed", "same", "cut"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    what: str
    lines: tuple[DiffLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Since the last published run; `since_run` is empty when there is none to compare with."""

    since_run: str
    since_at: datetime | None
    changes: tuple[Change, ...]


def changes(found: Material) -> Changes:
    """Parts that an older Offpeak did not record count as unchanged."""
    before = found.previous
    if before is None:
        return Changes(since_run="", since_at=None, changes=())
    old, new = before.spec, found.run.spec
    names = (*PARTS, *sorted({*old, *new} - {*PARTS, *DERIVED}))
    both = [name for name in names if name in old and name in new]
    return Changes(
        since_run=before.run_id,
        since_at=before.ended_at or before.updated_at,
        changes=tuple(
            Change(what=PARTS.get(name, name), lines=_diff(_lines(old[name]), _lines(new[name])))
            for name in both
            if old[name] != new[name]
        ),
    )


def _lines(value: Any) -> list[str]:
    """A part of a spec as lines that a person can compare."""
    if isinstance(value, str):
        return value.splitlines()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    if isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values()):
        return [f"{name}: {item}" for name, item in value.items()]
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str).splitlines()


def _diff(old: list[str], new: list[str]) -> tuple[DiffLine, ...]:
    heads_and_rest = difflib.unified_diff(old, new, lineterm="", n=1)
    # two lines of file names and the first place come before the first change
    made = [_line(line) for line in islice(heads_and_rest, 3, None)]
    if len(made) <= DIFF_LINES:
        return tuple(made)
    return (*made[:DIFF_LINES], DiffLine(kind="cut", text=f"… {len(made) - DIFF_LINES:,} more lines"))


def _line(line: str) -> DiffLine:
    marks: dict[str, Kind] = {"+": "added", "-": "removed", " ": "same"}
    kind = marks.get(line[:1])
    return DiffLine(kind=kind, text=cut(line[1:], 500)) if kind else DiffLine(kind="cut", text="")
