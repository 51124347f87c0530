"""What a DAG file may write under checks=, and what it is told at once when it is wrong."""

from __future__ import annotations

import pickle
import subprocess
import sys
from enum import Enum
from typing import Any

import great_expectations.expectations as real
import pytest
from great_expectations.expectations.core.expect_column_quantile_values_to_be_between import (
    ExpectColumnQuantileValuesToBeBetween,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import (
    ExpectColumnValuesToBeBetween,
)
from great_expectations.expectations.expectation import Expectation as RealExpectation
from great_expectations.expectations.metadata_types import FailureSeverity

from offpeak import gxe
from offpeak.checks import ColumnFacts, Expected, Severity, as_expectation, listed, problems, rehearse, suite
from offpeak.checks.catalogue import CATALOGUE, CURES, NUMERIC
from offpeak.errors import SpecError

COMMON = {
    "id", "meta", "notes", "result_format", "description", "catch_exceptions", "rendered_content", "severity",
    "windows", "batch_id", "row_condition", "condition_parser", "library_metadata",
}  # fmt: skip
MAPS = {"ColumnMapExpectation", "ColumnPairMapExpectation", "MulticolumnMapExpectation"}


def offered() -> dict[str, type[RealExpectation]]:
    found = {name: getattr(real, name) for name in dir(real)}
    return {
        name: kind
        for name, kind in found.items()
        if isinstance(kind, type) and issubclass(kind, RealExpectation) and kind is not RealExpectation
    }


def test_the_catalogue_is_what_the_installed_great_expectations_offers() -> None:
    ours = {name: (set(entry.arguments), set(entry.required)) for name, entry in CATALOGUE.items()}
    theirs = {
        name: (
            {field for field in kind.__fields__ if field not in COMMON},
            {name for name, field in kind.__fields__.items() if field.required and name not in COMMON},
        )
        for name, kind in offered().items()
    }
    assert ours == theirs


def test_only_row_wise_expectations_are_judged_in_slices() -> None:
    for name, kind in offered().items():
        if CATALOGUE[name].kind in {"slices", "numbers", "hashed"}:
            assert MAPS & {base.__name__ for base in kind.__mro__}, name


def test_every_refused_expectation_has_a_cure_and_every_name_in_the_lists_exists() -> None:
    assert {name for name, entry in CATALOGUE.items() if entry.kind == "refused"} == set(CURES)
    assert set(CATALOGUE) >= NUMERIC


def test_the_namespace_and_the_package_do_not_import_what_is_heavy() -> None:
    code = (
        "import sys; from offpeak import gxe; import offpeak.checks; "
        "gxe.ExpectColumnValuesToNotBeNull(column='a'); "
        "print([m for m in ('great_expectations','pandas','pyarrow','duckdb','numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Urgency(Enum):
    LOW = "low"
    HIGH = "high"


def test_an_expectation_keeps_plain_values_and_survives_pickling() -> None:
    made = gxe.ExpectColumnValuesToBeInSet(
        column="urgency", value_set=Urgency, mostly=0.99, severity="warning"
    )
    assert made.kwargs == {"column": "urgency", "value_set": ["low", "high"], "mostly": 0.99}
    assert (made.columns, made.severity, made.mostly) == (("urgency",), Severity.WARNING, 0.99)
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    ("name", "arguments", "phrase"),
    [
        ("ExpectColumnValuesToBeInSet", {"colum": "a", "value_set": []}, "Did you mean 'column'?"),
        ("ExpectColumnValuesToBeInSet", {"column": "a"}, "the argument 'value_set' is missing"),
        ("ExpectColumnValuesToBeInSet", {"column": "a", "value_set": "low"}, "value_set='low' is not a list"),
        ("ExpectColumnValuesToNotBeNull", {"column": ""}, "is not the name of a column"),
        ("ExpectColumnValuesToNotBeNull", {"column": "a", "mostly": 99}, "not a share between 0 and 1"),
        ("ExpectColumnValuesToMatchRegex", {"column": "a", "regex": "("}, "cannot be read"),
        ("ExpectColumnValuesToBeBetween", {"column": "a"}, "neither min_value nor max_value"),
        (
            "ExpectColumnMeanToBeBetween",
            {"column": "a", "min_value": 3, "max_value": 1},
            "is above max_value=1",
        ),
        ("ExpectColumnValuesToNotBeNull", {"column": "a", "severity": "fatal"}, "critical, warning, info"),
        ("ExpectColumnValuesToNotBeNull", {"column": "a", "row_condition": "b > 1"}, "model_validator"),
        ("ExpectTableRowCountToEqual", {"value": {"$PARAMETER": "n"}}, "suite parameter"),
        ("UnexpectedRowsExpectation", {"unexpected_rows_query": "select 1"}, "staged file"),
        ("ExpectColumnValuesToMatchLikePattern", {"column": "a", "like_pattern": "x%"}, "ToMatchRegex"),
    ],
)
def test_a_wrong_argument_is_found_when_the_file_is_parsed(
    name: str, arguments: dict[str, object], phrase: str
) -> None:
    with pytest.raises(SpecError) as caught:
        getattr(gxe, name)(**arguments)
    assert phrase in str(caught.value)


def test_an_unknown_expectation_names_the_nearest_known_one() -> None:
    with pytest.raises(AttributeError, match="Did you mean ExpectColumnValuesToBeInSet"):
        _ = gxe.ExpectColumnValueToBeInSet


def test_great_expectations_own_objects_become_the_same_expectation() -> None:
    theirs = ExpectColumnValuesToBeBetween(
        column="a", min_value=1, mostly=0.9, severity=FailureSeverity.WARNING
    )
    ours = gxe.ExpectColumnValuesToBeBetween(column="a", min_value=1, mostly=0.9, severity="warning")
    assert as_expectation(theirs) == ours
    ranges: Any = {"quantiles": [0.5], "value_ranges": [[1, 2]]}
    quantile = ExpectColumnQuantileValuesToBeBetween(column="a", quantile_ranges=ranges)
    assert as_expectation(quantile).kwargs["quantile_ranges"]["quantiles"] == [0.5]


def test_something_that_is_no_expectation_is_refused_with_an_example() -> None:
    with pytest.raises(SpecError, match="from offpeak import gxe"):
        listed(["urgency is fine"])


def test_problems_name_missing_columns_vectors_and_text_where_numbers_are_needed() -> None:
    columns = {"urgency": "string", "vector": "fixed_size_list<item: float>[1536]", "score": "double"}
    found = problems(
        [
            gxe.ExpectColumnValuesToNotBeNull(column="urgncy"),
            gxe.ExpectColumnValuesToBeUnique(column="vector"),
            gxe.ExpectColumnValuesToNotBeNull(column="vector"),
            gxe.ExpectColumnMeanToBeBetween(column="urgency", min_value=1),
            gxe.ExpectColumnMeanToBeBetween(column="score", min_value=1),
        ],
        columns,
    )
    assert len(found) == 3
    assert "Did you mean 'urgency'?" in found[0]
    assert "Use ExpectColumnValuesToNotBeNull on it" in found[1]
    assert "needs numbers" in found[2]


def test_a_rehearsal_finds_what_only_great_expectations_knows() -> None:
    odd = gxe.ExpectTableRowCountToEqual(value="many")
    good = gxe.ExpectTableRowCountToEqual(value=3)
    found = rehearse([odd, good])
    assert len(found) == 1
    assert found[0].startswith("ExpectTableRowCountToEqual: ")


def test_a_listed_check_that_is_also_implied_is_kept_once() -> None:
    facts = [ColumnFacts(name="urgency", values=("low", "high"))]
    said = gxe.ExpectColumnValuesToBeInSet(column="urgency", value_set=["low", "high"])
    made = suite([said], facts, Expected(rows=3, max_failed=0.01, key="id"))
    assert [check.origin for check in made] == ["completeness"] * 5 + ["implied", "listed"]
    assert made[4].expectation.mostly == 0.99


def test_everything_the_answer_model_says_becomes_a_check_that_great_expectations_accepts() -> None:
    facts = [
        ColumnFacts(name="a", values=(1, 2)),
        ColumnFacts(name="b", nullable=True, minimum=0, maximum=1, exclusive_minimum=True),
        ColumnFacts(name="c", max_length=80, pattern="^x"),
    ]
    checks = suite([], facts, Expected(rows=3, max_failed=0.3, key="id"))
    assert rehearse([check.expectation for check in checks]) == []
    assert [check.expectation.columns[0] for check in checks if check.origin == "implied"] == list("aabccc")
    assert checks[4].expectation.mostly == 0.7
