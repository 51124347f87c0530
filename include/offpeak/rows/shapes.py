"""Shapes: the Arrow type that holds every value seen in a column of JSON.

Integers and floats together are `double`; other mixtures of kinds are text, each value as JSON would write
it (a string as it is), so that a value reads the same whatever stands in other rows. A column of objects is
a struct of all their fields, one of empty or very varied objects is text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

MOST_FIELDS = 1000
"""Objects with more field names than this are maps by another name: kept as JSON text."""

SCALARS = frozenset({type(None), bool, int, float, str})


class Shape:
    """What was seen of one column, list item or field. Grows; never looks back."""

    __slots__ = ("fields", "item", "kinds")

    def __init__(self) -> None:
        self.kinds: set[type] = set()
        self.item: Shape | None = None
        self.fields: dict[str, Shape] = {}

    def see(self, value: object) -> None:
        self.kinds.add(type(value))
        if isinstance(value, list):
            self.item = self.item or Shape()
            for element in value:
                self.item.see(element)
        elif isinstance(value, dict) and len(self.fields) <= MOST_FIELDS:
            for name, element in value.items():
                self.fields.setdefault(name, Shape()).see(element)

    def arrow(self) -> pa.DataType:
        """The type; text when nothing but nulls was seen."""
        import pyarrow as pa

        kinds = self.kinds - {type(None)}
        if kinds == {list}:
            return pa.list_(self.item.arrow() if self.item else pa.string())
        if kinds == {dict} and 0 < len(self.fields) <= MOST_FIELDS:
            return pa.struct([pa.field(name, shape.arrow()) for name, shape in self.fields.items()])
        if kinds == {int, float}:
            return pa.float64()
        plain = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
        return plain.get(next(iter(kinds)), pa.string()) if len(kinds) == 1 else pa.string()

    @property
    def as_it_is(self) -> bool:
        """Whether Arrow takes the values unchanged: nowhere in them is a mixture that becomes text."""
        kinds = self.kinds - {type(None)}
        if kinds == {list}:
            return self.item is None or self.item.as_it_is
        if kinds == {dict} and 0 < len(self.fields) <= MOST_FIELDS:
            return all(shape.as_it_is for shape in self.fields.values())
        return kinds == {int, float} or kinds <= {str} or (len(kinds) == 1 and kinds <= SCALARS)

    def fit(self, value: object) -> object:
        """`value` in the form that `arrow()` holds."""
        kinds = self.kinds - {type(None)}
        if value is None or self.as_it_is:
            return value
        if kinds == {list} and isinstance(value, list) and self.item is not None:
            return [self.item.fit(element) for element in value]
        if kinds == {dict} and isinstance(value, dict) and 0 < len(self.fields) <= MOST_FIELDS:
            return {name: shape.fit(value.get(name)) for name, shape in self.fields.items()}
        return value if isinstance(value, str) else orjson.dumps(value).decode()
