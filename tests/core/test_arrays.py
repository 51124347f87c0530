"""Arrays made without pandas are the ones that Arrow itself makes."""

from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.arrays import as_bytes, as_lists, flags, integers, mask_of, numbers, text, texts

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


_FLOAT = st.floats(width=32, allow_nan=False)
_LISTS = {
    "fixed": pa.list_(pa.float32(), 2),
    "any": pa.list_(pa.float32()),
    "large": pa.large_list(pa.float32()),
}


@pytest.mark.parametrize("kind", _LISTS)
@settings(deadline=None)
@given(st.lists(st.none() | st.tuples(_FLOAT, _FLOAT)), st.integers(0, 9), st.integers(0, 9))
def test_vectors_as_bytes_and_back(
    kind: str, values: list[tuple[float, float] | None], start: int, count: int
) -> None:
    given = pa.array(values, _LISTS[kind])[start:][:count]
    made = as_bytes(given, 2)
    made.validate(full=True)
    expected = [one and struct.pack("<2f", *one) for one in values][start:][:count]
    assert made.to_pylist() == as_bytes(made, 2).to_pylist() == expected
    for first in range(len(made) + 1):
        back = as_lists(made[first:])
        back.validate(full=True)
        assert back.equals(given[first:].cast(_LISTS["fixed"]))


def test_vectors_whose_numbers_begin_within_a_buffer() -> None:
    numbers_of_six = pa.array([9.0, 9.0, 1.0, 2.0, 3.0, 4.0], pa.float32())
    given = pa.FixedSizeListArray.from_arrays(numbers_of_six[2:], 2)
    assert as_bytes(given, 2).to_pylist() == [struct.pack("<2f", 1, 2), struct.pack("<2f", 3, 4)]
    assert as_bytes(given[1:], 2).to_pylist() == [struct.pack("<2f", 3, 4)]


@pytest.mark.parametrize("kind", [*_LISTS.values(), pa.binary(8)])
def test_vectors_of_another_length_are_refused(kind: pa.DataType) -> None:
    given = pa.array([b"12345678" if kind == pa.binary(8) else [1.0, 2.0]], kind)
    with pytest.raises(pa.ArrowException):
        as_bytes(given, 3)


def test_none_of_them_imports_pandas() -> None:
    code = (
        "import sys, numpy as np, pyarrow as pa\n"
        "from offpeak.arrays import as_bytes, as_lists, flags, float_vectors, integers, mask_of, numbers, text, texts\n"
        "integers(numbers(np.arange(3))), mask_of(flags(np.ones(3, bool))), texts(['a', None]), texts(['é'])\n"
        "pa.repeat(text('a'), 3), as_lists(as_bytes(float_vectors(bytes(16), 2), 2))\n"
        "print('pandas' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_one_text_is_a_scalar() -> None:
    assert text("x").equals(pa.scalar("x", pa.string()))
