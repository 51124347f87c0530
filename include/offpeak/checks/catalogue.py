"""What Great Expectations offers, by name: read from it once, so that a DAG file need not import it.

Importing Great Expectations takes seconds and a DAG file is parsed often. A test compares this
table with the installed package, so it cannot go stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["slices", "numbers", "hashed", "whole", "rows", "columns", "refused"]
"""How an expectation is judged without holding the table:

slices   row by row, so slice by slice, and the counts are added
numbers  the same, but integers with gaps as float: it orders or adds values, which None cannot do
hashed   equal values must meet: slices made by the values' hash
whole    needs its column at once
rows     needs the number of rows only
columns  needs the names and types of the columns only
refused  cannot be judged on a staged file at all
"""

COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list", "column_set")
"""The arguments that name columns."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One expectation: how it is judged, its arguments, and those it cannot do without."""

    kind: Kind
    arguments: tuple[str, ...]
    required: frozenset[str]


def _entry(kind: Kind, arguments: str) -> Entry:
    """`arguments` are separated by blanks; a star marks a required one."""
    words = arguments.split()
    return Entry(
        kind,
        tuple(word.rstrip("*") for word in words),
        frozenset(word.rstrip("*") for word in words if word.endswith("*")),
    )


_RANGE = "min_value max_value strict_min strict_max"

CATALOGUE: dict[str, Entry] = {
    "ExpectColumnDistinctValuesToBeInSet": _entry("whole", "column* value_set*"),
    "ExpectColumnDistinctValuesToContainSet": _entry("whole", "column* value_set*"),
    "ExpectColumnDistinctValuesToEqualSet": _entry("whole", "column* value_set*"),
    "ExpectColumnKLDivergenceToBeLessThan": _entry(
        "whole",
        "column* partition_object threshold internal_weight_holdout tail_weight_holdout bucketize_data "
        "min_value max_value",
    ),
    "ExpectColumnMaxToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnMeanToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnMedianToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnMinToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnMostCommonValueToBeInSet": _entry("whole", "column* value_set* ties_okay"),
    "ExpectColumnPairValuesAToBeGreaterThanB": _entry(
        "numbers", "column_A* column_B* mostly or_equal ignore_row_if"
    ),
    "ExpectColumnPairValuesToBeEqual": _entry("slices", "column_A* column_B* mostly ignore_row_if"),
    "ExpectColumnPairValuesToBeInSet": _entry(
        "slices", "column_A* column_B* mostly value_pairs_set* ignore_row_if"
    ),
    "ExpectColumnProportionOfNonNullValuesToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnProportionOfUniqueValuesToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnQuantileValuesToBeBetween": _entry("whole", "column* quantile_ranges* allow_relative_error"),
    "ExpectColumnStdevToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnSumToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnToExist": _entry("columns", "column* column_index"),
    "ExpectColumnTypeToBe": _entry("columns", "column* type_*"),
    "ExpectColumnUniqueValueCountToBeBetween": _entry("whole", f"column* {_RANGE}"),
    "ExpectColumnValueLengthsToBeBetween": _entry("slices", f"column* mostly {_RANGE}"),
    "ExpectColumnValueLengthsToEqual": _entry("slices", "column* mostly value*"),
    "ExpectColumnValueZScoresToBeLessThan": _entry("whole", "column* mostly threshold* double_sided*"),
    "ExpectColumnValuesToBeBetween": _entry("slices", f"column* mostly {_RANGE}"),
    "ExpectColumnValuesToBeDateutilParseable": _entry("slices", "column* mostly"),
    "ExpectColumnValuesToBeDecreasing": _entry("whole", "column* mostly strictly"),
    "ExpectColumnValuesToBeInSet": _entry("slices", "column* mostly value_set*"),
    "ExpectColumnValuesToBeInTypeList": _entry("whole", "column* mostly type_list"),
    "ExpectColumnValuesToBeIncreasing": _entry("whole", "column* mostly strictly"),
    "ExpectColumnValuesToBeJsonParseable": _entry("slices", "column* mostly"),
    "ExpectColumnValuesToBeNull": _entry("slices", "column* mostly"),
    "ExpectColumnValuesToBeOfType": _entry("whole", "column* mostly type_*"),
    "ExpectColumnValuesToBeUnique": _entry("hashed", "column* mostly"),
    "ExpectColumnValuesToMatchJsonSchema": _entry("slices", "column* mostly json_schema*"),
    "ExpectColumnValuesToMatchLikePattern": _entry("refused", "column* mostly like_pattern* escape"),
    "ExpectColumnValuesToMatchLikePatternList": _entry(
        "refused", "column* mostly like_pattern_list* match_on escape"
    ),
    "ExpectColumnValuesToMatchRegex": _entry("slices", "column* mostly regex"),
    "ExpectColumnValuesToMatchRegexList": _entry("slices", "column* mostly regex_list* match_on"),
    "ExpectColumnValuesToMatchStrftimeFormat": _entry("slices", "column* mostly strftime_format*"),
    "ExpectColumnValuesToNotBeInSet": _entry("slices", "column* mostly value_set*"),
    "ExpectColumnValuesToNotBeNull": _entry("slices", "column* mostly"),
    "ExpectColumnValuesToNotBeOutliers": _entry("whole", "column* mostly method multiplier"),
    "ExpectColumnValuesToNotMatchLikePattern": _entry("refused", "column* mostly like_pattern* escape"),
    "ExpectColumnValuesToNotMatchLikePatternList": _entry(
        "refused", "column* mostly like_pattern_list* escape"
    ),
    "ExpectColumnValuesToNotMatchRegex": _entry("slices", "column* mostly regex*"),
    "ExpectColumnValuesToNotMatchRegexList": _entry("slices", "column* mostly regex_list*"),
    "ExpectCompoundColumnsToBeUnique": _entry("hashed", "column_list* mostly ignore_row_if"),
    "ExpectMulticolumnSumToEqual": _entry("numbers", "column_list* mostly ignore_row_if sum_total*"),
    "ExpectMulticolumnValuesToBeEqual": _entry("slices", "column_list* mostly ignore_row_if"),
    "ExpectMulticolumnValuesToBeUnique": _entry("refused", "column* mostly column_list* ignore_row_if"),
    "ExpectQueryResultsToMatchComparison": _entry(
        "refused", "base_query* comparison_data_source_name* comparison_query* mostly"
    ),
    "ExpectSelectColumnValuesToBeUniqueWithinRecord": _entry("slices", "column_list* mostly ignore_row_if"),
    "ExpectTableColumnCountToBeBetween": _entry("columns", "min_value max_value"),
    "ExpectTableColumnCountToEqual": _entry("columns", "value*"),
    "ExpectTableColumnsToMatchOrderedList": _entry("columns", "column_list"),
    "ExpectTableColumnsToMatchSet": _entry("columns", "column_set exact_match"),
    "ExpectTableRowCountToBeBetween": _entry("rows", _RANGE),
    "ExpectTableRowCountToEqual": _entry("rows", "value*"),
    "ExpectTableRowCountToEqualOtherTable": _entry("refused", "other_table_name*"),
    "UnexpectedRowsExpectation": _entry("refused", "unexpected_rows_query*"),
}

CURES = {
    "ExpectColumnValuesToMatchLikePattern": "use ExpectColumnValuesToMatchRegex",
    "ExpectColumnValuesToMatchLikePatternList": "use ExpectColumnValuesToMatchRegexList",
    "ExpectColumnValuesToNotMatchLikePattern": "use ExpectColumnValuesToNotMatchRegex",
    "ExpectColumnValuesToNotMatchLikePatternList": "use ExpectColumnValuesToNotMatchRegexList",
    "ExpectMulticolumnValuesToBeUnique": "use ExpectCompoundColumnsToBeUnique",
    "ExpectTableRowCountToEqualOtherTable": "use ExpectTableRowCountToBeBetween",
    "ExpectQueryResultsToMatchComparison": "use expectations on columns",
    "UnexpectedRowsExpectation": "use expectations on columns, or subclass one of them",
}
"""What to write instead of an expectation that is refused."""

NUMERIC = frozenset(
    {
        "ExpectColumnMeanToBeBetween",
        "ExpectColumnMedianToBeBetween",
        "ExpectColumnQuantileValuesToBeBetween",
        "ExpectColumnStdevToBeBetween",
        "ExpectColumnSumToBeBetween",
        "ExpectColumnValueZScoresToBeLessThan",
        "ExpectColumnValuesToNotBeOutliers",
    }
)
"""Expectations that only numbers can meet; on text they would break after everything is paid."""
