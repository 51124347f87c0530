"""Answers for the compiled reader: the nodes of a simple answer model.

They are made of the decoder's type in quick_answer.py, which alone decides what means the same to pydantic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, cast

import msgspec
from pydantic import BaseModel

from offpeak.compiled.nodes import WIDEST, Flag, Items, Node, Object, Real, Text, Whole
from offpeak.compiled.reading import Reader, reader
from offpeak.quick_answer import decoded_type


@cache
def answer_reader(model: type[BaseModel]) -> Reader | None:
    """A reader of the model's answers, their columns those of `Answer.schema`; None where there is none for it.

    What it takes is valid for the model, with the values that pydantic reads.
    """
    kind = decoded_type(model)
    if kind is None:
        return None
    root = _node(msgspec.inspect.type_info(kind), "")
    return reader(cast(Object, root)) if root is not None else None


def _node(kind: Any, name: str) -> Node | None:
    """The node of what a decoder's type says; None for what the reader does not know."""
    made = _READERS.get(type(kind))
    return made(kind, name) if made else None


def _text(kind: Any, name: str) -> Node:
    return Text(name=name, low=kind.min_length or 0, high=_or(kind.max_length, WIDEST))


def _whole(kind: Any, name: str) -> Node:
    return Whole(name=name, low=_or(kind.ge, -WIDEST), high=_or(kind.le, WIDEST))


def _real(kind: Any, name: str) -> Node:
    low = kind.ge if kind.gt is None else math.nextafter(kind.gt, math.inf)
    high = kind.le if kind.lt is None else math.nextafter(kind.lt, -math.inf)
    return Real(name=name, low=_or(low, -math.inf), high=_or(high, math.inf))


def _literal(kind: Any, name: str) -> Node:
    values = tuple(kind.values)
    return Text(name=name, among=values) if isinstance(values[0], str) else Whole(name=name, among=values)


def _list(kind: Any, name: str) -> Node | None:
    of = _node(kind.item_type, "item")
    return of and Items(name=name, of=of, low=kind.min_length or 0, high=_or(kind.max_length, WIDEST))


def _nullable(kind: Any, name: str) -> Node | None:
    members = [one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)]
    node = _node(members[0], name) if len(members) == 1 else None
    # a struct that is null would have to be told from one whose fields are
    return None if node is None or isinstance(node, Object) else replace(node, nullable=True)


def _object(kind: Any, name: str) -> Node | None:
    fields: Mapping[str, Node | None] = {one.encode_name: _node(one.type, one.name) for one in kind.fields}
    known = {its_name: node for its_name, node in fields.items() if node is not None}
    return Object(name=name, fields=known, closed=True) if len(known) == len(fields) else None


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


_READERS: Mapping[type, Callable[[Any, str], Node | None]] = {
    msgspec.inspect.StrType: _text,
    msgspec.inspect.IntType: _whole,
    msgspec.inspect.FloatType: _real,
    msgspec.inspect.BoolType: lambda _, name: Flag(name=name),
    msgspec.inspect.LiteralType: _literal,
    msgspec.inspect.ListType: _list,
    msgspec.inspect.UnionType: _nullable,
    msgspec.inspect.StructType: _object,
}
