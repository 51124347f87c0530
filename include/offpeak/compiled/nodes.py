"""What is read of a line of JSON: a tree of nodes, and the columns that come of it.

An object is read whole or not at all. What a node does not allow exactly (another type, a field that is there twice,
a number that needs care) makes the line one for the slow readers, never a wrong value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

WIDEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value. With `name` it is a column of that name, without it is only looked at."""

    name: str = ""
    nullable: bool = False
    """Null is allowed: a null in the column, or the default where the column is one of `filled`."""
    required: bool = True
    """A field that must be there; one that need not be is 0, an empty text, or null."""
    filled: bool = False
    """The column has no nulls: what is null or not there is 0 or an empty text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Node):
    """A string; `low` and `high` limit its length in characters, `among` its values."""

    low: int = 0
    high: int = WIDEST
    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Node):
    """One of these strings, written without escapes; no column. Without any, and nullable, it is null."""

    among: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole(Node):
    """An integer that is written as one, within its bounds (included) and among its values if there are any."""

    low: int = -WIDEST
    high: int = WIDEST
    among: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Real(Node):
    """A number within its bounds (included), as the nearest double."""

    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag(Node):
    """true or false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector(Node):
    """So many float32, finite: base64 of their little-endian bytes, or a list of numbers."""

    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Items(Node):
    """A list of `low` to `high` values."""

    of: Node
    low: int = 0
    high: int = WIDEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick(Node):
    """A list of which one element is read; no column of its own.

    `first`: the first one, whatever follows. `only`: there is no other. `kind`: exactly one in which each Constant
    is as it should be; what the others hold beside those fields does not matter.
    """

    of: Object
    which: Literal["first", "only", "kind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Node):
    """An object. A `closed` one has no other fields. With a `name` it is a struct column, else its fields are."""

    fields: Mapping[str, Node]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A node as the reader has it; see the same names in reader.c."""

    kind: int
    flags: int
    child: int
    children: int
    name: int
    name_bytes: int
    column: int
    low: int
    high: int
    real_low: float
    real_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A tree laid out for the reader, and its columns in the order of their numbers."""

    nodes: Sequence[Line]
    names: bytes
    columns: Sequence[Node]
    within_list: Sequence[bool]
    """For each column: whether a line may have many of its values."""


_KINDS: tuple[type[Node] | None, ...] = (Object, Text, Whole, Real, Flag, Constant, Items, Pick, Vector, None)
_VALUE = len(_KINDS) - 1
_NULLABLE, _REQUIRED, _CLOSED, _FIRST, _ONLY = 1, 2, 4, 8, 16
MOST_COLUMNS = MOST_FIELDS = 64
"""As in reader.c."""


class TooWide(ValueError):
    """More columns, or more fields of one object, than the reader keeps count of."""


def plan(root: Object) -> Plan:
    """The tree as the reader takes it. TooWide when it has more than the reader keeps count of, ValueError for a node
    without the name that it needs."""
    layout = _Layout()
    layout.lines.append(None)
    layout.lines[0] = layout.placed(root, "", many=False)
    if len(layout.columns) > MOST_COLUMNS:
        raise TooWide(f"{len(layout.columns)} columns; {MOST_COLUMNS} are the most")
    return Plan(
        nodes=[line for line in layout.lines if line is not None],
        names=bytes(layout.names),
        columns=layout.columns,
        within_list=layout.many,
    )


@dataclass(slots=True)
class _Layout:
    lines: list[Line | None] = field(default_factory=list)
    names: bytearray = field(default_factory=bytearray)
    columns: list[Node] = field(default_factory=list)
    many: list[bool] = field(default_factory=list)

    def placed(self, node: Node, name: str, *, many: bool) -> Line:
        """The node's line; its children's have been added, next to each other."""
        column = self._column(node, many=many)
        children = _children(node)
        if len(children) > MOST_FIELDS:
            raise TooWide(f"{len(children)} fields of one object; {MOST_FIELDS} are the most")
        child = len(self.lines)
        self.lines += [None] * len(children)
        inner = many or isinstance(node, Items)
        for place, (its_name, one) in enumerate(children):
            made = self._value(one) if isinstance(one, str | int) else self.placed(one, its_name, many=inner)
            self.lines[child + place] = made
        low, high = _bounds(node)
        real = (node.low, node.high) if isinstance(node, Real) else (0.0, 0.0)
        start, size = self._named(name)
        return Line(
            kind=_KINDS.index(type(node)),
            flags=_flags(node),
            child=child,
            children=len(children),
            name=start,
            name_bytes=size,
            column=column,
            low=low,
            high=high,
            real_low=real[0],
            real_high=real[1],
        )

    def _column(self, node: Node, *, many: bool) -> int:
        if isinstance(node, Object | Pick | Constant):
            return -1
        if not node.name:
            if isinstance(node, Whole) or node == Text(nullable=node.nullable, required=node.required):
                return -1
            raise ValueError(
                f"{node} has no name: only what is looked at, a Whole or a Text without limits, needs none"
            )
        self.columns.append(node)
        self.many.append(many)
        return len(self.columns) - 1

    def _named(self, name: str) -> tuple[int, int]:
        start, raw = len(self.names), name.encode()
        self.names += raw
        return start, len(raw)

    def _value(self, value: str | int) -> Line:
        start, size = self._named(value) if isinstance(value, str) else (0, 0)
        number = value if isinstance(value, int) else 0
        return Line(_VALUE, 0, 0, 0, start, size, -1, number, 0, 0.0, 0.0)


def _children(node: Node) -> list[tuple[str, Node | str | int]]:
    if isinstance(node, Object):
        return list(node.fields.items())
    if isinstance(node, Items):
        return [("", node.of)]
    if isinstance(node, Pick):
        return [("", node.of), ("", _of_another_kind(node.of))]
    if isinstance(node, Text | Constant | Whole):
        return [("", one) for one in node.among]
    return []


def _of_another_kind(wanted: Object) -> Object:
    """What an element is that is not wanted: anything, with no more than one of each field that would tell."""
    telling = {name: Text(required=False) for name, one in wanted.fields.items() if isinstance(one, Constant)}
    return replace(wanted, fields=telling, closed=False)


def _bounds(node: Node) -> tuple[int, int]:
    if isinstance(node, Vector):
        return node.dimensions, 0
    return (node.low, node.high) if isinstance(node, Text | Whole | Items) else (0, 0)


def _flags(node: Node) -> int:
    which = node.which if isinstance(node, Pick) else ""
    return (
        _NULLABLE * node.nullable
        | _REQUIRED * node.required
        | _CLOSED * (isinstance(node, Object) and node.closed)
        | _FIRST * (which == "first")
        | _ONLY * (which == "only")
    )
