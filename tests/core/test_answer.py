"""Answers: every type as a column and a closed schema; whatever comes back is read or told, never raised."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, Optional, Union
from uuid import UUID

import pyarrow as pa
import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, create_model

from offpeak.answer import Answer, Vector
from offpeak.errors import SpecError
from offpeak.providers import names, provider
from offpeak.providers.provider import Ask


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Place(BaseModel):
    city: str
    zip: int | None = None


def column(annotation: Any, default: Any = ...) -> Any:
    """The one column of a model with this field."""
    (made,) = Answer.of(create_model("Made", value=(annotation, default))).columns
    return made


@pytest.mark.parametrize(
    ("annotation", "type_text", "nullable", "values"),
    [
        (str, "string", False, None),
        (int, "int64", False, None),
        (float, "double", False, None),
        (bool, "bool", False, None),
        (bytes, "binary", False, None),
        (Decimal, "decimal128(38, 9)", False, None),
        (dt.date, "date32[day]", False, None),
        (dt.datetime, "timestamp[us, tz=UTC]", False, None),
        (dt.time, "time64[us]", False, None),
        (UUID, "string", False, None),
        (Optional[int], "int64", True, None),  # noqa: UP045 - users write it
        (int | None, "int64", True, None),
        (Annotated[int | None, Field(ge=0)], "int64", True, None),
        (Literal["a", "b"], "string", False, ("a", "b")),
        (Literal[1, 2] | None, "int64", True, (1, 2)),
        (Colour, "string", False, ("red", "blue")),
        (Level, "int64", False, (1, 2)),
        (list[str], "list<string>", False, None),
        (set[int], "list<int64>", False, None),
        (list[Colour | None], "list<string>", False, None),
        (Place, "struct<city: string, zip: int64>", False, None),
        (list[Place] | None, "list<struct<city: string, zip: int64>>", True, None),
    ],
)
def test_each_type_has_its_column(annotation: Any, type_text: str, nullable: bool, values: Any) -> None:
    made = column(annotation)
    assert (made.type, made.nullable, made.values) == (type_text, nullable, values)


def test_text_and_vectors_are_one_column() -> None:
    assert [(c.name, c.type) for c in Answer.of(str).columns] == [("answer", "string")]
    vector = Answer.of(Vector(3))
    assert [(c.name, c.type) for c in vector.columns] == [("vector", "fixed_size_list<element: float>[3]")]
    assert vector.schema().field("vector").type == pa.list_(pa.float32(), 3)
    assert vector.form.dimensions == 3


@pytest.mark.parametrize("dimensions", [0, -1, 16_385])
def test_a_vector_of_no_possible_length_is_refused(dimensions: int) -> None:
    with pytest.raises(SpecError, match="between 1 and 16,384"):
        Vector(dimensions)


@pytest.mark.parametrize(
    ("annotation", "limits"),
    [
        (Annotated[int, Field(ge=0, le=10)], {"minimum": 0, "maximum": 10}),
        (Annotated[float, Field(gt=0, lt=1)], {"exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        (Annotated[str, Field(min_length=1, max_length=5)], {"minLength": 1, "maxLength": 5}),
        (Annotated[str, Field(pattern="^[a-z]+$")], {"pattern": "^[a-z]+$"}),
        (Annotated[int, Field(ge=3)] | None, {"minimum": 3}),
        (Decimal, {}),
    ],
)
def test_constraints_are_read_as_limits(annotation: Any, limits: dict[str, Any]) -> None:
    assert column(annotation).limits == limits


# -- what cannot be asked for


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Ping(BaseModel):
    pong: Pong | None = None


class Pong(BaseModel):
    ping: Ping | None = None


class Empty(BaseModel):
    pass


class Several(BaseModel):
    x: int = Field(validation_alias=AliasChoices("a", "b"))


class Unknown(BaseModel):
    x: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Whole(RootModel[list[int]]):
    pass


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (create_model("M", v=(dict[str, int], ...)), "'v' of the answer model M has the type dict"),
        (create_model("M", v=(Any, ...)), "has the type Any"),
        (create_model("M", v=(Union[int, str], ...)), "Union[int, str]"),  # noqa: UP007
        (create_model("M", v=(int | str | None, ...)), "has no table column"),
        (create_model("M", v=(list, ...)), "has the type list"),
        (create_model("M", v=(tuple[int, str], ...)), "has no table column"),
        (create_model("M", v=(Literal["a", 1], ...)), "not all of one simple type"),
        (create_model("M", v=(dt.timedelta, ...)), "has the type timedelta"),
        (create_model("M", v=(list[dict[str, Any]], ...)), "Use str, int"),
        (create_model("M", v=(Empty, ...)), "a model without fields"),
        (create_model("M", v=(Several, ...)), "several aliases"),
        (Several, "Give it one: Field(alias='...')"),
        (Tree, "Tree (it contains itself: write out as many levels as are needed)"),
        (Ping, "contains itself"),
        (create_model("M", v=(list[Tree], ...)), "contains itself"),
        (Empty, "has no fields"),
        (Unknown, "has no JSON schema: name 'Nowhere' is not defined. Correct it."),
        (Whole, "Give a BaseModel with one field"),
        (int, "Give a pydantic model class, str, or Vector(dimensions)"),
        (None, "is not an answer type"),
        (Place(city="x"), "is not an answer type"),
    ],
)
def test_what_has_no_column_is_refused_with_the_cure(answer: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        Answer.of(answer)
    assert says in str(caught.value)


# -- the schema


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


def objects(node: Any) -> list[dict[str, Any]]:
    """Every object schema within a schema; names below `properties` are not keywords."""
    if isinstance(node, list):
        return [found for item in node for found in objects(item)]
    if not isinstance(node, dict):
        return []
    inner = [
        value
        for key, child in node.items()
        if key != "enum"
        for value in (child.values() if key in ("properties", "$defs") else [child])
    ]
    return [
        *([node] if "properties" in node else []),
        *(found for child in inner for found in objects(child)),
    ]


def test_the_schema_is_closed_everywhere_and_fields_named_like_keywords_survive() -> None:
    schema = Answer.of(Keywords).form.schema
    assert schema is not None
    assert list(schema["properties"]) == list(Keywords.model_fields)
    assert schema["properties"]["title"] == {"description": "The title", "type": "string"}
    assert schema["properties"]["default"] == {"type": "integer"}
    found = objects(schema)
    assert len(found) >= 3
    for node in found:
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])
    text = json.dumps(schema)
    assert '"default": 3' not in text
    assert "(?!" not in text, "strict output refuses a pattern that looks around"


def test_a_reference_stands_alone_or_is_written_out() -> None:
    schema = Answer.of(Keywords).form.schema
    assert schema is not None
    assert schema["properties"]["enum"] == {"$ref": "#/$defs/Colour"}
    assert schema["properties"]["colour"] == {
        "description": "Which",
        "enum": ["red", "blue"],
        "type": "string",
    }
    place = schema["properties"]["place"]
    assert place["description"] == "Where"
    assert place["additionalProperties"] is False
    assert list(place["properties"]) == ["city", "zip"]


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("model", [Keywords, Place, create_model("M", v=(list[Place] | None, None))])
def test_every_provider_takes_the_schema(name: str, model: type[BaseModel]) -> None:
    ask = Ask(model="gpt-5-mini", form=Answer.of(model).form)
    assert provider(name).problems(ask) == []


def test_the_forms_name_is_one_that_providers_take() -> None:
    assert Answer.of(create_model("Größe[int]", v=(int, ...))).form.name == "Gr__e_int_"
    assert len(Answer.of(create_model("M" * 90, v=(int, ...))).form.name) == 64


# -- aliases


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    kind: Literal["a"] = Field(alias="Kind Of")
    size: int = Field(validation_alias="Size", ge=0)


def test_an_alias_is_asked_for_and_the_columns_keep_the_fields_names() -> None:
    answer = Answer.of(Aliased)
    assert answer.form.schema is not None
    assert list(answer.form.schema["properties"]) == ["Kind Of", "Size"]
    assert [(c.name, c.limits) for c in answer.columns] == [("kind", {}), ("size", {"minimum": 0})]
    assert answer.read('{"Kind Of": "a", "Size": 3}') == ({"kind": "a", "size": 3}, "")
