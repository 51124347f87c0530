"""The verdict: what every check found, and whether readers may have the table. Facts for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from offpeak.checks.expectation import Origin, Severity

Decision = Literal["yes", "no", "broken"]
EXAMPLES = 10


class Example(NamedTuple):
    """One row that fails a check: its key and the value (a dict of them for several columns)."""

    key: Any
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found. Every field but `examples` is plain JSON; model output in it is not escaped."""

    type: str
    columns: tuple[str, ...]
    kwargs: Mapping[str, Any]
    origin: Origin
    severity: Severity
    success: bool
    sentence: str
    """For people: what is expected, what was found, and an example."""
    how: str
    """On what it was judged: slices, one column whole, the number of rows ..."""
    observed: Any = None
    element_count: int | None = None
    unexpected_count: int | None = None
    unexpected_percent: float | None = None
    """Of the rows that have a value, 0 to 100."""
    examples: tuple[Example, ...] = ()
    error: str = ""
    """Why it could not be evaluated; empty when it was."""

    @property
    def broken(self) -> bool:
        return bool(self.error)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-serialisable values."""
        record: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        record["columns"] = list(self.columns)
        record["kwargs"] = dict(self.kwargs)
        record["severity"] = str(self.severity)
        record["examples"] = [{"key": one.key, "value": one.value} for one in self.examples]
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`yes` publish, `no` keep the last good table, `broken` the data was not judged."""

    decision: Decision
    checks: tuple[CheckResult, ...]
    seconds: float
    gx_version: str
    judged_rows: int = field(default=0)
    """Rows in the staged file."""

    @property
    def against(self) -> tuple[CheckResult, ...]:
        """The checks that stand against publishing, those that failed on data first."""
        critical = [one for one in self.checks if not one.success and one.severity == Severity.CRITICAL]
        return tuple(sorted(critical, key=lambda one: one.broken))

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-serialisable values."""
        return {
            "decision": self.decision,
            "checks": [one.as_dict() for one in self.checks],
            "seconds": self.seconds,
            "gx_version": self.gx_version,
            "judged_rows": self.judged_rows,
        }


NOTHING_TO_JUDGE = Verdict(decision="yes", checks=(), seconds=0.0, gx_version="")
"""Of a run without rows and without listed checks."""


def decide(checks: Iterable[CheckResult]) -> Decision:
    """`no` if a critical check failed on data, else `broken` if one broke, else `yes`."""
    against = [one for one in checks if not one.success and one.severity == Severity.CRITICAL]
    if not against:
        return "yes"
    return "broken" if all(one.broken for one in against) else "no"
