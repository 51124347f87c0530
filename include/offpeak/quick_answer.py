"""Quick answers: the valid JSON texts of simple answer models, read by a decoder that was made for the model once.

Pydantic stays the judge. A decoder is made only of what means exactly the same to both; it takes fewer texts than
pydantic does, and those with the same values. A text that it refuses is pydantic's to read or to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel

from offpeak.decoding import decoded_each

_REFUSED = (msgspec.MsgspecError, UnicodeError, RecursionError)
_BOUNDS = ("ge", "gt", "le", "lt")
_LENGTHS = ("min_length", "max_length")
_NO_MEANING = {"metadata", "ref"}
"""Keys of a core schema that change nothing about what is valid."""


class _NotTaken(Exception):
    """A part of the model's schema may mean something that the decoder does not know."""


def read_quickly(model: type[BaseModel], texts: Sequence[str]) -> list[Any]:
    """Each JSON text as an object with the model's fields as attributes; None for one that is left to pydantic.

    Every other text is valid for the model, with equal values of the same types; nested models are objects like it.
    """
    decode = _decoder(model)
    if decode is None:
        return [None] * len(texts)
    return decoded_each(decode, texts, _REFUSED)


@cache
def decoded_type(model: type[BaseModel]) -> Any:
    """The type whose JSON texts are valid for the model with the same values; None for a model that has none."""
    with suppress(_NotTaken):
        return _type_of(model.__pydantic_core_schema__)
    return None


@cache
def _decoder(model: type[BaseModel]) -> Callable[[str], Any] | None:
    kind = decoded_type(model)
    return None if kind is None else msgspec.json.Decoder(kind).decode


def _type_of(schema: Mapping[str, Any]) -> Any:
    """The type that msgspec reads as pydantic reads this core schema. _NotTaken for anything unheard of."""
    reader = _READERS.get(schema["type"])
    if reader is None:
        raise _NotTaken
    return reader(schema)


def _known(schema: Mapping[str, Any], *keys: str) -> None:
    """_NotTaken for a schema with a key beside these that may mean something."""
    if not schema.keys() <= {"type", *_NO_MEANING, *keys}:
        raise _NotTaken


def _model(schema: Mapping[str, Any]) -> Any:
    _known(schema, "cls", "schema", "config", "custom_init", "root_model")
    fields = schema["schema"]
    if schema.get("custom_init") or schema.get("root_model") or set(schema.get("config", ())) - {"title"}:
        raise _NotTaken
    if fields["type"] != "model-fields" or fields.get("computed_fields"):
        raise _NotTaken
    _known(fields, "fields", "model_name", "computed_fields")
    # every field is required and no other allowed: pydantic knows what a default or a stranger means
    return msgspec.defstruct(
        "Answer",
        [(name, _field(field)) for name, field in fields["fields"].items()],
        forbid_unknown_fields=True,
        gc=False,
    )


def _field(schema: Mapping[str, Any]) -> Any:
    if schema["type"] != "model-field":
        raise _NotTaken
    _known(schema, "schema")
    return _type_of(schema["schema"])


def _text(schema: Mapping[str, Any]) -> Any:
    return _of_length(str, schema)


def _of_length(kind: Any, schema: Mapping[str, Any], *keys: str) -> Any:
    _known(schema, *_LENGTHS, *keys)
    bounds = {name: schema[name] for name in _LENGTHS if name in schema}
    if not all(type(bound) is int and 0 <= bound < 2**62 for bound in bounds.values()):
        raise _NotTaken
    return Annotated[kind, msgspec.Meta(**bounds)] if bounds else kind


def _flag(schema: Mapping[str, Any]) -> Any:
    _known(schema)
    return bool


def _whole(schema: Mapping[str, Any]) -> Any:
    _known(schema, *_BOUNDS)
    bounds = {name: schema[name] for name in _BOUNDS if name in schema}
    if not all(type(bound) is int and abs(bound) < 2**62 for bound in bounds.values()):
        raise _NotTaken
    given = {"ge": -(2**63), "le": 2**63 - 1} | bounds
    if "gt" in given:
        given["ge"] = max(given["ge"], given.pop("gt") + 1)
    if "lt" in given:
        given["le"] = min(given["le"], given.pop("lt") - 1)
    return Annotated[int, msgspec.Meta(**given)]


def _real(schema: Mapping[str, Any]) -> Any:
    _known(schema, *_BOUNDS)
    bounds = {name: schema[name] for name in _BOUNDS if name in schema}
    if not all(type(bound) in (int, float) and abs(bound) < 2**53 for bound in bounds.values()):
        raise _NotTaken
    if {"ge", "gt"} <= bounds.keys() or {"le", "lt"} <= bounds.keys():
        raise _NotTaken
    return Annotated[float, msgspec.Meta(**bounds)] if bounds else float


def _literal(schema: Mapping[str, Any]) -> Any:
    _known(schema, "expected")
    values = schema["expected"]
    if not values or {type(value) for value in values} not in ({str}, {int}):
        raise _NotTaken
    if any(type(value) is int and abs(value) >= 2**62 for value in values):
        raise _NotTaken
    return Literal[tuple(values)]


def _nullable(schema: Mapping[str, Any]) -> Any:
    _known(schema, "schema")
    return _type_of(schema["schema"]) | None


def _list(schema: Mapping[str, Any]) -> Any:
    kind = list[_type_of(schema["items_schema"])]  # type: ignore[misc, valid-type]
    return _of_length(kind, schema, "items_schema")


def _default(schema: Mapping[str, Any]) -> Any:
    _known(schema, "schema", "default", "default_factory", "default_factory_takes_data")
    return _type_of(schema["schema"])


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "model": _model,
    "str": _text,
    "bool": _flag,
    "int": _whole,
    "float": _real,
    "literal": _literal,
    "nullable": _nullable,
    "list": _list,
    "default": _default,
}
