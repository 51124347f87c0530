"""The checks that nobody has to write: what the answer model promises, and that no row is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from offpeak.checks.expectation import Check, Expectation, expect, listed
from offpeak.errors import SpecError
from offpeak.states import Outcome

Bound = int | float | Decimal | date


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """What the answer model says about one of its columns."""

    name: str
    nullable: bool = False
    values: tuple[Any, ...] | None = None
    """The closed set of values (Literal, Enum), without None."""
    minimum: Bound | None = None
    maximum: Bound | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    min_length: int | None = None
    max_length: int | None = None
    """In characters; of text only."""
    pattern: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the input says about the result. `max_failed` is a share, 0 to 1; SpecError if it is not."""

    rows: int
    max_failed: float
    key: str

    def __post_init__(self) -> None:
        if not 0 <= self.max_failed <= 1:
            raise SpecError(f"max_failed={self.max_failed} is not a share between 0 and 1.")


def suite(checks: Sequence[object], columns: Sequence[ColumnFacts], expected: Expected) -> tuple[Check, ...]:
    """All checks of a run: completeness first, then what the answer model implies, then what is listed.

    An implied check that the user lists word for word is kept once, as listed.
    """
    own = listed(checks)
    said = [check.expectation for check in own if check.expectation.own is None]
    silent = tuple(check for check in implied(columns) if check.expectation not in said)
    return completeness(expected) + silent + own


def implied(columns: Sequence[ColumnFacts]) -> tuple[Check, ...]:
    """What the answer model promises about the answered rows."""
    return tuple(
        Check(expectation=expectation, origin="implied")
        for facts in columns
        for expectation in _of_column(facts)
    )


def _of_column(facts: ColumnFacts) -> list[Expectation]:
    column = facts.name
    found = []
    if not facts.nullable:
        found.append(expect("ExpectColumnValuesToNotBeNull", column=column))
    if facts.values is not None:
        found.append(expect("ExpectColumnValuesToBeInSet", column=column, value_set=list(facts.values)))
    if facts.minimum is not None or facts.maximum is not None:
        limits = _given(
            min_value=facts.minimum,
            max_value=facts.maximum,
            strict_min=facts.exclusive_minimum or None,
            strict_max=facts.exclusive_maximum or None,
        )
        found.append(expect("ExpectColumnValuesToBeBetween", column=column, **limits))
    if facts.min_length is not None or facts.max_length is not None:
        limits = _given(min_value=facts.min_length, max_value=facts.max_length)
        found.append(expect("ExpectColumnValueLengthsToBeBetween", column=column, **limits))
    if facts.pattern is not None:
        found.append(expect("ExpectColumnValuesToMatchRegex", column=column, regex=facts.pattern))
    return found


def completeness(expected: Expected) -> tuple[Check, ...]:
    """Every row of the input is there once, under its key, and enough of them are answered."""
    expectations = (
        expect("ExpectTableRowCountToEqual", value=expected.rows),
        expect("ExpectColumnValuesToNotBeNull", column=expected.key),
        expect("ExpectColumnValuesToBeUnique", column=expected.key),
        expect("ExpectColumnValuesToNotBeNull", column="_outcome"),
        expect(
            "ExpectColumnValuesToBeInSet",
            column="_outcome",
            value_set=[Outcome.ANSWERED],
            mostly=round(1 - expected.max_failed, 12),  # 1 - 0.3 is not 0.7 in binary
        ),
    )
    return tuple(Check(expectation=one, origin="completeness", answered_only=False) for one in expectations)


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
