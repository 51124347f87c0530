"""Matching: the first entry of each name, whatever the names and however many parts, as a dictionary finds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak import matching
from offpeak.arrays import texts
from offpeak.matching import Dealt, InOrder, first_alike, names_of, parts_for

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.text("aä\0", max_size=200)
_FINGERPRINTS = st.text("0123456789abcdef", min_size=32, max_size=32)


def firsts(values: list[object]) -> list[int]:
    """The obvious way."""
    seen: dict[object, int] = {}
    return [seen.setdefault(value, place) for place, value in enumerate(values)]


@settings(deadline=None, max_examples=200)
@given(st.lists(_TEXTS) | st.lists(_FINGERPRINTS) | st.lists(st.sampled_from(["", "\0", "\0\0", "a", "a\0"])))
def test_texts_have_the_same_name_only_if_they_are_the_same(values: list[str]) -> None:
    assert first_alike(names_of(texts(values))).tolist() == firsts([*values])


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)))
def test_integers_have_the_same_name_only_if_they_are_the_same(values: list[int]) -> None:
    assert first_alike(names_of(pa.array(values, pa.int64()))).tolist() == firsts([*values])


@settings(deadline=None)
@given(st.lists(_TEXTS, min_size=2), st.data())
def test_a_name_depends_on_nothing_but_its_text(values: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    column = texts(values)
    assert names_of(column[at : at + 1]).tolist() == names_of(column)[at : at + 1].tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_names_of_which_one_half_is_the_same_are_told_apart(pairs: list[tuple[int, int]]) -> None:
    names = np.array(pairs, np.uint64).reshape(-1, 2)
    assert first_alike(names).tolist() == firsts([*pairs])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(_FINGERPRINTS | st.sampled_from(["a", "b"]), max_size=30)), st.sampled_from([1, 2, 8])
)
def test_dealt_records_of_one_name_lie_in_one_part_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, added: list[list[str]], parts: int
) -> None:
    dealt = Dealt(tmp_path_factory.mktemp("dealt") / "here", parts, [("row", "<i8")])
    start = 0
    for values in added:
        dealt.add(names_of(texts(values)), row=np.arange(start, start + len(values)))
        start += len(values)
    values = [value for values in added for value in values]
    found: dict[int, int] = {}
    for part in range(parts):
        records = dealt.take(part)
        rows = records["row"]
        assert (np.diff(rows) > 0).all()
        found |= dict(zip(rows.tolist(), rows[first_alike(records["name"])].tolist(), strict=True))
    assert [found[row] for row in range(start)] == firsts([*values])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sets(st.integers(0, 60))), st.lists(st.integers(0, 70)), st.integers(1, 9))
def test_stretches_are_given_out_in_the_order_of_the_rows(
    tmp_path_factory: pytest.TempPathFactory, stretches: list[set[int]], stops: list[int], buffer: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_BUFFER_RECORDS", buffer)
        held = InOrder(tmp_path_factory.mktemp("held") / "here", [("twice", "<i8")])
        for rows in stretches:
            made = np.zeros(len(rows), held.type)
            made["row"] = sorted(rows)
            made["twice"] = 2 * made["row"]
            held.add(made)
        before = -1
        for stop in [*sorted(stops), 100]:
            given_out = held.take(stop)
            wanted = [row for rows in stretches for row in rows if before <= row < stop]
            assert sorted(given_out["row"].tolist()) == sorted(wanted)
            assert (given_out["twice"] == 2 * given_out["row"]).all()
            before = stop


@pytest.mark.parametrize(
    ("records", "parts"), [(0, 1), (1, 1), (2**18, 1), (2**18 + 1, 2), (10**6, 4), (10**9, 128)]
)
def test_parts_are_a_power_of_two_and_not_too_many(records: int, parts: int) -> None:
    assert parts_for(records) == parts


def test_a_long_text_is_named_by_all_of_it(tmp_path: Path) -> None:
    long = "x" * 1_000_000
    values = [long + "a", long + "b", long + "a", long[:64], long[:65]]
    assert first_alike(names_of(texts(values))).tolist() == [0, 1, 0, 3, 4]
