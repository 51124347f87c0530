"""Reading many lines of JSON at once into Arrow columns, with the compiled reader."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offpeak.arrays import flags, numbers, with_nulls
from offpeak.blocks import Block
from offpeak.compiled import nodes
from offpeak.compiled.library import ColumnOfC, NodeOfC, library

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SPARE = 3
"""Values that a line may leave beyond the last one before it is taken back, and one end more than values."""
MOST_BYTES = 2**30
"""Of lines at once: ends of texts are 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read."""

    taken: np.ndarray
    """A bool for each line: whether it is in the columns."""
    columns: Mapping[str, pa.Array]
    """By the nodes' names; vectors as FixedSizeList, flags as bool."""


class Reader:
    """Reads lines that are each an object of one kind. Only where `library()` is; see `reader`."""

    def __init__(self, root: nodes.Object) -> None:
        self._root = root
        self._plan = nodes.plan(root)
        made = [NodeOfC(*_words(line)) for line in self._plan.nodes]
        self._nodes = (NodeOfC * len(made))(*made)

    def read(self, lines: Block) -> Found:
        """The lines that are exactly such an object, as columns, and which those are.

        OverflowError for more than MOST_BYTES."""
        import numpy as np

        count = len(lines.ends)
        size = int((lines.ends - lines.starts).sum())
        if size > MOST_BYTES:
            raise OverflowError(f"{size:,} bytes of lines at once; {MOST_BYTES:,} are the most")
        held = [
            _Held(node, count + _SPARE if not many else size // 2 + count + _SPARE, size)
            for node, many in zip(self._plan.columns, self._plan.within_list, strict=True)
        ]
        columns = (ColumnOfC * len(held))(*(one.given() for one in held))
        taken = np.zeros(count, np.uint8)
        compiled = library()
        assert compiled is not None, "a Reader is only made where it is"
        data = np.frombuffer(lines.data, np.uint8)
        starts, ends = (np.ascontiguousarray(one, np.int64) for one in (lines.starts, lines.ends))
        good = compiled.offpeak_read(
            *(data.ctypes.data, starts.ctypes.data, ends.ctypes.data, count),
            *(self._nodes, self._plan.names, columns, len(held), taken.ctypes.data),
        )
        assert good == np.count_nonzero(taken), f"{good} lines read, {np.count_nonzero(taken)} noted"
        for one, column in zip(held, columns, strict=True):
            one.fill(column.count, column.used)
        rest = iter(held)
        return Found(taken=taken.view(bool), columns=dict(_arrays(self._root, rest)))


def reader(root: nodes.Object) -> Reader | None:
    """A reader of such objects; None where there is no compiled one, or where they are too wide for it."""
    if library() is None:
        return None
    try:
        return Reader(root)
    except nodes.TooWide:
        return None


def _words(line: nodes.Line) -> tuple[Any, ...]:
    return (
        *(line.kind, line.flags, line.child, line.children, line.name, line.name_bytes, line.column, 0),
        *(line.low, line.high, line.real_low, line.real_high),
    )


class _Held:
    """The room that a column has, and after the reading what is in it."""

    def __init__(self, node: nodes.Node, rows: int, size: int) -> None:
        self.node = node
        self.count = self.used = 0
        self.values = _fresh(*_room(node, rows, size))
        self.ends = self.valid = None
        if isinstance(node, nodes.Text | nodes.Items):
            self.ends = _fresh(rows + 1, "<i4")
            self.ends[0] = 0
        if node.nullable and not node.filled:
            self.valid = _fresh(rows, "u1")

    def given(self) -> ColumnOfC:
        places = (None if one is None else one.ctypes.data for one in (self.values, self.ends, self.valid))
        return ColumnOfC(*places, 0, 0)

    def fill(self, count: int, used: int) -> None:
        """So many values were read, of so many bytes if they are texts: the rest of the room is given back."""
        self.count, self.used = count, used
        filled = {nodes.Text: used, nodes.Vector: count * getattr(self.node, "dimensions", 0), nodes.Items: 0}
        self.values = _cut(self.values, filled.get(type(self.node), count))
        self.ends = None if self.ends is None else _cut(self.ends, count + 1)
        self.valid = None if self.valid is None else _cut(self.valid, count)

    def array(self, items: pa.Array | None = None) -> pa.Array:
        """The column; of a list with its items."""
        import pyarrow as pa

        node, values = self.node, self.values
        valid = None if self.valid is None else self.valid.view(bool)
        if isinstance(node, nodes.Vector):
            return pa.FixedSizeListArray.from_arrays(numbers(values), node.dimensions)
        if self.ends is None:
            made = flags(values.view(bool)) if isinstance(node, nodes.Flag) else numbers(values)
            return with_nulls(made, valid)
        bits = None if valid is None else flags(valid).buffers()[1]
        ends = pa.py_buffer(self.ends)
        if items is None:
            return pa.Array.from_buffers(pa.string(), self.count, [bits, ends, pa.py_buffer(values)])
        kind = pa.list_(items.type)
        return pa.Array.from_buffers(kind, self.count, [bits, ends], children=[items])


def _cut(room: np.ndarray, filled: int) -> np.ndarray:
    """What is filled; a copy where most of the room is not, so that it is not held for as long as the values are."""
    values = room[:filled]
    return values.copy() if 2 * filled < len(room) else values


def _fresh(count: int, kind: str) -> np.ndarray:
    """Room for so many values, from Arrow's allocator: it gives back much that was hardly used, numpy's keeps it."""
    import numpy as np
    import pyarrow as pa

    return np.frombuffer(pa.allocate_buffer(max(1, count) * np.dtype(kind).itemsize), kind)


def _room(node: nodes.Node, rows: int, size: int) -> tuple[int, str]:
    """How many values of which numpy type the column may need."""
    if isinstance(node, nodes.Text):
        return size, "u1"
    if isinstance(node, nodes.Vector):
        return rows * node.dimensions, "<f4"
    if isinstance(node, nodes.Items):
        return 0, "u1"
    return rows, "u1" if isinstance(node, nodes.Flag) else "<f8" if isinstance(node, nodes.Real) else "<i8"


def _arrays(node: nodes.Node, rest: Iterator[_Held]) -> Iterator[tuple[str, pa.Array]]:
    """The columns at and below the node, in the order in which its plan numbers them."""
    import pyarrow as pa

    if isinstance(node, nodes.Object):
        inner = {name: one for field in node.fields.values() for name, one in _arrays(field, rest)}
        if not node.name:
            yield from inner.items()
            return
        fields = [pa.field(name, one.type) for name, one in inner.items()]
        yield node.name, pa.StructArray.from_arrays(list(inner.values()), fields=fields)
    elif isinstance(node, nodes.Pick):
        yield from _arrays(node.of, rest)
    elif node.name and not isinstance(node, nodes.Constant):
        held = next(rest)
        if isinstance(node, nodes.Items):
            ((_, items),) = _arrays(node.of, rest)
            yield node.name, held.array(items)
        else:
            yield node.name, held.array()


assert (ctypes.sizeof(NodeOfC), ctypes.sizeof(ColumnOfC)) == (64, 40), "as reader.c lays them out"
