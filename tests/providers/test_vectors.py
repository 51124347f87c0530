"""Lists of numbers become float32 as the careful reader makes them, bit for bit, or are left to it."""

from __future__ import annotations

import json
import math
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offpeak.providers import provider
from offpeak.providers.vectors import float_lists

LINE = (
    '{"custom_id": "k-1", "response": {"status_code": 200, "body": {"object": "list", "model": "m", '
    '"data": [{"object": "embedding", "index": 0, "embedding": %s}], "usage": {"prompt_tokens": 7}}}}'
)
LARGEST = 3.4028235677973366e38
"""The first double that rounds to infinity as float32."""
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(-1, 1, places=9).map(lambda number: format(number, "f")),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["-0", "-0.0", "0e0", "1E5", "1e+5", "1e-400", "4.9e-324", "1.401298464324817e-45"]),
    st.sampled_from(["16777217", "9007199254740993", "0.1", "1.00000017881393432617187499"]),
)
THINGS = NUMBERS | st.sampled_from(
    [
        *("null", "true", "false", '"1"', '"["', '"u"', "[]", "[1.0]", "{}", '{"a": 1}', "1e39", "-1e39"),
        *(str(2**64), str(-(2**63) - 1), "1" + "0" * 400, "1e308", repr(LARGEST), "3.4028235677973362e38"),
    ]
)
SPACE = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])


@st.composite
def texts(draw: st.DrawFn, things: st.SearchStrategy[str], least: int = 0) -> str:
    """A JSON list, with space wherever it may be."""
    told = draw(st.lists(things, min_size=least, max_size=6))
    return "[" + ",".join(f"{draw(SPACE)}{thing}{draw(SPACE)}" for thing in told) + draw(SPACE) + "]"


def careful(text: str) -> bytes | None:
    """What the slow reader makes of the list."""
    return provider("openai").parse((LINE % text).encode()).vector


@settings(max_examples=500, deadline=None)
@given(given=texts(THINGS))
@example(given="[]")
@example(given="[[1, 2], [3]]")
@example(given=f"[{LARGEST!r}]")
def test_a_list_is_read_as_the_careful_reader_reads_it_or_left_to_it(given: str) -> None:
    (found,) = float_lists([given.encode()])
    assert found is None or found == careful(given)


@settings(max_examples=300, deadline=None)
@given(given=texts(NUMBERS, least=1))
@example(given="[9223372036854775808, 18446744073709551615, -9223372036854775808]")
def test_a_list_of_finite_numbers_is_always_taken(given: str) -> None:
    doubles = [float(number) for number in json.loads(given)]
    (found,) = float_lists([given.encode()])
    if all(abs(double) < LARGEST for double in doubles):
        assert found == struct.pack(f"<{len(doubles)}f", *doubles) == careful(given)
    elif not any(math.isinf(double) for double in doubles):
        assert found is None


@pytest.mark.parametrize(
    "given",
    [
        *("[]", " [ ] ", "[null]", "[0.5, null]", "[true]", "[1, false]", '["0.5"]', '[1, "["]', "[{}]"),
        *("[[0.5]]", "[[1], [2]]", "[1, []]", "{}", '{"a": [1]}', "1", "null", '"[1]"', "[1, {}]", "[1, 2"),
        *("[1e39]", "[-1e39, 0]", "[1e999]", "[NaN]", "[Infinity]", "[-Infinity]", "[1],", ""),
        f"[{10**400}]",
    ],
)
def test_anything_else_is_left(given: str) -> None:
    assert float_lists([given.encode()]) == [None]


def test_what_is_left_leaves_its_neighbours_as_they_are() -> None:
    half = struct.pack("<f", 0.5)
    lists = [b"[0.5]", b"[null]", b"[0.5]", b"[[0.5]]", b"[" + b"9" * 400 + b"]", b"[0.5,0.5]"]
    assert float_lists(lists) == [half, None, half, None, None, half + half]
    assert float_lists([]) == []


def test_a_number_is_rounded_to_a_double_and_that_to_float32() -> None:
    # a hair above the middle of two floats: rounded at once it would be the upper one
    (found,) = float_lists([b"[1.00000005960464477539062500000001]"])
    assert found == struct.pack("<f", 1.0)
