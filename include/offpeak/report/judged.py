"""The verdict, as the report shows it: what stands against the table first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from offpeak.report.material import Material
from offpeak.report.wording import cut

Found = Literal["failed", "broken", "passed"]
EXAMPLES = 5
_ORDER: dict[Found, int] = {"failed": 0, "broken": 1, "passed": 2}
_SEVERITY = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckExample:
    """One row that fails the check; the value as JSON text."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLine:
    """One check. `broken`: it could not be evaluated, which says nothing about the data."""

    found: Found
    sentence: str
    severity: str
    origin: str
    type: str
    columns: tuple[str, ...]
    how: str
    observed: str
    rows: int | None
    unexpected: int | None
    unexpected_percent: float | None
    examples: tuple[CheckExample, ...]
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict: `yes`, `no` or `broken`; failed checks first, then broken ones, each by severity."""

    decision: str
    failed: int
    broken: int
    passed: int
    judged_rows: int | None
    seconds: float | None
    gx_version: str
    checks: tuple[CheckLine, ...]


def judged(found: Material) -> Judged | None:
    """None when the run has not been judged."""
    verdict = found.part("verdict")
    if not verdict:
        return None
    lines = [_line(one) for one in verdict.get("checks") or [] if isinstance(one, Mapping)]
    lines.sort(key=lambda one: (_ORDER[one.found], _SEVERITY.get(one.severity, 3)))
    return Judged(
        decision=str(verdict.get("decision") or ""),
        failed=sum(one.found == "failed" for one in lines),
        broken=sum(one.found == "broken" for one in lines),
        passed=sum(one.found == "passed" for one in lines),
        judged_rows=verdict.get("judged_rows"),
        seconds=verdict.get("seconds"),
        gx_version=str(verdict.get("gx_version") or ""),
        checks=tuple(lines),
    )


def _line(one: Mapping[str, Any]) -> CheckLine:
    error = str(one.get("error") or "")
    found: Found = "broken" if error else "passed" if one.get("success") else "failed"
    examples = one.get("examples") or []
    return CheckLine(
        found=found,
        sentence=str(one.get("sentence") or one.get("type") or ""),
        severity=str(one.get("severity") or ""),
        origin=str(one.get("origin") or ""),
        type=str(one.get("type") or ""),
        columns=tuple(str(name) for name in one.get("columns") or ()),
        how=str(one.get("how") or ""),
        observed="" if one.get("observed") is None else _text(one["observed"]),
        rows=one.get("element_count"),
        unexpected=one.get("unexpected_count"),
        unexpected_percent=one.get("unexpected_percent"),
        examples=tuple(
            CheckExample(key=_text(example.get("key")), value=_text(example.get("value")))
            for example in examples[:EXAMPLES]
            if isinstance(example, Mapping)
        )
        if found == "failed"
        else (),
        error=cut(error),
    )


def _text(value: Any) -> str:
    return cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
