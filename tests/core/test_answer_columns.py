"""Answer columns are those that Arrow makes of the same values, without pandas on the way."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.answer_columns import column_of

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_WHOLE = st.integers(-(2**63), 2**63 - 1)
_PLACE = pa.struct([("city", pa.string()), ("zips", pa.list_(pa.int64()))])
_PLACES = st.fixed_dictionaries(
    {"city": st.none() | _TEXTS, "zips": st.none() | st.lists(_WHOLE, max_size=3)}
)
KINDS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): _TEXTS,
    pa.int64(): _WHOLE,
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.time64("us"): st.times(),
    pa.timestamp("us", tz="UTC"): st.datetimes(timezones=st.just(dt.UTC)),
    pa.decimal128(38, 9): st.decimals(-(10**20), 10**20, places=9),
    pa.binary(): st.binary(max_size=5),
    pa.list_(pa.string()): st.lists(st.none() | _TEXTS, max_size=3),
    pa.list_(pa.list_(pa.float64())): st.lists(
        st.none() | st.lists(st.floats(allow_nan=False), max_size=2), max_size=3
    ),
    _PLACE: _PLACES,
    pa.list_(_PLACE): st.lists(st.none() | _PLACES, max_size=3),
}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_column_is_the_one_that_arrow_makes(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | KINDS[kind], max_size=12) | st.lists(KINDS[kind], max_size=12))
    made = column_of(values, kind)
    made.validate(full=True)
    assert made.type == kind
    assert made.equals(pa.array(values, kind))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2**63, pa.int64()),
        ("1", pa.int64()),
        (1, pa.string()),
        ("\ud800", pa.string()),
        (Decimal("1e-10"), pa.decimal128(38, 9)),
        ([1], pa.list_(pa.string())),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_raised(value: Any, kind: pa.DataType) -> None:
    with pytest.raises((pa.ArrowException, ValueError, TypeError, OverflowError)):
        column_of([value], kind)


def test_a_negative_zero_stays_one_beside_a_null() -> None:
    assert repr(column_of([-0.0, None], pa.float64()).to_pylist()) == "[-0.0, None]"


def test_collecting_imports_no_pandas() -> None:
    code = """
import sys, tempfile
from pathlib import Path
from offpeak.arrays import texts
from offpeak.blocks import Block
from offpeak.reconcile import reconcile
from offpeak.result_writer import ResultWriter
from offpeak.results import Answered, Origin, Tally
from offpeak.states import Route
from tests.core.making import NOW, batch, errored, refused, said, workload

before, of, tally = "pandas" in sys.modules, workload(), Tally()
names = [f"{number:032x}" for number in range(5)]
good = '{"kind": "card", "urgent": true}'
ids = [f"0123456789-{name}" for name in names]
lines = [said(ids[0], good), said(ids[1], "\\u00fc"), refused(ids[2]), errored(ids[3]), said(ids[0], good)]
origin = Origin(run_id="run", round=1, route=Route.BATCH, at=NOW)
with tempfile.TemporaryDirectory() as folder:
    with ResultWriter(of, Path(folder) / "r.parquet", tally, origin) as writer:
        for found in reconcile(of, [Block.of(lines)], texts(names), "0123456789", batch(), tally):
            (writer.add_many if isinstance(found, Answered) else writer.add)(found)
print(before, sorted(map(str, tally.outcomes)), tally.repeated, "pandas" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    outcomes = ["answered", "errored", "invalid", "missing", "refused"]
    assert told.stdout == f"False {outcomes} 1 False\n"
