"""What the compiled readers of providers' lines have in common: nodes for the usage, and columns as Plains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from offpeak.arrays import integers
from offpeak.blocks import Block
from offpeak.compiled.nodes import Object, Whole
from offpeak.compiled.reading import MOST_BYTES, Reader
from offpeak.providers.plain import Plains

if TYPE_CHECKING:
    import numpy as np

Counts = Mapping[str, "np.ndarray"]
"""Of tokens, int64, by the name of the field."""
_MOST_TOKENS = 2**40


def count(name: str, *, nullable: bool = False) -> Whole:
    """A number of tokens, 0 where it is not there. What no provider would count is left to the slow reader."""
    return Whole(name=name, low=0, high=_MOST_TOKENS, required=False, nullable=nullable, filled=True)


def counts_of(*names: str, **inner: Object) -> Object:
    """An object of counts that need not be there, with further objects in it."""
    fields = {name: count(name) for name in names} | inner
    return Object(fields=fields, required=False, nullable=True)


def plains(reader: Reader | None, lines: Block, usage: Callable[[Counts], np.ndarray]) -> Plains | None:
    """What the reader takes of the lines, `usage` made of its counts; None without a reader, or where
    there are more of them than it takes.

    Its other columns are `custom_id`, `model` and `value`.
    """
    import numpy as np

    if reader is None or not len(lines) or int(lines.ends[-1]) > MOST_BYTES:
        return None
    found = reader.read(lines)
    columns = dict(found.columns)
    custom_ids, models, values = (columns.pop(name) for name in ("custom_id", "model", "value"))
    return Plains(
        places=np.flatnonzero(found.taken),
        custom_ids=custom_ids,
        models=models,
        usage=usage({name: integers(column) for name, column in columns.items()}),
        values=values,
    )
