"""Fingerprints and lines from the compiled code are those that Python makes."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offpeak.compiled import writing
from offpeak.compiled.library import library
from offpeak.json_text import escaped
from offpeak.requests import Fingerprints
from tests.core.test_requests import ASK, HOSTILE, TEXT

pytestmark = pytest.mark.skipif(library() is None, reason="no compiled code here")

TEXTS = st.lists(TEXT | HOSTILE | st.integers(0, 400).map("é".__mul__) | st.none(), max_size=5)


@settings(max_examples=300, deadline=None)
@given(texts=TEXTS, skipped=st.integers(0, 2))
def test_sizes_and_texts_are_those_of_the_escaped_column(texts: list[str | None], skipped: int) -> None:
    column = pa.array([text or "" for text in texts], pa.string())[skipped:]
    slow = escaped(column)
    sizes = writing.escaped_sizes(column)
    assert sizes.tolist() == [len(text) for text in slow.to_pylist()]
    made = writing.lines(
        [b"<", column, b"|", slow, b">\n"], len(column), 2 * int(sizes.sum()) + 4 * len(column)
    )
    assert made.to_pybytes() == b"".join(b"<" + one + b"|" + one + b">\n" for one in slow.to_pylist())


@settings(max_examples=200, deadline=None)
@given(users=TEXTS, systems=st.lists(TEXT | HOSTILE, min_size=5, max_size=5), skipped=st.integers(0, 2))
@example(users=["x" * size for size in (0, 127, 128, 129)], systems=[""] * 5, skipped=0)
def test_fingerprints_of_a_column_are_those_of_each_row(
    users: list[str | None], systems: list[str], skipped: int
) -> None:
    prints = Fingerprints("openai", ASK)
    column, before = pa.array(users, pa.string()), pa.array(systems[: len(users)], pa.string())
    each = prints.of_column(before[skipped:], column[skipped:], system=None)
    assert each.to_pylist() == [
        None if user is None else prints.of(system, user)
        for user, system in list(zip(users, systems, strict=False))[skipped:]
    ]
    same = prints.of_column(before[skipped:], column[skipped:], system=systems[0])
    assert same.to_pylist() == [
        user if user is None else prints.of(systems[0], user) for user in users[skipped:]
    ]


@pytest.mark.parametrize("size", [0, 1, 63, 64, 127, 128, 129, 255, 256, 257, 1_000, 100_000])
def test_the_hash_is_blake2b_whatever_lies_before(size: int) -> None:
    text = "ab" * (size // 2) + "c" * (size % 2)
    for before in (b"", b"d", b"d" * 128, b"d" * 131):
        expected = hashlib.blake2b(before + text.encode(), digest_size=16).hexdigest()
        assert writing.fingerprints(before, None, pa.array([text] * 5)).to_pylist() == [expected] * 5


SIZES = st.sampled_from([0, 1, 20, 63, 64, 127, 128, 129, 255, 256, 257, 300, 5_000])


@settings(max_examples=150, deadline=None)
@given(sizes=st.lists(SIZES, max_size=18), before=st.sampled_from([0, 1, 127, 128, 129, 1_500]))
@example(sizes=[200_000, *[5] * 40, 0, 300], before=131)
def test_texts_hashed_side_by_side_have_the_hash_of_each(sizes: list[int], before: int) -> None:
    texts = [f"{place} " * (1 + size // 2) for place, size in enumerate(sizes)]
    texts = [text[:size] for text, size in zip(texts, sizes, strict=True)]
    head = b"d" * before
    expected = [hashlib.blake2b(head + text.encode(), digest_size=16).hexdigest() for text in texts]
    column = pa.array(texts, pa.string())
    for widest in range(writing.WIDEST + 1):
        assert writing.fingerprints(head, None, column, widest=widest).to_pylist() == expected


def test_lines_that_do_not_fit_their_room_are_a_bug_and_told() -> None:
    column = pa.array(['"'])
    with pytest.raises(AssertionError, match=r"2 bytes of lines .* in room for 3"):
        writing.lines([column], 1, 3)
    for parts in (
        [pa.array(["x" * 5_000])],
        [b"x" * 5_000],
        [b"x", column],
        [b"x", column.cast(pa.binary()), b"y"],
    ):
        with pytest.raises(AssertionError, match=r"-1 bytes of lines .* in room for 2"):
            writing.lines(parts, 1, 2)
