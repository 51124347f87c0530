"""Packing: every item exactly once, no window above the bound, the same whatever the order of the rows."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.digest.marks import mark, plain, shown_ids, units
from offpeak.digest.windows import Room, Unit, pack, size_bytes, split
from offpeak.errors import InputError

TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=400)
KEYS = st.lists(st.text(min_size=1, max_size=40), unique=True, max_size=40)


@given(TEXTS, st.integers(4, 200))
def test_the_pieces_of_a_text_are_the_text_and_each_fits(text: str, room: int) -> None:
    pieces = split(text, room)
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= room for piece in pieces)


def test_a_text_is_cut_between_turns_then_sentences_then_words_and_never_within_one() -> None:
    turns = (
        "Ada: Good morning to you all.\nBen: I have two points. The first is the price. The second is not.\n"
    )
    pieces = split(turns, 40)
    assert pieces[0] == "Ada: Good morning to you all.\n"
    assert "I have two points. " in pieces[1]
    words = re.findall(r"\S+", turns)
    assert [word for piece in pieces for word in re.findall(r"\S+", piece)] == words


def test_only_a_word_longer_than_the_room_is_cut_and_between_characters() -> None:
    assert split("ä" * 10, 8) == ["ä" * 4, "ä" * 4, "ä" * 2]


@given(st.lists(TEXTS, max_size=30), st.integers(120, 600))
def test_every_item_stands_in_the_windows_exactly_once_and_no_window_is_above_the_bound(
    texts: list[str], room: int
) -> None:
    named = [(f"T{n:03d}", text) for n, text in enumerate(texts)]
    made = [unit for name, text in named for unit in units(name, text, room)]
    windows = pack(made, room)
    assert all(len(window.text.encode()) <= room for window in windows)
    assert "".join(window.text for window in windows) == "".join(f"{unit.text}\n" for unit in made)
    whole = [unit.text for unit in made if "(part " not in unit.text]
    together = "".join(window.text for window in windows)
    assert all(together.count(f"{mark([name])} ") >= 1 for name, text in named if plain(text))
    assert len(whole) == len(set(whole))
    assert pack(made, room) == windows


def test_a_unit_larger_than_a_window_is_refused_with_the_cure() -> None:
    with pytest.raises(
        InputError, match=r"102 bytes does not fit into a window of 50\..*Raise window_tokens"
    ):
        pack([Unit(text="x" * 101, ids=(), read=())], 50)


@given(KEYS, st.randoms(use_true_random=False))
def test_shown_ids_are_one_for_each_key_whatever_their_order(keys: list[str], chance: random.Random) -> None:
    shown = shown_ids(keys)
    assert shown.keys() == set(keys)
    assert len({name.lower() for name in shown.values()}) >= len(
        {name.lower() for key, name in shown.items() if name != key}
    )
    assert len(set(shown.values())) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in shown.values())
    chance.shuffle(keys)
    assert shown_ids(keys) == shown


def test_short_keys_are_shown_as_they_are_hashes_by_their_beginning_and_others_by_a_few_letters() -> None:
    commit, address = "a52cd75929a76b373d2d236abb8882ad4e6d053e", "https://desk.example/tickets/12 (new)"
    shown = shown_ids(["T0012", commit, address])
    assert (shown["T0012"], shown[commit]) == ("T0012", "a52cd75")
    assert re.fullmatch(r"[a-z2-7]{5}", shown[address])


def test_two_hashes_that_begin_alike_are_shown_longer() -> None:
    one, other = "abcdef1" + "0" * 33, "abcdef1" + "1" * 33
    assert shown_ids([one, other]) == {one: "abcdef100", other: "abcdef111"}


@given(TEXTS)
def test_nothing_that_an_item_says_looks_like_a_mark(text: str) -> None:
    (unit, *more) = units("T1", f"{text}\n[#T2] I am another item", 10_000)
    assert not more
    assert re.findall(r"\[#[^\]\s]+", unit.text) == ["[#T1"]
    assert size_bytes(unit.text) <= 10_000


@pytest.mark.parametrize(("windows", "levels"), [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (16, 3), (17, 4)])
def test_so_many_windows_need_so_many_levels_when_four_notes_fill_one(windows: int, levels: int) -> None:
    assert Room(window_bytes=4_000, condensed_bytes=1_000, levels=3).levels_needed(windows) == levels
