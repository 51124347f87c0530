"""Judged in slices or at once, the same data gets the same result."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import great_expectations as gx
import pyarrow as pa
import pyarrow.parquet as pq
from great_expectations.data_context.types.base import ProgressBarsConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak import gxe
from offpeak.checks import Expectation, judge, listed
from offpeak.checks.engine import build
from offpeak.checks.slices import frame

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["low", "high", "urgent", "", None]),
        st.one_of(st.none(), st.integers(0, 6)),
        st.one_of(st.none(), st.integers(0, 6)),
    ),
    min_size=1,
    max_size=40,
)


def expectations(mostly: float) -> list[Expectation]:
    return [
        gxe.ExpectColumnValuesToBeInSet(column="s", value_set=["low", "high"], mostly=mostly),
        gxe.ExpectColumnValuesToNotBeNull(column="s", mostly=mostly),
        gxe.ExpectColumnValueLengthsToBeBetween(column="s", min_value=1, mostly=mostly),
        gxe.ExpectColumnValuesToBeBetween(column="a", min_value=1, max_value=5, mostly=mostly),
        gxe.ExpectColumnValuesToBeUnique(column="a", mostly=mostly),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["s", "a"], mostly=mostly),
        gxe.ExpectColumnPairValuesToBeEqual(column_A="a", column_B="b", mostly=mostly),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="a", column_B="b", mostly=mostly),
    ]


def at_once(table: pa.Table, expectation: Expectation) -> tuple[bool, int]:
    """The word of Great Expectations itself on the whole frame."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("a")
    gaps: Any = "floats" if expectation.kind == "numbers" else "objects"
    whole = asset.add_batch_definition_whole_dataframe("w").get_batch(
        batch_parameters={"dataframe": frame(table, ["s", "a", "b"], gaps)}
    )
    result = whole.validate(build(expectation))
    return bool(result.success), int(result.result["unexpected_count"])


@settings(max_examples=12, deadline=None)
@given(rows=ROWS, slice_rows=st.integers(1, 15), mostly=st.sampled_from([0.0, 0.5, 0.75, 0.9, 1.0]))
def test_slices_and_the_whole_frame_agree_on_success_and_counts(
    rows: list[tuple[Any, Any, Any]], slice_rows: int, mostly: float
) -> None:
    s, a, b = zip(*rows, strict=True)
    columns = {
        "id": pa.array(range(len(rows))),
        "s": pa.array(s, pa.string()),
        "a": pa.array(a, pa.int64()),
        "b": pa.array(b, pa.int64()),
        "_outcome": pa.array(["answered"] * len(rows)),
    }
    table, suite = pa.table(columns), expectations(mostly)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "staged.parquet"
        pq.write_table(table, path)
        sliced = judge(path, listed(suite), key="id", slice_rows=slice_rows).checks
    assert [one.error for one in sliced] == [""] * len(suite)
    for one, expectation in zip(sliced, suite, strict=True):
        assert (one.success, one.unexpected_count) == at_once(table, expectation), one.sentence
