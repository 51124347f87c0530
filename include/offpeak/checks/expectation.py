"""An expectation as a DAG file states it: a name and arguments, checked without Great Expectations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Literal

from offpeak.checks.catalogue import CATALOGUE, COLUMN_ARGUMENTS, CURES, NUMERIC, Entry, Kind
from offpeak.errors import SpecError

Origin = Literal["listed", "implied", "completeness"]
_DROPPED = frozenset({"notes", "meta"})  # words for Great Expectations' own pages, which are not used here
_CONDITIONS = ("row_condition", "condition_parser", "windows")


class Severity(StrEnum):
    """Only a critical check that fails refuses the table; the others are reported."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One expectation: its name and arguments as Great Expectations knows them. Never changed.

    Raises SpecError for an unknown name or argument, a missing one, or a value that can never work.
    """

    type: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = Severity.CRITICAL
    description: str = ""
    """The user's own sentence; it replaces ours in the report."""
    own: Any = field(default=None, repr=False)
    """An object of the user's own class, handed to Great Expectations as it is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kwargs", {name: _plain(value) for name, value in self.kwargs.items()})
        found = [] if self.own is not None else list(_complaints(self.type, self.kwargs))
        if found:
            raise SpecError(f"{self.type}: " + " ".join(found) + " Correct the workload's checks.")

    @property
    def kind(self) -> Kind:
        return CATALOGUE[self.type].kind if self.own is None else "whole"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are judged, each once, in the order of the arguments."""
        named: list[str] = []
        for argument in COLUMN_ARGUMENTS:
            value = self.kwargs.get(argument)
            named += [value] if isinstance(value, str) else list(value or ())
        return tuple(dict.fromkeys(named))

    @property
    def mostly(self) -> float:
        """The share of rows that must meet it, 0 to 1."""
        return float(self.kwargs.get("mostly", 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """An expectation, where it comes from, and whether it judges answered rows only or all of them."""

    expectation: Expectation
    origin: Origin
    answered_only: bool = True


def expect(type: str, /, **arguments: Any) -> Expectation:  # noqa: A002  (the argument is GX's own word)
    """The expectation called `type`. Raises SpecError when it can never be judged as it is written."""
    for name in _CONDITIONS:
        if arguments.get(name):
            raise SpecError(
                f"{type}: {name} is not supported, every answered row is judged. State a rule that depends "
                "on another column in the answer model (a pydantic model_validator): a row that breaks it "
                "is invalid and is asked again."
            )
    return Expectation(
        type=type,
        kwargs={
            name: value
            for name, value in arguments.items()
            if name not in {"severity", "description", *_DROPPED, *_CONDITIONS}
        },
        severity=_severity(type, arguments.get("severity")),
        description=arguments.get("description") or "",
    )


def listed(checks: Sequence[object]) -> tuple[Check, ...]:
    """The checks of a workload: our expectations, Great Expectations' objects, and objects of own classes.

    Raises SpecError for anything else. Does not import Great Expectations.
    """
    return tuple(Check(expectation=as_expectation(check), origin="listed") for check in checks)


def as_expectation(check: object) -> Expectation:
    """`check` as our own type. Raises SpecError when it is no expectation."""
    if isinstance(check, Expectation):
        return check
    family = {(base.__module__, base.__name__) for base in type(check).__mro__}
    name = type(check).__name__
    if ("great_expectations.expectations.expectation", "Expectation") not in family:
        raise SpecError(
            f"checks= holds {check!r:.200}, which is no expectation. Write "
            '`from offpeak import gxe` and gxe.ExpectColumnValuesToBeInSet(column="...", value_set=[...]).'
        )
    given = {field: getattr(check, field) for field in getattr(check, "__fields_set__", ())}
    if type(check).__module__.startswith("great_expectations.") and name in CATALOGUE:
        return expect(name, **{key: value for key, value in given.items() if key in _readable(name)})
    columns = {name: getattr(check, name) for name in COLUMN_ARGUMENTS if getattr(check, name, None)}
    if not columns or getattr(check, "row_condition", None):
        raise SpecError(
            f"{name}: an expectation class of your own must name its columns (column, column_A and column_B, "
            "or column_list) and have no row_condition, so that only those columns are read."
        )
    return Expectation(
        type=name,
        kwargs=columns,
        severity=_severity(name, getattr(check, "severity", None)),
        description=getattr(check, "description", None) or "",
        own=check,
    )


def problems(checks: Sequence[Expectation], columns: Mapping[str, str]) -> list[str]:
    """What is wrong with `checks` on a table of `columns` (name to Arrow type text), each with its cure."""
    return [problem for check in checks for problem in _column_problems(check, columns)]


def _column_problems(check: Expectation, columns: Mapping[str, str]) -> Iterator[str]:
    if check.own is None and check.kind == "columns":
        return  # it asks which columns there are, so a missing one is a failure and not a mistake
    for column in check.columns:
        type_text = columns.get(column)
        if type_text is None:
            yield (
                f"{check.type} names the column {column!r}, which the table does not have."
                f"{_nearest(column, columns)} The columns are: {', '.join(columns)}."
            )
        elif is_nested(type_text) and not asks_for_nulls(check):
            yield (
                f"{check.type} cannot judge {column!r} ({type_text}): only plain columns are compared. "
                "Use ExpectColumnValuesToNotBeNull on it, or state the rule in the answer model."
            )
        elif check.type in NUMERIC and type_text in {"string", "large_string"}:
            yield f"{check.type} needs numbers, but {column!r} is {type_text}. Name a number column."


def is_nested(type_text: str) -> bool:
    """Whether an Arrow type, as text, is a vector, a list or a record."""
    return "<" in type_text and not type_text.startswith(("dictionary<", "extension<"))


def asks_for_nulls(check: Expectation) -> bool:
    return check.type in {"ExpectColumnValuesToNotBeNull", "ExpectColumnValuesToBeNull"}


def _readable(name: str) -> set[str]:
    return {*CATALOGUE[name].arguments, "severity", "description", *_CONDITIONS}


def _severity(name: str, value: object) -> Severity:
    text = value.value if isinstance(value, Enum) else value or Severity.CRITICAL
    try:
        return Severity(str(text))
    except ValueError:
        raise SpecError(f"{name}: severity={text!r} is not one of {', '.join(Severity)}.") from None


def _plain(value: Any) -> Any:
    """`value` as lists, dicts and scalars: sets sorted, enums by value, patterns as text."""
    if isinstance(value, type) and issubclass(value, Enum):
        return [member.value for member in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, re.Pattern):
        return value.pattern
    if isinstance(value, set | frozenset):
        return [_plain(item) for item in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    to_dict = getattr(value, "dict", None)  # Great Expectations' own argument models
    return _plain(to_dict()) if callable(to_dict) else value


def _complaints(name: str, kwargs: Mapping[str, Any]) -> Iterator[str]:
    entry = CATALOGUE.get(name)
    if entry is None:
        yield f"Great Expectations has no expectation of this name.{_nearest(name, CATALOGUE)}"
        return
    if entry.kind == "refused":
        yield f"it cannot be judged on a staged file; {CURES[name]}."
        return
    for argument in kwargs:
        if argument not in entry.arguments:
            yield f"there is no argument {argument!r}.{_nearest(argument, entry.arguments)}"
    for argument in sorted(entry.required - set(kwargs)):
        yield f"the argument {argument!r} is missing."
    yield from _value_complaints(entry, kwargs)


def _value_complaints(entry: Entry, kwargs: Mapping[str, Any]) -> Iterator[str]:
    mostly = kwargs.get("mostly", 1)
    if isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 <= mostly <= 1:
        yield f"mostly={mostly!r} is not a share between 0 and 1."
    for argument, value in kwargs.items():
        if isinstance(value, dict) and "$PARAMETER" in value:
            yield f"{argument} is a suite parameter, which nobody fills in; write the value."
        elif argument in {"column", "column_A", "column_B"} and not (isinstance(value, str) and value):
            yield f"{argument}={value!r} is not the name of a column."
        elif argument.endswith(("_set", "_list")) and not isinstance(value, list):
            yield f"{argument}={value!r} is not a list."
        elif argument in {"regex", "regex_list"}:
            yield from _regex_complaints(value if isinstance(value, list) else [value])
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        yield f"min_value={low} is above max_value={high}."
    if {"min_value", "strict_min"} <= set(entry.arguments) and low is None and high is None:
        yield "neither min_value nor max_value is given."


def _regex_complaints(patterns: Sequence[Any]) -> Iterator[str]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            yield f"the regular expression {pattern!r} cannot be read: {error}."


def _nearest(word: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
