"""Arrays made without pandas are the ones that Arrow itself makes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.arrays import flags, integers, mask_of, numbers, text, texts

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@settings(deadline=None)
@given(st.lists(st.none() | _TEXTS))
def test_texts(values: list[str | None]) -> None:
    made = texts(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.string()))


@settings(deadline=None)
@given(st.lists(st.booleans()), st.integers(0, 20))
def test_flags_and_back(values: list[bool], start: int) -> None:
    made = flags(np.array(values, bool))
    assert made.equals(pa.array(values, pa.bool_()))
    assert mask_of(made[start:]).tolist() == values[start:]


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_numbers(values: list[int]) -> None:
    held = np.array([*values, *values], np.int64)[::2]
    assert numbers(held).equals(pa.array(held))


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.integers(0, 20))
def test_integers(values: list[int], start: int) -> None:
    assert integers(pa.array(values, pa.int64())[start:]).tolist() == values[start:]


@pytest.mark.parametrize("other", [pa.array([1, None]), pa.array([1], pa.int32()), pa.array([1.0])])
def test_integers_of_anything_else_are_refused(other: pa.Array) -> None:
    with pytest.raises(ValueError, match="not whole numbers alone"):
        integers(other)


def test_none_of_them_imports_pandas() -> None:
    code = (
        "import sys, numpy as np, pyarrow as pa\n"
        "from offpeak.arrays import flags, integers, mask_of, numbers, text, texts\n"
        "integers(numbers(np.arange(3))), mask_of(flags(np.ones(3, bool))), texts(['a', None]), texts(['é'])\n"
        "pa.repeat(text('a'), 3)\n"
        "print('pandas' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_one_text_is_a_scalar() -> None:
    assert text("x").equals(pa.scalar("x", pa.string()))
