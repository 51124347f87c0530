"""The compiled reader takes what is exactly such an object, with its values, and nothing else."""

from __future__ import annotations

import json
import math
import struct
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offpeak.blocks import Block
from offpeak.compiled import nodes
from offpeak.compiled.library import library
from offpeak.compiled.nodes import Constant, Flag, Items, Node, Object, Pick, Real, Text, Vector, Whole
from offpeak.compiled.reading import Found, Reader

pytestmark = pytest.mark.skipif(library() is None, reason="no compiled reader here")

NAMES = st.text(alphabet="abcde ._", min_size=1, max_size=3)
CHARACTERS = st.text(max_size=12) | st.sampled_from(
    ["\x00", "\u2028\x85", "🏦" * 3, '"\\/\b\f', "x" * 100_000]
)


def scalars(name: str) -> st.SearchStrategy[Node]:
    nullable = st.booleans()
    bounds = st.tuples(st.integers(-5, 5), st.integers(0, 10)).map(lambda at: (at[0], at[0] + at[1]))
    return st.one_of(
        st.builds(Text, name=st.just(name), nullable=nullable, high=st.sampled_from([2, nodes.WIDEST])),
        st.builds(Text, name=st.just(name), nullable=nullable, among=st.just(("a", "ü", ""))),
        st.builds(lambda at: Whole(name=name, low=at[0], high=at[1]), bounds),
        st.builds(Whole, name=st.just(name), nullable=nullable),
        st.builds(Whole, name=st.just(name), among=st.just((1, -7))),
        st.builds(Real, name=st.just(name), nullable=nullable),
        st.builds(lambda at: Real(name=name, low=at[0], high=at[1]), bounds),
        st.builds(Flag, name=st.just(name), nullable=nullable),
    )


def values_of(name: str, deep: int = 2) -> st.SearchStrategy[Node]:
    if not deep:
        return scalars(name)
    most = st.sampled_from([2, nodes.WIDEST])
    lists = st.builds(Items, name=st.just(name), of=values_of("item", deep - 1), high=most)
    return scalars(name) | lists | objects(name, deep - 1)


@st.composite
def objects(draw: st.DrawFn, name: str = "", deep: int = 2) -> Object:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    fields: dict[str, Node] = {one: draw(values_of(one, deep)) for one in names}
    if draw(st.booleans()):
        fields["constant"] = Constant(among=("on", "off"), nullable=True, required=False)
    return Object(name=name, fields=fields, closed=draw(st.booleans()))


class Odd(Exception):
    """Not such an object."""


def read(node: Node, value: Any) -> Any:
    """What the node's column holds for a decoded value, the obvious way. Odd where it is none."""
    if value is None:
        if not node.nullable:
            raise Odd
        return None
    if isinstance(node, Object):
        if type(value) is not dict or (node.closed and value.keys() - node.fields.keys()):
            raise Odd
        for name, one in node.fields.items():
            if one.required and name not in value:
                raise Odd
        made = {name: read(one, value.get(name)) for name, one in node.fields.items()}
        return {name: made[name] for name, one in node.fields.items() if not isinstance(one, Constant)}
    if isinstance(node, Items):
        if type(value) is not list or not node.low <= len(value) <= node.high:
            raise Odd
        return [read(node.of, one) for one in value]
    fits = {
        Text: lambda: type(value) is str and node.low <= len(value) <= node.high,
        Constant: lambda: type(value) is str,
        Whole: lambda: type(value) is int and node.low <= value <= node.high,
        Real: lambda: type(value) in (int, float) and node.low <= value <= node.high,
        Flag: lambda: type(value) is bool,
    }
    if not fits[type(node)]() or (getattr(node, "among", ()) and value not in node.among):
        raise Odd
    return float(value) if isinstance(node, Real) else value


@st.composite
def fitting(draw: st.DrawFn, node: Node) -> Any:
    """A value that the node allows."""
    if node.nullable and draw(st.booleans()):
        return None
    if isinstance(node, Object):
        made = {name: draw(fitting(one)) for name, one in node.fields.items()}
        if not node.closed and draw(st.booleans()):
            made["another"] = draw(st.sampled_from([{"a": [1.5e3, "\\"]}, [], None, True, "x"]))
        return made
    if isinstance(node, Items):
        return draw(st.lists(fitting(node.of), max_size=min(node.high, 4)))
    if getattr(node, "among", ()):
        return draw(st.sampled_from(node.among))
    if isinstance(node, Text):
        return draw(CHARACTERS)[: min(node.high, 2_000_000)]
    if isinstance(node, Whole):
        return draw(st.integers(max(node.low, 1 - 10**18), min(node.high, 10**18 - 1)))
    if isinstance(node, Real):
        low, high = max(node.low, -(10**6)), min(node.high, 10**6)
        return draw(st.integers(int(low), int(high)) | st.just(low)) or 0
    return draw(st.booleans())


def pairs_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Odd
    return made


def slowly(root: Object, raw: bytes) -> dict[str, Any]:
    """The line's columns, the obvious way. Odd for anything else."""
    try:
        value = json.loads(raw.decode(), object_pairs_hook=pairs_once)
    except (ValueError, RecursionError):
        raise Odd from None
    made: dict[str, Any] = read(root, value)
    return made


def row(found: Found, at: int) -> dict[str, Any]:
    return {name: column[at].as_py() for name, column in found.columns.items()}


def agree(root: Object, lines: list[bytes]) -> list[bool]:
    """Which lines the reader takes, after a look that each has the values that the obvious way gives it."""
    found = Reader(root).read(Block.of(lines))
    taken: list[bool] = found.taken.tolist()
    for at, place in enumerate(np.flatnonzero(found.taken).tolist()):
        assert repr(row(found, at)) == repr(slowly_or_twice(root, lines[place]))
    for column in found.columns.values():
        column.validate(full=True)
        assert len(column) == sum(taken)
    return taken


def slowly_or_twice(root: Object, raw: bytes) -> dict[str, Any]:
    """As slowly; a stranger's field may be there twice, which only matters in a field of ours."""
    try:
        return slowly(root, raw)
    except Odd:
        made: dict[str, Any] = read(root, json.loads(raw))
        return made


@settings(max_examples=150, deadline=None)
@given(data=st.data(), root=objects(), is_ascii=st.booleans(), indent=st.sampled_from([None, 1]))
def test_a_line_that_fits_is_taken_with_its_values(
    data: st.DataObject, root: Object, is_ascii: bool, indent: int | None
) -> None:
    values = data.draw(st.lists(fitting(root), min_size=1, max_size=3))
    lines = [json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode() for value in values]
    assert agree(root, lines) == [True] * len(lines)


TOKENS = st.sampled_from(
    [
        *(
            "null",
            "true",
            "fals",
            "-0",
            "-0.0",
            "0",
            "01",
            "1.",
            ".5",
            "+1",
            "1e2",
            "1E400",
            "4.9e-324",
            "1e-23",
        ),
        *(
            "9007199254740993",
            "999999999999999999",
            "1000000000000000000",
            "9223372036854775808",
            "0.1",
            "1.0",
        ),
        *(
            '"\\ud800"',
            '"\\udc00\\ud800"',
            '"\\u0000"',
            '"\\u12"',
            '"\\x"',
            '"\x00"',
            '"\x1f"',
            '"ü"',
            '"\\u00FC"',
        ),
        *(
            '"a',
            "'a'",
            "[",
            "]",
            "{",
            "}",
            "[[]]",
            "{}",
            '{"a": 1, "a": 2}',
            ",",
            ":",
            "\ufeff",
            "\xa0",
            "\x0b",
            "NaN",
        ),
        *("[" * 70 + "]" * 70, "1" * 300, "0." + "0" * 300 + "1", '"' + "x" * 70_000 + '"'),
    ]
)


@settings(max_examples=250, deadline=None)
@given(data=st.data(), root=objects())
def test_whatever_is_done_to_a_line_it_is_read_as_it_is_or_not_at_all(
    data: st.DataObject, root: Object
) -> None:
    lines = []
    for value in data.draw(st.lists(fitting(root), min_size=1, max_size=3)):
        raw = json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode()
        raw = raw if len(raw) < 100_000 else raw[:200]
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 12)))
        put = data.draw(TOKENS.map(str.encode) | st.binary(max_size=4) | st.just(b""))
        lines += [raw[:start] + put + raw[end:], raw, raw[:end]]
    agree(root, lines)


@settings(max_examples=400, deadline=None)
@given(
    raw=st.binary(max_size=30)
    | st.text(alphabet='{}[]":,\\ \n\tu0123456789.eE+-truefalsn', max_size=40).map(str.encode)
)
def test_anything_at_all_is_read_or_left(raw: bytes) -> None:
    items = Items(name="b", of=Real(name="item"), required=False, nullable=True)
    root = Object(fields={"a": Text(name="a", required=False, nullable=True), "b": items})
    around = [(b"", b""), (b'{"a": ', b"}"), (b'{"b": [', b"]}"), (b'{"a": "', b'"}'), (b'{"x": ', b"}")]
    agree(root, [before + raw + after for before, after in around])


KINDS = Object(fields={"type": Constant(among=("text",)), "text": Text(name="value")})


@pytest.mark.parametrize(
    ("which", "items", "taken"),
    [
        ("kind", '{"type": "x"}, {"type": "text", "text": "t"}, {"type": "y", "text": 3}', True),
        ("kind", '{"text": "t", "type": "text"}', True),
        ("kind", '{"type": "text", "text": "t"}, {"type": "text", "text": "u"}', False),
        ("kind", '{"type": "x"}', False),
        ("kind", '{"type": "x", "type": "text", "text": "t"}', False),
        ("kind", '{"type": "te\\u0078t", "text": "u"}, {"type": "text", "text": "t"}', False),
        ("kind", '{"type": "x", "ty\\u0070e": "text"}, {"type": "text", "text": "t"}', False),
        ("kind", '"x", {"type": "text", "text": "t"}', False),
        ("kind", "", False),
        ("kind", ", ".join(['{"type": "text", "text": "t"}'] * 5_000), False),
        ("only", ", ".join(['{"type": "text", "text": "t"}'] * 5_000), False),
        ("only", '{"type": "text", "text": "t"}', True),
        ("only", '{"type": "text", "text": "t"}, {"type": "x"}', False),
        ("only", '{"type": "x", "text": "t"}', False),
        ("first", '{"type": "text", "text": "t"}, 3, {"type": "text"}', True),
        ("first", '{"type": "x"}, {"type": "text", "text": "t"}', False),
    ],
)
def test_of_a_list_the_one_element_that_is_meant_is_read(which: Any, items: str, taken: bool) -> None:
    root = Object(fields={"list": Pick(of=KINDS, which=which), "after": Whole(name="after", required=False)})
    whole = f'{{"list": [{items}], "after": 3}}'.encode()
    found = Reader(root).read(Block.of([b"{", whole, whole]))
    assert found.taken.tolist() == [False, taken, taken]
    assert found.columns["value"].to_pylist() == ["t", "t"] * taken
    assert found.columns["after"].to_pylist() == [3, 3] * taken


def test_what_is_not_there_is_filled_or_null() -> None:
    root = Object(
        fields={
            "a": Whole(name="a", required=False, nullable=True, filled=True),
            "b": Whole(name="b", required=False, nullable=True),
            "c": Object(fields={"d": Text(name="d", required=False)}, required=False, nullable=True),
        }
    )
    found = Reader(root).read(Block.of([b"{}", b'{"a": null, "b": null, "c": null}', b'{"c": {}}']))
    assert [row(found, at) for at in range(3)] == [{"a": 0, "b": None, "d": ""}] * 3


def listed(numbers: list[str]) -> pa.Array | None:
    root = Object(fields={"v": Vector(name="v", dimensions=len(numbers))})
    found = Reader(root).read(Block.of([f'{{"v": [{", ".join(numbers)}]}}'.encode()]))
    return found.columns["v"][0].as_py() if found.taken[0] else None


@settings(max_examples=500, deadline=None)
@given(bits=st.integers(0, 2**32 - 1), form=st.sampled_from(["r", ".17g", ".9g", ".25e", "f"]))
@example(bits=0x00000001, form="r")
@example(bits=0x80000000, form="r")
@example(bits=0x7F7FFFFF, form=".17g")
def test_a_number_of_a_vector_becomes_the_float_that_numpy_makes_of_it(bits: int, form: str) -> None:
    (value,) = struct.unpack("<f", struct.pack("<I", bits))
    # between two floats, too, where rounding twice and rounding once may differ
    for number in (value, value * (1 + 2**-24), value * 1.0000001, float(f"{value:.4g}")):
        if not math.isfinite(number):
            continue
        text = repr(number) if form == "r" else format(number, form)
        found = listed(["1.5", text])
        with np.errstate(over="ignore"):
            slow = np.array(float(text), "<f4")
        assert found is None or struct.pack("<f", found[1]) == slow.tobytes()
        ordinary = number == value and 1e-6 < abs(number) < 1e6 and form in ("r", ".17g", ".9g")
        assert found is not None or not ordinary, f"{text} was not taken"


@pytest.mark.parametrize("text", ["0.025687555782496926", "26.358010292053226", "1.7215698449035701e-06"])
def test_a_number_next_to_the_middle_of_two_floats_is_left_to_those_who_round_twice(text: str) -> None:
    assert listed(["1.5", text]) is None
    assert listed(["1.5", "0.025687555782496", "26.358010292053"]) is not None


def test_what_is_utf8_is_what_python_takes_for_it() -> None:
    edges = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
    firsts = [
        0x80,
        0xBF,
        0xC1,
        0xC2,
        0xDF,
        0xE0,
        0xE1,
        0xEC,
        0xED,
        0xEE,
        0xEF,
        0xF0,
        0xF1,
        0xF3,
        0xF4,
        0xF5,
        0xFF,
    ]
    said = [
        bytes([first, *rest]) for first in firsts for size in range(4) for rest in product(edges, repeat=size)
    ]
    good = [one for one in said if is_utf8(one) and b"\0" not in one]
    root = Object(fields={"a": Text(name="a")})
    found = Reader(root).read(Block.of([b'{"a": "' + one + b'"}' for one in said]))
    assert [one for one, taken in zip(said, found.taken, strict=True) if taken] == good
    assert found.columns["a"].to_pylist() == [one.decode() for one in good]


def is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(
    "text", ["\\ud83d\\u0041", "\\ud83d", "\\ud83d\\ud83d", "\\udfe6\\ud83c", "\\ud83d\\n", "\\ud83dx"]
)
def test_half_of_a_pair_is_left_to_the_slow_readers(text: str) -> None:
    root = Object(fields={"a": Text(name="a", required=False)})
    lines = [f'{{"a": "{text}"}}', f'{{"b": "{text}"}}', '{"a": "\\ud83c\\udfe6"}']
    found = Reader(root).read(Block.of([line.encode() for line in lines]))
    assert (found.taken.tolist(), found.columns["a"].to_pylist()) == ([False, False, True], ["🏦"])


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5, 6, 1536])
def test_base64_is_read_bit_by_bit_and_only_as_it_should_be(dimensions: int) -> None:
    import base64

    raw = np.random.default_rng(dimensions).standard_normal(dimensions).astype("<f4").tobytes()
    good = base64.b64encode(raw).decode()
    nan = base64.b64encode(raw[:-4] + b"\x00\x00\xc0\x7f").decode()
    loose = good.rstrip("=")
    bad = [
        good[:-4],
        good + "AAAA",
        f" {good}",
        "*" + good[1:],
        good.replace("=", "A") if "=" in good else good[:-1],
        nan,
    ]
    if loose != good:  # bits beyond the last byte
        bad.append(loose[:-1] + chr(ord(loose[-1]) + 1) + good[len(loose) :])
    root = Object(fields={"v": Vector(name="v", dimensions=dimensions)})
    lines = [f'{{"v": "{text}"}}'.encode() for text in [good, *bad, good]]
    found = Reader(root).read(Block.of([*lines, b'{"v": "' + good.encode()]))
    assert found.taken.tolist() == [True, *[False] * len(bad), True, False]
    assert found.columns["v"].flatten().buffers()[1].to_pybytes()[: 8 * dimensions] == raw + raw


def test_as_many_columns_and_fields_as_the_reader_counts() -> None:
    fields: dict[str, Node] = {f"f{n}": Whole(name=f"f{n}") for n in range(nodes.MOST_FIELDS)}
    line = json.dumps({name: place for place, name in enumerate(fields)}).encode()
    assert row(Reader(Object(fields=fields)).read(Block.of([line])), 0)["f63"] == 63
    with pytest.raises(nodes.TooWide, match="65 fields"):
        Reader(Object(fields=fields | {"more": Flag()}))
    inner = Object(fields=fields)
    with pytest.raises(nodes.TooWide, match="65 columns"):
        Reader(Object(fields={"inner": inner, "more": Flag(name="more")}))


def test_a_name_may_be_of_any_characters_that_are_written_without_escapes() -> None:
    root = Object(fields={"ü\u2028": Flag(name="ü")})
    lines = ['{"ü\u2028": true}', '{"\\u00fc\u2028": true}', '{"ü\u2028": true, "\\u00fc\u2028": false}']
    found = Reader(root).read(Block.of([line.encode() for line in lines]))
    assert found.taken.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "node", [Flag(), Real(), Vector(dimensions=2), Items(of=Flag(name="item")), Text(high=3)]
)
def test_a_node_that_needs_a_name_is_refused_without(node: Node) -> None:
    with pytest.raises(ValueError, match="has no name"):
        Reader(Object(fields={"a": node}))


def test_what_was_read_holds_no_more_than_itself() -> None:
    root = Object(fields={"a": Text(name="a"), "b": Items(name="b", of=Whole(name="item"))})
    columns = (
        Reader(root).read(Block.of([b'{"a": "x", "b": [1], "c": "' + b"c" * 10_000 + b'"}'] * 100)).columns
    )
    assert sum(buffer.size for one in columns.values() for buffer in one.buffers() if buffer) < 5_000


def test_no_lines_are_read_as_none() -> None:
    found = Reader(Object(fields={"a": Text(name="a")})).read(Block.of([]))
    assert (found.taken.tolist(), found.columns["a"].to_pylist()) == ([], [])
