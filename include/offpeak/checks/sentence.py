"""One plain English sentence per check, for the report: what is expected, and what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from offpeak.checks.expectation import Check, Expectation
from offpeak.checks.plain import bare, percent, quoted
from offpeak.checks.verdict import Example
from offpeak.states import Outcome

_LISTED = 8  # values named in a sentence


def claim(check: Check) -> str:
    """What is expected, e.g. `urgency is one of low, normal, high, for at least 99 % of rows`."""
    expectation = check.expectation
    if expectation.description:
        return expectation.description
    if check.origin == "completeness" and expectation.kwargs.get("value_set") == [Outcome.ANSWERED]:
        return f"at least {percent(expectation.mostly)} of rows are answered"
    make = _CLAIMS.get(expectation.type) if expectation.own is None else None
    text = make(expectation.kwargs) if make else _from_name(expectation)
    return f"{text}, for at least {percent(expectation.mostly)} of rows" if expectation.mostly < 1 else text


def judged_row_by_row(
    check: Check, counts: tuple[int, int, int], key: str, examples: tuple[Example, ...]
) -> str:
    """The sentence on `counts` of rows, of rows with a value, and of rows that fail."""
    rows, valued, unexpected = counts
    if rows == 0:
        return f"{claim(check)} — no rows to judge"
    if unexpected == 0:
        empty = f", {rows - valued:,} of them empty" if valued < rows else ""
        return f"{claim(check)} — all {rows:,} rows{empty}"
    text = f"{claim(check)} — {unexpected:,} of {valued:,} rows are not ({percent(unexpected / valued)})"
    if not examples:
        return text
    return f"{text}, e.g. {key} {bare(examples[0].key)}: {quoted(examples[0].value)}"


def judged_at_once(check: Check, success: bool, observed: Any) -> str:
    """The sentence on one observed value, such as a mean or a number of rows."""
    if observed is None:
        return f"{claim(check)} — {'so it is' if success else 'it is not so'}"
    found = bare(observed)
    return f"{claim(check)} — found {found}"


def not_judged(check: Check, error: str) -> str:
    """The sentence on a check that could not be evaluated."""
    return f"{claim(check)} — could not be evaluated, which says nothing about the data: {error}"


def _values(values: list[Any]) -> str:
    named = ", ".join(bare(value) for value in values[:_LISTED])
    return f"{named} … ({len(values):,} values)" if len(values) > _LISTED else named


def _range(kwargs: Mapping[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    over = "above" if kwargs.get("strict_min") else "at least"
    under = "below" if kwargs.get("strict_max") else "at most"
    if low is not None and high is not None and (over, under) == ("at least", "at most"):
        return f"between {bare(low)} and {bare(high)}"
    parts = [f"{over} {bare(low)}"] if low is not None else []
    return " and ".join(parts + ([f"{under} {bare(high)}"] if high is not None else []))


def _ranged(subject: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda kwargs: f"{subject.format(**kwargs)} is {_range(kwargs)}"


_CLAIMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "ExpectColumnValuesToNotBeNull": lambda k: f"{k['column']} is never empty",
    "ExpectColumnValuesToBeNull": lambda k: f"{k['column']} is always empty",
    "ExpectColumnValuesToBeInSet": lambda k: f"{k['column']} is one of {_values(k['value_set'])}",
    "ExpectColumnValuesToNotBeInSet": lambda k: f"{k['column']} is none of {_values(k['value_set'])}",
    "ExpectColumnValuesToBeBetween": _ranged("{column}"),
    "ExpectColumnValueLengthsToBeBetween": _ranged("the length of {column} in characters"),
    "ExpectColumnValueLengthsToEqual": lambda k: f"{k['column']} has {bare(k['value'])} characters",
    "ExpectColumnValuesToMatchRegex": lambda k: f"{k['column']} matches {k.get('regex', '')}",
    "ExpectColumnValuesToNotMatchRegex": lambda k: f"{k['column']} does not match {k['regex']}",
    "ExpectColumnValuesToBeUnique": lambda k: f"{k['column']} is unique",
    "ExpectCompoundColumnsToBeUnique": lambda k: f"{' with '.join(k['column_list'])} is unique",
    "ExpectColumnPairValuesToBeEqual": lambda k: f"{k['column_A']} equals {k['column_B']}",
    "ExpectColumnPairValuesAToBeGreaterThanB": lambda k: (
        f"{k['column_A']} is {'at least' if k.get('or_equal') else 'greater than'} {k['column_B']}"
    ),
    "ExpectTableRowCountToEqual": lambda k: f"the number of rows is {bare(k['value'])}",
    "ExpectTableRowCountToBeBetween": _ranged("the number of rows"),
    "ExpectColumnMeanToBeBetween": _ranged("the mean of {column}"),
    "ExpectColumnMedianToBeBetween": _ranged("the median of {column}"),
    "ExpectColumnMinToBeBetween": _ranged("the least {column}"),
    "ExpectColumnMaxToBeBetween": _ranged("the greatest {column}"),
    "ExpectColumnSumToBeBetween": _ranged("the sum of {column}"),
    "ExpectColumnStdevToBeBetween": _ranged("the standard deviation of {column}"),
    "ExpectColumnUniqueValueCountToBeBetween": _ranged("the number of different values of {column}"),
    "ExpectColumnProportionOfUniqueValuesToBeBetween": _ranged("the share of different values of {column}"),
    "ExpectColumnProportionOfNonNullValuesToBeBetween": _ranged("the share of {column} that is not empty"),
}


def _from_name(expectation: Expectation) -> str:
    """`ExpectColumnValuesToMatchStrftimeFormat` → `day: values to match strftime format (...)`."""
    words = re.findall(r"[A-Z][a-z]*|[A-Z]+(?![a-z])", expectation.type.removeprefix("Expect"))
    phrase = " ".join(words).lower().removeprefix("column ")
    rest = {
        name: value
        for name, value in expectation.kwargs.items()
        if name != "mostly" and not name.startswith("column")
    }
    detail = ", ".join(f"{name}={quoted(value)}" for name, value in rest.items())
    named = ", ".join(expectation.columns)
    return (f"{named}: " if named else "") + phrase + (f" ({detail})" if detail else "")
