"""Checks: the suite of a run, judged by Great Expectations before anything is published."""

from offpeak.checks.engine import rehearse
from offpeak.checks.expectation import Check, Expectation, Severity, as_expectation, expect, listed, problems
from offpeak.checks.implied import ColumnFacts, Expected, completeness, implied, suite
from offpeak.checks.judge import judge
from offpeak.checks.slices import SLICE_ROWS
from offpeak.checks.verdict import CheckResult, Decision, Example, Verdict, decide

__all__ = [
    "SLICE_ROWS",
    "Check",
    "CheckResult",
    "ColumnFacts",
    "Decision",
    "Example",
    "Expectation",
    "Expected",
    "Severity",
    "Verdict",
    "as_expectation",
    "completeness",
    "decide",
    "expect",
    "implied",
    "judge",
    "listed",
    "problems",
    "rehearse",
    "suite",
]
