"""The answer: what a workload asks for, as a provider's form, as a validator, and as table columns."""

from __future__ import annotations

import datetime as dt
import re
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from offpeak.answer_columns import column_of, plain_value
from offpeak.arrays import listed, numbers, positions
from offpeak.arrays import texts as texts_column
from offpeak.errors import SpecError
from offpeak.prompt import encodable
from offpeak.providers.provider import AnswerForm
from offpeak.strict_schema import closed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pydantic.fields import FieldInfo

TEXT_COLUMN = "answer"
VECTOR_COLUMN = "vector"

_SCALARS: dict[type, str] = {
    str: "string",
    int: "int64",
    float: "double",
    bool: "bool",
    bytes: "binary",
    Decimal: "decimal128(38, 9)",
    dt.date: "date32[day]",
    dt.datetime: "timestamp[us, tz=UTC]",
    dt.time: "time64[us]",
    UUID: "string",
}


@dataclass(frozen=True, slots=True)
class Vector:
    """An embedding of this many float32 dimensions."""

    dimensions: int

    def __post_init__(self) -> None:
        if not 1 <= self.dimensions <= 16_384:
            raise SpecError(f"Vector({self.dimensions}): dimensions must lie between 1 and 16,384.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the answer, and what the answer's type promises of it."""

    name: str
    type: str
    """The Arrow type, as text."""
    nullable: bool = False
    values: tuple[Any, ...] | None = None
    """The closed set of values, from a Literal or an Enum."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Constraints as JSON schema names them: minimum, exclusiveMaximum, maxLength, pattern ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Many answers, read: one array for each column of the answer, of those that keep to the schema, in order."""

    columns: Sequence[pa.Array]
    problems: Mapping[int, str] = field(default_factory=dict)
    """By place among the texts: why this one breaks the schema; it is in no column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer type of a workload, read once at parse time."""

    form: AnswerForm
    columns: tuple[Column, ...]
    model: type[BaseModel] | None = None

    @classmethod
    def of(cls, answer: type[BaseModel] | type[str] | Vector) -> Answer:
        """Read what a workload gave as `answer=`. SpecError names the field that cannot become a column."""
        if answer is str:
            return cls(form=AnswerForm(kind="text"), columns=(Column(name=TEXT_COLUMN, type="string"),))
        if isinstance(answer, Vector):
            form = AnswerForm(kind="vector", dimensions=answer.dimensions)
            arrow = f"fixed_size_list<element: float>[{answer.dimensions}]"
            return cls(form=form, columns=(Column(name=VECTOR_COLUMN, type=arrow),))
        if isinstance(answer, type) and issubclass(answer, BaseModel):
            return cls._of_model(answer)
        raise SpecError(
            f"answer={answer!r} is not an answer type. Give a pydantic model class, str, or Vector(dimensions)."
        )

    @classmethod
    def _of_model(cls, model: type[BaseModel]) -> Answer:
        if model.__pydantic_root_model__:
            raise SpecError(
                f"The answer model {model.__name__} is a RootModel, which strict output cannot ask for. "
                "Give a BaseModel with one field of that type."
            )
        if not model.model_fields:
            raise SpecError(f"The answer model {model.__name__} has no fields; there is nothing to ask for.")
        try:
            model.model_rebuild()  # a type that is written in quotes may be defined by now
            for field_name, info in model.model_fields.items():
                _check_field(model, field_name, info)
            raw = model.model_json_schema(mode="validation")
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            cause = error.message.rstrip(".")
            raise SpecError(
                f"The answer model {model.__name__} has no JSON schema: {cause}. Correct it."
            ) from None
        columns = tuple(_column(name, info, raw) for name, info in model.model_fields.items())
        name = re.sub(r"[^A-Za-z0-9_-]", "_", model.__name__)[:64]
        return cls(
            form=AnswerForm(kind="object", name=name, schema=closed(raw)), columns=columns, model=model
        )

    def read(self, text: str) -> tuple[dict[str, Any] | None, str]:
        """The answer's column values and "", or None and why the text breaks the answer schema.

        Never raises: an answer was paid for, and one bad one must not stop the others.
        """
        if not encodable(text):
            return None, "the answer holds half a character pair (a lone surrogate)"
        if self.model is None:
            return {TEXT_COLUMN: text}, ""
        try:
            value = self.model.model_validate_json(text)
            answer = {name: plain_value(getattr(value, name)) for name in self.model.model_fields}
        except ValidationError as error:
            return None, _sentence(error)
        except Exception as error:  # noqa: BLE001 - a border: a user's own validator may raise anything
            return None, f"{type(error).__name__}: {error}"
        return (None, misfit) if (misfit := _misfit(self.model, answer)) else (answer, "")

    def read_all(self, texts: Sequence[str]) -> Answers:
        """Many answers at once, as `read` reads each. Never raises on content."""
        with suppress(Exception):  # a border: a user's validator, or a value that does not fit its column
            return self._read_quickly(texts)
        found = [self.read(text) for text in texts]
        values = [answer for answer, _ in found if answer is not None]
        return Answers(
            columns=[column_of([each[one.name] for each in values], one.type) for one in self.schema()],
            problems={row: reason for row, (answer, reason) in enumerate(found) if answer is None},
        )

    def read_column(self, texts: pa.Array) -> Answers:
        """The same of a string column without nulls; what the compiled reader takes of it never becomes objects."""
        if self.model is None:
            return Answers(columns=[texts])
        from offpeak.answer_nodes import answer_reader
        from offpeak.blocks import Block
        from offpeak.compiled.reading import MOST_BYTES

        reader = answer_reader(self.model)
        if reader is None or texts.nbytes > MOST_BYTES:
            return self.read_all(listed(texts))
        found = reader.read(Block.of_column(texts))
        columns = list(found.columns.values())
        if found.taken.all():
            return Answers(columns=columns)
        left = (~found.taken).nonzero()[0].tolist()
        rest = self.read_all(listed(texts.take(positions(left))))
        good = [place for at, place in enumerate(left) if at not in rest.problems]
        return Answers(
            columns=_interleaved(columns, found.taken.nonzero()[0], rest.columns, good),
            problems={left[at]: why for at, why in rest.problems.items()},
        )

    def _read_quickly(self, texts: Sequence[str]) -> Answers:
        if self.model is None:
            return Answers(columns=[texts_column(texts)])
        from offpeak.quick_answer import read_quickly

        validate = self.model.__pydantic_validator__.validate_json
        values, problems = read_quickly(self.model, texts), {}
        for row in [row for row, value in enumerate(values) if value is None]:
            try:
                values[row] = validate(texts[row])
            except ValidationError:
                problems[row] = self.read(texts[row])[1]
        values = [value for value in values if value is not None]
        columns = []
        for one, (name, info) in zip(self.schema(), self.model.model_fields.items(), strict=True):
            given = list(map(attrgetter(name), values))
            if not _is_plain(info.annotation):
                given = list(map(plain_value, given))
            columns.append(column_of(given, one.type))
        return Answers(columns=columns, problems=problems)

    def schema(self) -> pa.Schema:
        """The answer's columns as Arrow fields; all nullable, for a row that has no answer."""
        import pyarrow as pa

        if self.model is None:
            (column,) = self.columns
            vector = self.form.dimensions
            made = pa.list_(pa.float32(), vector) if vector else pa.string()
            return pa.schema([pa.field(column.name, made)])
        return pa.schema(_fields(self.model))


def _interleaved(
    ones: Sequence[pa.Array], places: np.ndarray, others: Sequence[pa.Array], their_places: Sequence[int]
) -> Sequence[pa.Array]:
    """Two parts of some columns in the order of their places."""
    import numpy as np
    import pyarrow as pa

    if not their_places:
        return ones
    order = numbers(np.argsort(np.concatenate([places, np.array(their_places, np.int64)])))
    return [pa.concat_arrays([one, other]).take(order) for one, other in zip(ones, others, strict=True)]


def _check_field(model: type[BaseModel], name: str, info: FieldInfo) -> None:
    """SpecError, with the cure, for a field that can be no column or is not read back by one name."""
    place = f"The field {name!r} of the answer model {model.__name__}"
    try:
        _type_text(info.annotation)
    except TypeError as error:
        raise SpecError(
            f"{place} has the type {error}, which has no table column. Use str, int, float, bool, Decimal, "
            "date, datetime, Literal, Enum, a list of these, or a nested model."
        ) from None
    if not isinstance(info.validation_alias, str | None):
        raise SpecError(f"{place} has several aliases or a path of them. Give it one: Field(alias='...').")


def _column(name: str, info: FieldInfo, raw: Mapping[str, Any]) -> Column:
    inner, nullable = _unwrap(info.annotation)
    node = raw.get("properties", {}).get(info.validation_alias or name, {})
    limits = {
        key: value for part in (node, *node.get("anyOf", ())) for key, value in part.items() if key in _LIMITS
    }
    return Column(
        name=name, type=_type_text(info.annotation), nullable=nullable, values=_values(inner), limits=limits
    )


_LIMITS = {
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
}


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """The annotation without Annotated and without None, and whether None was allowed."""
    if get_origin(annotation) is Annotated:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [part for part in get_args(annotation) if part is not type(None)]
        if len(members) == 1:
            return _unwrap(members[0])[0], len(members) < len(get_args(annotation))
    return annotation, False


def _values(annotation: Any) -> tuple[Any, ...] | None:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(member.value for member in annotation)
    return None


def _type_text(annotation: Any, within: tuple[Any, ...] = ()) -> str:
    """The Arrow type as text, without importing Arrow. TypeError names a type that has none."""
    inner, _ = _unwrap(annotation)
    values = _values(inner)
    if values is not None:
        kinds = {type(value) for value in values}
        if len(kinds) != 1 or not kinds <= set(_SCALARS):
            raise TypeError(f"{inner} (its values are not all of one simple type)")
        return _SCALARS[kinds.pop()]
    if get_origin(inner) in (list, set, frozenset):
        return f"list<{_type_text(get_args(inner)[0], within)}>"
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return _struct_text(inner, within)
    for base in (inner, *getattr(inner, "__mro__", ())):
        if base in _SCALARS:
            return _SCALARS[base]
    raise TypeError(str(inner) if get_origin(inner) else getattr(inner, "__name__", str(inner)))


def _struct_text(model: type[BaseModel], within: tuple[Any, ...]) -> str:
    if model in within:
        raise TypeError(f"{model.__name__} (it contains itself: write out as many levels as are needed)")
    if not model.model_fields:
        raise TypeError(f"{model.__name__} (a model without fields)")
    parts = []
    for name, info in model.model_fields.items():
        if not isinstance(info.validation_alias, str | None):
            raise TypeError(f"{model.__name__} (its field {name} has several aliases; give it one)")
        parts.append(f"{name}: {_type_text(info.annotation, (*within, model))}")
    return f"struct<{', '.join(parts)}>"


@cache
def _fields(model: type[BaseModel]) -> tuple[pa.Field, ...]:
    """The model's columns, made once: every answer is held against them."""
    import pyarrow as pa

    return tuple(pa.field(name, _arrow(info.annotation)) for name, info in model.model_fields.items())


def _arrow(annotation: Any) -> pa.DataType:
    import pyarrow as pa

    inner, _ = _unwrap(annotation)
    if get_origin(inner) in (list, set, frozenset):
        return pa.list_(_arrow(get_args(inner)[0]))
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return pa.struct([pa.field(name, _arrow(i.annotation)) for name, i in inner.model_fields.items()])
    return {
        "string": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "binary": pa.binary(),
        "decimal128(38, 9)": pa.decimal128(38, 9),
        "date32[day]": pa.date32(),
        "timestamp[us, tz=UTC]": pa.timestamp("us", tz="UTC"),
        "time64[us]": pa.time64("us"),
    }[_type_text(inner)]


_AS_THEY_ARE = (str, int, float, bool, bytes)


def _is_plain(annotation: Any) -> bool:
    """Whether Arrow takes the field's values as they are (see plain_value)."""
    inner, _ = _unwrap(annotation)
    if get_origin(inner) is list:
        return _is_plain(get_args(inner)[0])
    if get_origin(inner) is Literal:
        return all(type(value) in _AS_THEY_ARE for value in get_args(inner))
    return inner in _AS_THEY_ARE


_ALWAYS_FIT = (type(None), bool, float)


def _misfit(model: type[BaseModel], answer: Mapping[str, Any]) -> str:
    """Why a valid value does not fit its column (an integer above 64 bits, a Decimal of 40 digits), or ""."""
    import pyarrow as pa

    for column in _fields(model):
        value = answer[column.name]
        if type(value) in _ALWAYS_FIT or (type(value) is str and value.isascii()):
            continue
        try:
            column_of([value], column.type)
        except (pa.ArrowException, ValueError, TypeError, ArithmeticError) as error:
            return f"{column.name}: the value does not fit the column's type {column.type} ({error})"
    return ""


def _sentence(error: ValidationError) -> str:
    """The first few violations, in words that can be shown to the model."""
    parts = []
    for item in error.errors(include_url=False, include_context=False)[:3]:
        place = ".".join(str(step) for step in item["loc"]) or "the answer"
        given = "" if item["type"] == "json_invalid" else f" (given: {_shown(item.get('input'))})"
        parts.append(f"{place}: {item['msg']}{given}")
    more = error.error_count() - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _shown(value: Any) -> str:
    try:
        return repr(str(value)[:80])
    except ValueError:  # an integer of more digits than Python writes out
        return f"a {type(value).__name__} too long to show"
