"""Claims: each request has one result, whatever the ids are."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.arrays import texts
from offpeak.claims import FOREIGN, Claims
from offpeak.results import Tally

TAG = "0123456789"
NAMES = st.text(max_size=3) | st.sampled_from(
    ["a", "a\0", "a\0\0", "\0", "ü", "ab", "a" * 32, "b" * 32, "a" * 31 + "b"]
)
IDS = (
    NAMES.map(lambda name: f"{TAG}-{name}")
    | st.sampled_from(["", TAG, f"{TAG}-", "foreign-a", "a", "x" * 43, f"{TAG}_" + "a" * 32])
    | st.text(max_size=4)
)


def test_an_endless_id_does_not_make_all_of_them_large() -> None:
    sent = [f"{number:032x}" for number in range(2_000)]
    claims = Claims(texts(sent), TAG, Tally())
    ids = texts([f"{TAG}-{sent[3]}", "x" * 10_000_000, f"{TAG}-" + "y" * 10_000_000, f"{TAG}-{sent[5]}"])
    tracemalloc.start()
    places = claims.places(ids)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert places.tolist() == [3, FOREIGN, FOREIGN, 5]
    assert most < 100_000_000, f"{most:,} bytes for 20 MB of ids"


@settings(max_examples=500, deadline=None)
@given(
    sent=st.lists(NAMES.filter(lambda name: name and "\0" not in name), unique=True, max_size=6),
    blocks=st.lists(
        st.lists(IDS, max_size=8)
        | st.lists(st.sampled_from("ab"), max_size=4).map(
            lambda ends: [f"{TAG}-" + "a" * 31 + end for end in ends]
        ),
        max_size=4,
    ),
)
def test_the_first_line_of_a_request_is_its_result(sent: list[str], blocks: list[list[str]]) -> None:
    tally = Tally()
    claims = Claims(texts(sent), TAG, tally)
    left, foreign, repeated, nameless = dict.fromkeys(sent), 0, 0, 0
    for ids in blocks:
        places = claims.places(texts(ids))
        firsts = claims.claim(places)
        expected = []
        for one in ids:
            name = one.removeprefix(f"{TAG}-") if one.startswith(f"{TAG}-") else None
            expected.append(name in left)
            if name in left:
                del left[name]
            elif not one:
                nameless += 1
            elif name in sent:
                repeated += 1
            else:
                foreign += 1
        assert firsts.tolist() == expected
        named = [one.removeprefix(f"{TAG}-") for one, is_first in zip(ids, expected, strict=True) if is_first]
        assert claims.fingerprints(places[np.array(expected, bool)]).to_pylist() == named
    assert claims.left() == list(left)
    assert (tally.foreign, tally.repeated, tally.unreadable) == (foreign, repeated, nameless)
