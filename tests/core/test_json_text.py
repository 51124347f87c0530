"""Columns of text as JSON text: byte for byte what an encoder writes, whatever the text."""

from __future__ import annotations

import json

import orjson
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offpeak.arrays import offsets_of
from offpeak.json_text import escape, escaped

SPECIAL = "".join(map(chr, range(0x80))) + "\u2028\u2029\x85\ufeff\U0001f3e6"
TEXT = st.text(st.characters(codec="utf-8"), max_size=30) | st.text(st.sampled_from(SPECIAL), max_size=12)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.none() | TEXT, max_size=12), first=st.integers(0, 3))
@example(texts=["\\", "", None, "\\n", '"\n"', "x" * 1_000_000 + "\x00"], first=0)
@example(texts=["a\n", "b", "\x01\x02", "c"], first=1)
def test_a_column_is_escaped_as_an_encoder_escapes_each_text(texts: list[str | None], first: int) -> None:
    made = escaped(pa.array(texts, pa.string())[first:])
    assert made.type == pa.binary()
    assert made.to_pylist() == [None if text is None else orjson.dumps(text)[1:-1] for text in texts[first:]]
    made.validate(full=True)


def test_every_byte_below_0x80_is_escaped_as_json_does() -> None:
    for byte in range(0x80):
        text = json.dumps(chr(byte), ensure_ascii=False)[1:-1].encode()
        assert escaped(pa.array([chr(byte)]))[0].as_py() == text
        assert text in (bytes((byte,)), escape(byte))


def test_offsets_are_those_of_a_slice() -> None:
    column = pa.array(["ab", None, "cde", ""])[1:]
    assert offsets_of(column).tolist() == [2, 2, 5, 5]
