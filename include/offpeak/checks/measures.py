"""Measures: what can be judged only after it was derived from the staged rows, such as a norm or an overlap.

Great Expectations compares plain columns. A vector, or a relation between rows, is first brought into narrow files
of plain columns; their checks are judged like all others and their results join the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from offpeak.checks.expectation import Check
from offpeak.checks.judge import judge
from offpeak.checks.verdict import Verdict, decide

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """What is measured, and where the files go."""

    workload: Workload
    site: Site
    run: Run
    staged: Path
    """The rows that would be published."""
    folder: Path
    """For the measured files; it goes away after the verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One file of plain columns, with `key` and `_outcome` among them, and the checks on it."""

    path: Path
    key: str
    checks: Sequence[Check] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values, kept with the run."""


class Measures(Protocol):
    """Made at parse time, without I/O. What it raises ends the check step with nothing published."""

    def take(self, measuring: Measuring) -> Iterator[Measured]:
        """Measure in bounded memory."""


class Judged(NamedTuple):
    verdict: Verdict
    facts: dict[str, Any]


def with_measures(verdict: Verdict, measures: Measures, measuring: Measuring) -> Judged:
    """The verdict with what the measured files have to say."""
    facts: dict[str, Any] = {}
    for measured in measures.take(measuring):
        facts |= measured.facts
        if not measured.checks:
            continue
        more = judge(measured.path, measured.checks, key=measured.key)
        results = (*verdict.checks, *more.checks)
        verdict = replace(
            verdict,
            checks=results,
            decision=decide(results),
            seconds=round(verdict.seconds + more.seconds, 3),
            gx_version=more.gx_version,
        )
    return Judged(verdict, facts)
