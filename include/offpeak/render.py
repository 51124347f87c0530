"""Rendering a slice of rows at once: columns in, a column of texts out. What `Template.render` says, faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offpeak.arrays import mask_of, text, texts
from offpeak.prompt import Field, NullInPrompt, Template, as_text, null_sentence

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One template over a slice of rows."""

    rows: int
    each: pa.Array | None = None
    """A string for each row, null where there is a problem; none at all where it is the same for every row."""
    constant: str | None = None
    """The text, where it is the same for every row."""
    problems: Mapping[int, str] = field(default_factory=dict)
    """By the row's place in the slice: why there is no text."""

    @property
    def texts(self) -> pa.Array:
        """A string for each row, also where it is the same for every row."""
        import pyarrow as pa

        return pa.repeat(text(self.constant or ""), self.rows) if self.each is None else self.each


def rendered(template: Template, records: pa.RecordBatch) -> Rendered:
    """The template's text for each record."""
    import pyarrow.compute as pc

    segments = template.segments
    if segments is None:
        return _one_by_one(template, records)
    if template.constant:
        said = "".join(str(part) for part in segments)
        return Rendered(rows=records.num_rows, constant=said)
    parts = [
        text(part) if isinstance(part, str) else column_text(records.column(part.name)) for part in segments
    ]
    if len(parts) > 1:
        parts = [pc.binary_join_element_wise(*parts, text(""), null_handling="emit_null")]
    (made,) = parts
    problems = _nulls(made, segments, records) if made.null_count else {}
    return Rendered(rows=records.num_rows, each=made, problems=problems)


def column_text(column: pa.Array) -> pa.Array:
    """The column's values as they are written into a prompt (see prompt.as_text), null where they are null."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return texts(None if value is None else as_text(value) for value in column.to_pylist())


def _nulls(made: pa.Array, segments: tuple[str | Field, ...], records: pa.RecordBatch) -> dict[int, str]:
    """Which column is null in each row without a text: the first one that the template names."""
    import numpy as np

    fields = [part.name for part in segments if isinstance(part, Field)]
    columns = {name: records.column(name).is_valid() for name in fields}
    return {
        int(row): next(null_sentence(name) for name in fields if not columns[name][row].as_py())
        for row in np.flatnonzero(mask_of(made.is_null()))
    }


def _one_by_one(template: Template, records: pa.RecordBatch) -> Rendered:
    made: list[str | None] = []
    problems: dict[int, str] = {}
    for row, said in enumerate(template.render(records)):
        if isinstance(said, NullInPrompt):
            problems[row] = str(said)
        made.append(None if isinstance(said, NullInPrompt) else said)
    return Rendered(rows=records.num_rows, each=texts(made), problems=problems)
