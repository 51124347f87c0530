"""Judging staged files with the real Great Expectations."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.metadata_types import FailureSeverity

from offpeak import gxe
from offpeak.checks import CheckResult, ColumnFacts, Expected, Verdict, judge, listed, suite
from offpeak.checks.engine import read
from offpeak.errors import CheckBroken
from tests.checks.conftest import Stage

FACTS = (
    ColumnFacts(name="urgency", values=("low", "normal", "high")),
    ColumnFacts(name="score", minimum=0, maximum=1, exclusive_maximum=True),
    ColumnFacts(name="note", nullable=True, max_length=5, pattern="^[a-z]+$"),
)
GOOD: dict[str, Any] = {
    "urgency": ["low", "normal", "high", "low"],
    "score": [0.1, 0.2, 0.0, 0.9],
    "note": ["abc", None, "xyz", "a"],
}
CASES: list[tuple[dict[str, Any], str, Any]] = [
    ({"urgency": ["low", "urgent", "high", "low"]}, "ExpectColumnValuesToBeInSet", (2, "urgent")),
    ({"urgency": ["low", "low", None, "low"]}, "ExpectColumnValuesToNotBeNull", (3, None)),
    ({"score": [0.1, 0.2, 0.3, 1.0]}, "ExpectColumnValuesToBeBetween", (4, 1.0)),
    ({"note": ["toolong", "a", "b", "c"]}, "ExpectColumnValueLengthsToBeBetween", (1, "toolong")),
    ({"note": ["A", "a", "b", "c"]}, "ExpectColumnValuesToMatchRegex", (1, "A")),
    ({"ticket_id": [1, None, 3, 4]}, "ExpectColumnValuesToNotBeNull", (None, None)),
    ({"ticket_id": [1, 2, 2, 4]}, "ExpectColumnValuesToBeUnique", (2, 2)),
]


def run(path: Path, checks: list[object], *, slice_rows: int = 200_000) -> Verdict:
    return judge(path, listed(checks), key="ticket_id", slice_rows=slice_rows)


def only(path: Path, check: object, *, slice_rows: int = 200_000) -> CheckResult:
    return run(path, [check], slice_rows=slice_rows).checks[0]


def judged(path: Path, *, rows: int = 4, max_failed: float = 0.1) -> Verdict:
    expected = Expected(rows=rows, max_failed=max_failed, key="ticket_id")
    return judge(path, suite([], FACTS, expected), key="ticket_id")


def test_good_data_passes_and_the_verdict_is_plain_json(stage: Stage) -> None:
    verdict = judged(stage(GOOD))
    assert verdict.decision == "yes"
    assert all(check.success and not check.error for check in verdict.checks)
    assert verdict.checks[0].how == "all rows: their number"
    assert json.loads(json.dumps(verdict.as_dict()))["decision"] == "yes"
    assert verdict.gx_version.startswith("1.")


@pytest.mark.parametrize(("changed", "broken_rule", "example"), CASES)
def test_each_implied_check_fails_on_data_that_breaks_it_and_names_the_row(
    stage: Stage, changed: dict[str, Any], broken_rule: str, example: tuple[Any, Any]
) -> None:
    verdict = judged(stage({**GOOD, **changed}))
    failed = [check for check in verdict.checks if not check.success]
    assert verdict.decision == "no"
    assert [check.type for check in failed] == [broken_rule]
    assert failed[0].examples[0] == example
    assert failed[0].columns == tuple(changed)


def test_the_sentence_says_what_was_expected_what_was_found_and_where(stage: Stage) -> None:
    path = stage({"urgency": ["low"] * 999 + ["urgent\n<b>"]})
    check = gxe.ExpectColumnValuesToBeInSet(column="urgency", value_set=["low", "high"])
    assert only(path, check).sentence == (
        'urgency is one of low, high — 1 of 1,000 rows are not (0.1 %), e.g. ticket_id 1,000: "urgent\\n<b>"'
    )


def test_missing_rows_and_too_many_failures_are_no(stage: Stage) -> None:
    short = judged(stage(GOOD), rows=5)
    assert short.decision == "no"
    assert short.checks[0].sentence == "the number of rows is 5 — found 4"
    failed = judged(stage({**GOOD, "_outcome": ["answered", "refused", "answered", "answered"]}))
    assert [check.sentence for check in failed.against] == [
        'at least 90 % of rows are answered — 1 of 4 rows are not (25 %), e.g. ticket_id 2: "refused"'
    ]


def test_rows_that_were_not_answered_are_not_held_against_the_answers(stage: Stage) -> None:
    rows = {"urgency": ["low", None, "high", "low"], "score": [0.1, None, 0.2, 0.3], "note": [None] * 4}
    columns = {**rows, "note": pa.array([None] * 4, pa.string())}
    verdict = judged(
        stage({**columns, "_outcome": ["answered", "refused", "answered", "answered"]}), max_failed=0.3
    )
    assert verdict.decision == "yes", [check.sentence for check in verdict.against]
    counts = {check.columns: check.element_count for check in verdict.checks if check.origin == "implied"}
    assert counts[("urgency",)] == 3


def test_a_check_that_cannot_be_evaluated_is_broken_and_not_no(stage: Stage) -> None:
    path = stage({"urgency": ["low", "high"]})
    for check in (
        gxe.ExpectColumnMeanToBeBetween(column="urgency", min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="urgency", min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="nowhere"),
        gxe.ExpectColumnValuesToMatchJsonSchema(column="urgency", json_schema={"type": "object"}),
    ):
        verdict = run(path, [check])
        assert verdict.decision == "broken", check
        assert verdict.checks[0].error
        assert "says nothing about the data" in verdict.checks[0].sentence


def test_a_failure_on_data_outweighs_a_broken_check_and_a_warning_refuses_nothing(stage: Stage) -> None:
    path = stage({"urgency": ["low", "urgent"]})
    broken = {"column": "urgency", "min_value": 1}
    wrong = {"column": "urgency", "value_set": ["low"]}
    critical = [gxe.ExpectColumnValuesToBeBetween(**broken), gxe.ExpectColumnValuesToBeInSet(**wrong)]
    assert run(path, [*critical]).decision == "no"
    warned = run(
        path,
        [
            gxe.ExpectColumnValuesToBeBetween(**broken, severity="warning"),
            gxe.ExpectColumnValuesToBeInSet(**wrong, severity="info"),
        ],
    )
    assert warned.decision == "yes"
    assert [check.success for check in warned.checks] == [False, False]


def test_equal_values_far_apart_are_found_across_slices(stage: Stage) -> None:
    keys = [f"T-{number}" for number in range(1_000)]
    path = stage({"ticket_id": [*keys, "T-0"], "b": [*([1] * 1_000), None], "c": [*keys[1:], "T-1", "T-1"]})
    found = only(path, gxe.ExpectColumnValuesToBeUnique(column="ticket_id"), slice_rows=50)
    assert (found.unexpected_count, found.element_count) == (2, 1_001)
    assert [example.value for example in found.examples] == ["T-0", "T-0"]
    other = only(path, gxe.ExpectColumnValuesToBeUnique(column="c"), slice_rows=50)
    assert {example.key for example in other.examples} == {"T-0", "T-999"}
    pair = only(path, gxe.ExpectCompoundColumnsToBeUnique(column_list=["ticket_id", "b"]), slice_rows=50)
    assert pair.success


def test_examples_are_at_most_ten_however_many_slices_fail(stage: Stage) -> None:
    path = stage({"a": [5] * 500})
    found = only(path, gxe.ExpectColumnValuesToBeBetween(column="a", max_value=1), slice_rows=7)
    assert (found.unexpected_count, found.unexpected_percent) == (500, 100.0)
    assert [example.key for example in found.examples] == list(range(1, 11))


def test_aggregates_get_their_column_whole_and_row_counts_need_no_column(stage: Stage) -> None:
    path = stage({"a": [1, 2, 3, None, 100], "t": ["x", "y", "x", None, "z"]})
    verdict = run(
        path,
        [
            gxe.ExpectColumnMedianToBeBetween(column="a", min_value=2, max_value=3),
            gxe.ExpectColumnDistinctValuesToBeInSet(column="t", value_set=["x", "y"]),
            gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=4),
            gxe.ExpectColumnToExist(column="b"),
            gxe.ExpectColumnValuesToBeIncreasing(column="a"),
        ],
        slice_rows=2,
    )
    assert [check.success for check in verdict.checks] == [True, False, False, False, True]
    assert [check.observed for check in verdict.checks[:3]] == [2.5, ["z"], 5]
    assert verdict.checks[0].how == "answered rows: one column whole"
    assert verdict.checks[0].sentence == "the median of a is between 2 and 3 — found 2.5"


def test_decimals_timestamps_gaps_and_vectors_are_judged_as_people_mean_them(stage: Stage) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    path = stage(
        {
            "price": pa.array([Decimal("0.1"), Decimal("0.2")], pa.decimal128(18, 9)),
            "at": pa.array([noon, None], pa.timestamp("us", "UTC")),
            "big": pa.array([2**60 + 1, None], pa.int64()),
            "same": pa.array([2**60, None], pa.int64()),
            "vector": pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
        }
    )
    verdict = run(
        path,
        [
            gxe.ExpectColumnValuesToBeBetween(column="price", min_value=0.1, max_value=0.2),
            gxe.ExpectColumnSumToBeBetween(column="price", min_value=0.29, max_value=0.31),
            gxe.ExpectColumnValuesToBeBetween(column="at", max_value=noon),
            gxe.ExpectColumnPairValuesToBeEqual(column_A="big", column_B="same"),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="big", column_B="same", or_equal=True),
            gxe.ExpectColumnValuesToNotBeNull(column="vector"),
            gxe.ExpectColumnValuesToBeInSet(column="vector", value_set=[1]),
        ],
    )
    assert [check.success for check in verdict.checks] == [True, True, True, False, True, False, False]
    assert verdict.checks[3].examples[0].value == {"big": 2**60 + 1, "same": 2**60}
    assert verdict.checks[5].examples == ((2, None),)
    assert [bool(check.error) for check in verdict.checks] == [False] * 6 + [True]


class ExpectKnownUrgency(ExpectColumnValuesToBeInSet):
    """A user's own expectation, with the column and the values built in."""

    column: str = "urgency"
    value_set: Any = ("low", "high")


def test_an_expectation_class_of_the_users_own_is_judged_as_it_is(stage: Stage) -> None:
    found = only(
        stage({"urgency": ["low", "urgent", "high"]}), ExpectKnownUrgency(severity=FailureSeverity.WARNING)
    )
    assert (found.type, found.severity, found.success, found.error) == (
        "ExpectKnownUrgency",
        "warning",
        False,
        "",
    )
    assert found.examples == ((2, "urgent"),)


def test_a_result_without_a_single_row_is_judged_on_completeness_only(stage: Stage) -> None:
    empty = {"urgency": pa.array([], pa.string()), "score": pa.array([], pa.float64())}
    path = stage({**empty, "ticket_id": pa.array([], pa.int64()), "_outcome": pa.array([], pa.string())})
    checks = [gxe.ExpectColumnMeanToBeBetween(column="score", min_value=1)]
    facts = FACTS[:2]
    for rows, decision in ((0, "yes"), (1, "no")):
        expected = Expected(rows=rows, max_failed=0.1, key="ticket_id")
        verdict = judge(path, suite(checks, facts, expected), key="ticket_id")
        assert verdict.decision == decision
        assert "no rows to judge" in verdict.checks[-1].sentence


def test_a_file_that_cannot_be_read_is_check_broken_with_what_is_still_true(tmp_path: Path) -> None:
    path = tmp_path / "staged.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(CheckBroken, match="nothing was published"):
        run(path, [])


def test_both_shapes_of_a_noted_engine_error_are_recognised() -> None:
    class Noted:
        def __init__(self, info: dict[str, Any]) -> None:
            self.success = False
            self.result: dict[str, Any] = {}
            self.exception_info = info

    flat = {"raised_exception": True, "exception_message": "it\nbroke", "exception_traceback": "..."}
    assert read(Noted(flat)).error == "it broke"
    assert read(Noted({"('column.mean', 'x', ())": flat})).error == "it broke"
    assert read(Noted({"raised_exception": False, "exception_message": None})).error == ""


def test_judging_opens_no_socket_leaves_no_file_and_prints_nothing(stage: Stage, tmp_path: Path) -> None:
    path = stage(GOOD)
    here = tmp_path / "here"
    here.mkdir()
    code = """
import os, sys, tempfile
seen = []
def watch(event, args):
    if event in {"socket.connect", "socket.getaddrinfo"}:
        seen.append(event)
sys.addaudithook(watch)
from pathlib import Path
from offpeak import gxe
from offpeak.checks import judge, listed
checks = [gxe.ExpectColumnValuesToNotBeNull(column="urgency")]
checks += [gxe.ExpectColumnValuesToBeUnique(column="urgency")]
decision = judge(Path(sys.argv[1]), listed(checks), key="ticket_id").decision
print(decision, seen)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=here,
        env={"PATH": "/usr/bin", "HOME": str(here), "TMPDIR": str(here)},
    )
    assert (done.stdout.strip(), done.stderr) == ("no []", "")
    assert list(here.iterdir()) == []


def test_no_frame_is_hashed_for_a_marker_that_nobody_reads(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from great_expectations.execution_engine import pandas_execution_engine

    hashed: list[Any] = []
    monkeypatch.setattr(pandas_execution_engine, "hash_pandas_dataframe", hashed.append)
    limit = pandas_execution_engine.HASH_THRESHOLD
    assert judged(stage(GOOD)).decision == "yes"
    assert hashed == []
    assert limit == pandas_execution_engine.HASH_THRESHOLD > 0
