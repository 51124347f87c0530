"""Reading answers: whatever text comes back, it is read or told, never raised, and fits its columns."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from offpeak.answer import Answer
from offpeak.arrays import texts as texts_column
from offpeak.prompt import encodable


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    city: str
    zip: int | None = None


class Keywords(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")

    title: str = Field(description="The title", title="T")
    default: int = 3
    properties: list[Place]
    enum: Colour
    pattern: Annotated[str, Field(pattern="^(?!x)a+$", description="p")] = "a"
    required: Literal["x"] | None = None
    place: Place = Field(description="Where")
    colour: Colour = Field(default=Colour.RED, description="Which")


class Everything(BaseModel):
    text: str
    whole: int
    real: float
    flag: bool
    blob: bytes
    money: Decimal
    day: dt.date
    moment: dt.datetime
    clock: dt.time
    uuid: UUID
    choice: Literal["a", "b"]
    colour: Colour
    maybe: int | None
    many: list[str | None]
    some: set[int]
    place: Place
    places: list[Place]


SURROGATE_FREE = st.text(st.characters(codec="utf-8"), max_size=20)
PLACES = st.builds(Place, city=SURROGATE_FREE, zip=st.none() | st.integers(-(2**63), 2**63 - 1))
VALID = st.builds(
    Everything,
    text=SURROGATE_FREE,
    whole=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(allow_nan=False, allow_infinity=False),
    blob=SURROGATE_FREE.map(str.encode),
    money=st.decimals(-(10**20), 10**20, places=9),
    moment=st.datetimes(
        dt.datetime(2, 1, 1),  # noqa: DTZ001 - the zone is drawn
        dt.datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=st.timezones(no_cache=True) | st.just(dt.UTC),  # type: ignore[arg-type]
    ).filter(lambda moment: moment.utcoffset().seconds % 60 == 0),  # type: ignore[union-attr]
    many=st.lists(st.none() | SURROGATE_FREE, max_size=3),
    some=st.sets(st.integers(-(2**63), 2**63 - 1), max_size=3),
    places=st.lists(PLACES, max_size=2),
    place=PLACES,
    maybe=st.none() | st.integers(-5, 5),
)


@settings(max_examples=100, deadline=None)
@given(value=VALID)
def test_every_valid_answer_fits_its_columns_and_comes_back_as_it_was(value: Everything) -> None:
    answer = Answer.of(Everything)
    read, why = answer.read(value.model_dump_json())
    assert why == ""
    assert read is not None
    for field in answer.schema():
        (back,) = pa.array([read[field.name]], field.type).to_pylist()
        assert back == read[field.name], field.name
    assert read["text"] == value.text
    assert read["money"] == value.money
    # an hour that a clock shows twice is equal to none of another zone
    assert read["moment"] == value.moment.astimezone(dt.UTC)
    assert read["colour"] == value.colour.value
    assert read["some"] == sorted(value.some)
    assert read["place"] == {"city": value.place.city, "zip": value.place.zip}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("9" * 5000),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(list(Everything.model_fields)) | st.text(max_size=3), inner, max_size=6
        )
    ),
    max_leaves=15,
)


@pytest.mark.parametrize("model", [Everything, Keywords, str])
@settings(max_examples=200, deadline=None)
@given(text=st.text() | JSON.map(json.dumps) | st.text(st.characters(categories=["Cs", "Ll"])))
def test_reading_never_raises_and_says_why_it_is_no_answer(model: Any, text: str) -> None:
    value, why = Answer.of(model).read(text)
    assert (value is None) == bool(why)
    why.encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 100_000,
        '{"text":' * 5_000,
        '{"whole": ' + "9" * 5_000 + "}",
        '{"whole": 1e999}',
        '{"text": "\\ud800"}',
        "\ud800",
        "\x00",
        '{"real": NaN}',
        "{" * 1_000_000,
    ],
)
def test_hostile_texts_are_told_briefly(text: str) -> None:
    value, why = Answer.of(Everything).read(text)
    assert value is None
    assert 0 < len(why) < 1_000


def test_violations_are_told_with_their_place_and_what_was_given() -> None:
    value, why = Answer.of(Keywords).read('{"title": 3, "properties": [{"city": null}], "enum": "green"}')
    assert value is None
    assert "title: Input should be a valid string (given: '3')" in why
    assert "properties.0.city: Input should be a valid string (given: 'None')" in why
    assert "and 1 more" in why


@pytest.mark.parametrize(
    ("annotation", "given_json", "says"),
    [
        (int, str(2**63), "does not fit the column's type int64"),
        (int, str(-(2**70)), "int64"),
        (list[int], f"[{2**64}]", "list<"),
        (Place, f'{{"city": "x", "zip": {2**64}}}', "struct<"),
        (Decimal, '"1e30"', "decimal128(38, 9)"),
        (Decimal, '"0.12345678901"', "decimal128(38, 9)"),
        (list[Decimal], '["1e38"]', "decimal128(38, 9)"),
        (dt.datetime, '"2026-03-01T08:00:00"', "has no time zone"),
        (list[dt.datetime], '["2026-03-01T08:00:00"]', "has no time zone"),
        (dt.datetime, '"0001-01-01T00:00:00+14:00"', "out of range"),
        (dt.datetime, '"9999-12-31T23:59:59-14:00"', "out of range"),
    ],
)
def test_a_valid_value_that_no_column_holds_is_an_invalid_answer(
    annotation: Any, given_json: str, says: str
) -> None:
    answer = Answer.of(create_model("M", value=(annotation, ...)))
    value, why = answer.read(f'{{"value": {given_json}}}')
    assert value is None
    assert says in why


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        TypeError("no"),
        KeyError("no"),
        RuntimeError("no"),
        AssertionError("no"),
        StopIteration("no"),
        RecursionError("no"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "no"),
    ],
)
def test_a_users_validator_may_raise_whatever_it_likes(error: Exception) -> None:
    class Checked(BaseModel):
        value: int

        @field_validator("value")
        @classmethod
        def check(cls, value: int) -> int:
            if value > 3:
                raise error
            return value

    answer = Answer.of(Checked)
    assert answer.read('{"value": 3}') == ({"value": 3}, "")
    value, why = answer.read('{"value": 4}')
    assert value is None
    assert "no" in why


def test_what_a_users_validator_makes_of_it_is_held_against_the_column() -> None:
    class Changed(BaseModel):
        value: str

        @field_validator("value")
        @classmethod
        def change(cls, value: str) -> str:
            return value + "\ud800"

    value, why = Answer.of(Changed).read('{"value": "x"}')
    assert value is None
    assert "value" in why


def test_a_set_is_written_in_one_order_whatever_its_members_are() -> None:
    class Frozen(BaseModel):
        model_config = ConfigDict(frozen=True)
        n: int

    answer = Answer.of(create_model("M", a=(set[Frozen], ...), b=(set[int | None], ...)))
    value, _ = answer.read('{"a": [{"n": 2}, {"n": 1}], "b": [3, null, 1]}')
    assert value == {"a": [{"n": 1}, {"n": 2}], "b": [1, 3, None]}


def test_a_text_answer_is_taken_as_it_is() -> None:
    assert Answer.of(str).read("a\u2028b\x00 <b>") == ({"answer": "a\u2028b\x00 <b>"}, "")


class Small(BaseModel):
    kind: Literal["a", "b"]
    whole: int
    tags: list[str]
    lists: list[list[int]] = Field(default_factory=list)


HOSTILE = st.sampled_from(
    [
        "",
        "null",
        "[]",
        "{",
        '{"kind": "a", "whole": 1, "tags": []}',
        '{"kind": "b", "whole": 3, "tags": ["x", "\\u2028", "\\u0000"], "lists": [[1], [], [2, 3]]}',
        '{"kind": "c", "whole": 1, "tags": []}',
        '{"kind": "a", "whole": 9223372036854775808, "tags": []}',
        '{"kind": "a", "whole": 1e2, "tags": ["\\ud800"]}',
        '{"kind": "a", "whole": 1, "tags": [null]}',
        "\ud800",
    ]
)


@pytest.mark.parametrize("model", [Small, Everything, str])
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_many_answers_are_read_as_each_by_itself(model: Any, data: st.DataObject) -> None:
    written = VALID.map(lambda value: value.model_dump_json()) if model is Everything else HOSTILE
    texts = data.draw(st.lists(HOSTILE | written, max_size=6))
    answer = Answer.of(model)
    columns = data.draw(st.booleans())
    if columns:
        texts = [text for text in texts if encodable(text)]
    found = answer.read_column(texts_column(texts)) if columns else answer.read_all(texts)
    each = [answer.read(text) for text in texts]
    good = [value for value, _ in each if value is not None]
    assert dict(found.problems) == {row: why for row, (value, why) in enumerate(each) if value is None}
    for column, field in zip(found.columns, answer.schema(), strict=True):
        assert column.type == field.type
        assert column.to_pylist() == pa.array([value[field.name] for value in good], field.type).to_pylist()
