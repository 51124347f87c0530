"""The quick reading of answers takes what pydantic takes, with the same values, or leaves it to pydantic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)

from offpeak.answer import Answer
from offpeak.answer_columns import plain_value
from offpeak.answer_nodes import answer_reader
from offpeak.blocks import Block
from offpeak.compiled.library import library
from offpeak.quick_answer import read_quickly


class Place(BaseModel):
    city: str
    zip: int | None = None


class Ticket(BaseModel):
    kind: Literal["a", "b", "ü"] = Field(description="k")
    grade: Literal[1, 2] | None
    count: int = Field(ge=1, lt=5)
    share: float = Field(gt=-1, le=1)
    whole: int
    real: float
    flag: bool
    text: str
    short: str = Field(min_length=1, max_length=2)
    tags: list[str] = Field(max_length=3)
    lists: list[list[float | None]] = Field(default_factory=list)
    place: Place
    maybe: str | None = "x"


NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "-0.0",
        "1",
        "1.0",
        "1e2",
        "1E400",
        "-1e-400",
        "4.9e-324",
        "0.1",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "-Infinity",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551616",
        "123456789012345678901234567890",
        "2.2250738585072011e-308",
        "1" + "0" * 308,
        "9" * 400,
        "9" * 5_000,
        "0." + "0" * 400 + "1",
        "1_000",
        "0x10",
    ]
)
STRINGS = st.sampled_from(
    [
        '"a"',
        '"b"',
        '"\\u00fc"',
        '"ü"',
        '""',
        '"ab"',
        '"abc"',
        '"\\ud83c\\udfe6"',
        '"🏦🏦"',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\u0000"',
        '"\x00"',
        '"\x1f"',
        '"\x7f\x85\u2028"',
        '"\\x"',
        '"\\/"',
        '"\\u12"',
        '"1"',
        '"true"',
        "'a'",
        '"a',
        '"' + "x" * 1_000_000 + '"',
    ]
)
ANY = (
    NUMBERS
    | STRINGS
    | st.sampled_from(["null", "true", "false", "True", "[]", "{}", "[null]", '{"city": "x"}', "[[]]", ""])
    | st.integers().map(str)
    | st.floats().map(json.dumps)
    | st.integers(10**16, 10**40).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda x: f"{x:.40e}")
    | st.text(max_size=5).map(json.dumps)
    | st.text(max_size=5).map(lambda text: json.dumps(text, ensure_ascii=False))
)
GOOD: Mapping[str, str] = {
    "kind": '"a"',
    "grade": "2",
    "count": "3",
    "share": "0.5",
    "whole": "-7",
    "real": "1.5",
    "flag": "true",
    "text": '"t"',
    "short": '"ab"',
    "tags": '["x", "y"]',
    "lists": "[[1.5, null], []]",
    "place": '{"city": "x", "zip": null}',
    "maybe": "null",
}
SPACE = st.sampled_from(["", " ", "\n", "\t\r\n ", "\x00", "\ufeff", "\xa0", "\x0b", "//", ","])


@st.composite
def objects(draw: st.DrawFn, model: type[BaseModel]) -> str:
    """A JSON object for the model, with one field or a few made strange, left out or given twice."""
    pairs = [(name, GOOD.get(name, "1")) for name in model.model_fields]
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([*model.model_fields, "stranger", "city"]))
        value = draw(ANY | st.just(GOOD.get(name, "1")) | st.lists(ANY, max_size=4).map(_listed))
        change = draw(st.sampled_from(["replace", "again", "before", "drop"]))
        if change == "again":
            pairs.append((name, value))
        elif change == "before":
            pairs.insert(0, (name, value))
        else:
            pairs = [pair for pair in pairs if pair[0] != name]
            pairs += [(name, value)] if change == "replace" else []
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    inner = ", ".join(f"{json.dumps(name)}: {value}" for name, value in pairs)
    return draw(SPACE) + "{" + inner + "}" + draw(SPACE)


def _listed(items: list[str]) -> str:
    return f"[{', '.join(items)}]"


def same_compiled(model: type[BaseModel], text: str) -> bool:
    """Whether the compiled reader took the text, after a look that pydantic reads it alike."""
    reader = answer_reader(model)
    if reader is None:
        return False
    found = reader.read(Block.of([text.encode("utf-8", "surrogatepass")]))
    if not found.taken[0]:
        return False
    value = model.model_validate_json(text)
    assert [*found.columns] == [*model.model_fields]
    for (name, column), field in zip(found.columns.items(), Answer.of(model).schema(), strict=True):
        assert repr(column[0].as_py()) == repr(plain_value(getattr(value, name))), name
        assert column.type == field.type
    return True


def same(model: type[BaseModel], text: str) -> bool:
    """Whether the quick reader took the text, after a look that pydantic reads it alike."""
    same_compiled(model, text)
    (found,) = read_quickly(model, [text])
    if found is None:
        return False
    value = model.model_validate_json(text)
    for name in model.model_fields:
        quick, slow = plain_value(getattr(found, name)), plain_value(getattr(value, name))
        assert repr(quick) == repr(slow), name  # tells 1 from 1.0 and True, and 0.0 from -0.0
    return True


@settings(max_examples=600, deadline=None)
@given(text=objects(Ticket))
def test_what_is_read_quickly_is_what_pydantic_reads(text: str) -> None:
    same(Ticket, text)


SIMPLE: st.SearchStrategy[Any] = st.sampled_from(
    [
        str,
        int,
        float,
        bool,
        Literal["a", "b"],
        Literal[1, 2],
        Annotated[int, Field(ge=0)],
        Annotated[int, Field(gt=-3, le=9)],
        Annotated[float, Field(lt=0.5)],
        Annotated[str, Field(max_length=2)],
        Place,
    ]
)
TYPES = st.recursive(
    SIMPLE, lambda inner: inner.map(lambda one: one | None) | inner.map(lambda one: list[one])
)


@settings(max_examples=250, deadline=None)
@given(data=st.data(), kinds=st.lists(TYPES, min_size=1, max_size=3))
def test_the_same_of_any_model_of_simple_fields(data: st.DataObject, kinds: list[Any]) -> None:
    model = create_model("M", **{f"f{place}": (kind, ...) for place, kind in enumerate(kinds)})
    for _ in range(5):
        same(model, data.draw(objects(model)))


@settings(max_examples=200, deadline=None)
@given(text=st.text() | st.text(alphabet='{}[]":,\\ \n\t0123456789.eE+-truefalsn', max_size=40))
def test_texts_of_any_kind_are_left_to_pydantic_or_read_alike(text: str) -> None:
    same(create_model("M", a=(int, ...)), text)
    same(create_model("M", a=(int, ...)), f'{{"a": {text}}}')
    same(create_model("M", a=(str, ...)), f'{{"a": "{text}"}}')


ORDINARY = "{" + ", ".join(f'"{name}": {value}' for name, value in GOOD.items()) + "}"


def test_an_ordinary_answer_is_read_quickly() -> None:
    assert same(Ticket, ORDINARY)


@pytest.mark.skipif(library() is None, reason="no compiled reader here")
def test_an_ordinary_answer_is_read_by_the_compiled_reader() -> None:
    assert same_compiled(Ticket, ORDINARY)


def test_many_texts_keep_their_places() -> None:
    model = create_model("M", a=(int, ...))
    found = read_quickly(
        model, ["x", '{"a": 1}', '{"a": 1.0}', "", '{"a": 2}', "\ud800", '{"a": 3}', "{" * 10**6]
    )
    assert [one and one.a for one in found] == [None, 1, None, None, 2, None, 3, None]


class Aliased(BaseModel):
    a: int = Field(alias="b")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    a: int


class Stripped(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    a: str


class Closed(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Checked(BaseModel):
    a: int

    @field_validator("a")
    @classmethod
    def more(cls, value: int) -> int:
        return value + 1


class CheckedWhole(BaseModel):
    a: int

    @model_validator(mode="after")
    def more(self) -> CheckedWhole:
        self.a += 1
        return self


class Made(BaseModel):
    a: int

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.a += 1


class After(BaseModel):
    a: int

    def model_post_init(self, context: Any) -> None:
        self.a += 1


class Private(BaseModel):
    a: int
    _b: int = PrivateAttr(default=1)


class Computed(BaseModel):
    a: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def b(self) -> int:
        return self.a


class Colour(Enum):
    RED = "red"


class Nested(BaseModel):
    a: list[Checked]


@pytest.mark.parametrize(
    "model",
    [
        Aliased,
        Strict,
        Stripped,
        Closed,
        Checked,
        CheckedWhole,
        Made,
        After,
        Private,
        Computed,
        Nested,
        *(
            create_model("M", a=(kind, ...))
            for kind in (
                Colour,
                bytes,
                int | str,
                set[int],
                tuple[int, int],
                dict[str, int],
                Any,
                Literal[1, "a"],
                Literal[True],
                Literal[Colour.RED],
                Annotated[str, Field(pattern="a")],
                Annotated[int, Field(multiple_of=2)],
                Annotated[int, Field(strict=True)],
                Annotated[int, Field(ge=2**63)],
                Annotated[float, Field(allow_inf_nan=False)],
                Annotated[int, BeforeValidator(int)],
            )
        ),
    ],
    ids=str,
)
def test_a_model_with_a_meaning_of_its_own_is_pydantics_alone(model: type[BaseModel]) -> None:
    assert (
        read_quickly(model, ['{"a": 1}', '{"a": "a"}', '{"a": "red"}', '{"b": 1}', '{"a": [{"a": 1}]}'])
        == [None] * 5
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stranger", "1"),
        ("stranger", '"\\ud800"'),
        ("stranger", '"\\x"'),
        ("count", "0"),
        ("count", "5"),
        ("share", "-1"),
        ("share", "1.0000001"),
        ("short", '""'),
        ("short", '"\\ud83c\\udfe6bc"'),
        ("tags", '["", "", "", ""]'),
        ("whole", "9223372036854775808"),
        ("whole", "1.0"),
        ("flag", "1"),
        ("place", '{"city": "x"}'),
    ],
)
def test_what_a_simple_decoder_could_misread_is_left_to_pydantic(name: str, value: str) -> None:
    fields = {**GOOD, name: value}
    text = "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
    assert not same(Ticket, text)
