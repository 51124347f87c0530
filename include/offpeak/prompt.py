"""The prompt: templates over a row, compiled once.

Plain fields (`{{ row.text }}`) become segments that are joined per row; anything richer runs in
Jinja's sandbox. Both write values the same way, and both refuse a null. `row.name` is always the
column of that name, also where Jinja would find a method (`items`, `keys`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from offpeak.errors import OffpeakError, SpecError

if TYPE_CHECKING:
    import jinja2
    import pyarrow as pa

ROW_METHODS = ("get", "items", "keys", "values")


class NullInPrompt(OffpeakError):
    """A value that the prompt needs is null in this row, or the template fails on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is said to the model, as templates over `row`: `Prompt(system="...", user="{{ row.text }}")`.

    SpecError for a template that does not parse, asks for anything but `row`, or could not be sent.
    """

    user: str
    system: str = ""

    def __post_init__(self) -> None:
        for part, text in (("user", self.user), ("system", self.system)):
            if not isinstance(text, str):
                raise SpecError(f"The prompt's {part} text is {text!r}. Give a template in a string.")
            Template(text, part)
        if not self.user.strip():
            raise SpecError("The prompt's user text is empty. Give a template such as '{{ row.text }}'.")


@dataclass(frozen=True)
class Template:
    """One compiled template. SpecError when it does not parse or names anything but `row`."""

    text: str
    part: str = "user"

    def __post_init__(self) -> None:
        from jinja2 import TemplateSyntaxError, meta

        if not encodable(self.text):
            raise self._mistake("holds half a character pair (a lone surrogate)", "Write the whole character")
        try:
            names = meta.find_undeclared_variables(self._tree)
        except TemplateSyntaxError as error:
            cause = str(error.message).rstrip(".")
            raise SpecError(
                f"The prompt's {self.part} template does not parse, line {error.lineno}: {cause}."
            ) from None
        if strangers := names - {"row"}:
            what = f"uses {', '.join(sorted(strangers))}; only `row` is known there"
            raise self._mistake(what, "Write {{ row.column }}")
        self._check_nodes()

    def _check_nodes(self) -> None:
        """Find what would fail on every row."""
        from jinja2 import nodes

        known = {nodes.Filter: self._environment.filters, nodes.Test: self._environment.tests}
        for node in self._tree.find_all((nodes.Filter, nodes.Test)):
            if node.name not in known[type(node)]:
                kind = type(node).__name__.lower()
                raise self._mistake(f"uses the {kind} {node.name!r}, which there is not", "Correct it", node)
        files = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
        for other in self._tree.find_all(files):
            raise self._mistake("reads another template", "Write everything into one text", other)
        for call in self._tree.find_all(nodes.Call):
            name = _attribute_of_row(call.node)
            if name is not None and name not in ROW_METHODS:
                what = f"calls row.{name}(); a row has the methods {', '.join(ROW_METHODS)} only"
                raise self._mistake(what, f"Write {{{{ row.{name} }}}} for the column", call)

    def _mistake(self, what: str, cure: str, node: jinja2.nodes.Node | None = None) -> SpecError:
        line = "" if node is None else f", line {node.lineno},"
        return SpecError(f"The prompt's {self.part} template{line} {what}. {cure}.")

    @cached_property
    def _environment(self) -> jinja2.Environment:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined,
            autoescape=False,  # the text goes to a model, not into a page
            keep_trailing_newline=True,
            finalize=as_text,
        )
        # chance would make the same row another request, paid for again, on every run
        del environment.filters["random"], environment.globals["lipsum"]
        environment.tests["none"] = lambda value: value is None or isinstance(value, Null)
        environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": _json_value}
        return environment

    @cached_property
    def _tree(self) -> jinja2.nodes.Template:
        return _by_column(self._environment.parse(self.text))

    @cached_property
    def segments(self) -> tuple[str | Field, ...] | None:
        """Constant texts and fields in turn, or None when the template is richer than that."""
        from jinja2 import nodes

        parts: list[str | Field] = []
        for statement in self._tree.body:
            if not isinstance(statement, nodes.Output):
                return None
            for node in statement.nodes:
                if isinstance(node, nodes.TemplateData):
                    parts.append(node.data)
                elif (name := _column_of(node)) is not None:
                    parts.append(Field(name))
                else:
                    return None
        return tuple(parts)

    @cached_property
    def columns(self) -> frozenset[str] | None:
        """The columns it reads, or None when it uses the row as a whole."""
        from jinja2 import nodes

        named = [name for node in self._tree.find_all(nodes.Getitem) if (name := _column_of(node))]
        uses = sum(1 for node in self._tree.find_all(nodes.Name) if node.name == "row")
        return frozenset(named) if uses == len(named) else None

    @property
    def constant(self) -> bool:
        """Whether it says the same for every row."""
        return self.segments is not None and all(isinstance(part, str) for part in self.segments)

    @property
    def constant_characters(self) -> int:
        """About how many characters it adds to what the row itself holds."""
        return len(self.text)

    def render(self, records: pa.RecordBatch) -> Iterator[str | NullInPrompt]:
        """The text for each record, or why there is none."""
        if self.segments is None:
            yield from self._render_rich(records)
            return
        columns = [
            part if isinstance(part, str) else records.column(part.name).to_pylist() for part in self.segments
        ]
        names = [part.name if isinstance(part, Field) else "" for part in self.segments]
        for index in range(records.num_rows):
            try:
                yield "".join(
                    part if isinstance(part, str) else as_text(part[index], name)
                    for part, name in zip(columns, names, strict=True)
                )
            except NullInPrompt as null:
                yield null

    def _render_rich(self, records: pa.RecordBatch) -> Iterator[str | NullInPrompt]:
        from jinja2 import TemplateError

        template = self._environment.from_string(self._tree)
        for record in records.to_pylist():
            row = {name: _guarded(value, name) for name, value in record.items()}
            try:
                text = template.render(row=row)
            except NullInPrompt as null:
                yield null
            except (
                TemplateError,
                ArithmeticError,
                LookupError,
                TypeError,
                ValueError,
                AttributeError,
            ) as error:
                yield NullInPrompt(self._failure(error, record))
            else:
                yield (
                    text
                    if encodable(text)
                    else NullInPrompt(
                        f"the prompt's {self.part} template makes half a character pair (a lone surrogate)"
                    )
                )

    def _failure(self, error: Exception, record: Mapping[str, Any]) -> str:
        nulls = [name for name in sorted(self.columns or record) if record.get(name) is None]
        hint = f" (null in this row: {', '.join(nulls)})" if nulls else ""
        return f"the prompt's {self.part} template failed on this row: {error}{hint}"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the row, as a segment."""

    name: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Null:
    """A null while a template runs: false, equal to none, and refused as soon as it would be written."""

    column: str

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Null)

    def __hash__(self) -> int:
        return hash(None)

    def __str__(self) -> str:
        raise NullInPrompt(null_sentence(self.column))

    def __repr__(self) -> str:
        return "None"  # within a list that is written as Python writes it


def _guarded(value: Any, place: str) -> Any:
    """The value with each null in it replaced, so that no filter can write it as `None`."""
    if value is None:
        return Null(place)
    if isinstance(value, dict):
        return {name: _guarded(inner, f"{place}.{name}") for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_guarded(inner, f"{place}[{index}]") for index, inner in enumerate(value)]
    return value


def as_text(value: Any, column: str = "") -> str:
    """How a value is written into a prompt.

    NullInPrompt for a null; TypeError for what is no value (a method, a generator), whose text would
    be another one in every process.
    """
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Null):
        raise NullInPrompt(null_sentence(column if value is None else value.column))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal, dt.timedelta, UUID)):
        return str(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, (Mapping, Sequence, KeysView, ValuesView, ItemsView)):
        return json.dumps(value, ensure_ascii=False, default=_json_value)
    from jinja2 import Undefined

    if isinstance(value, Undefined):
        return str(value)  # raises, in its own words
    raise TypeError(f"a {type(value).__name__} cannot be written into a prompt")


def _json_value(value: Any) -> Any:
    """What JSON does not know, as something that it does."""
    if isinstance(value, Null):
        return None
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, KeysView, ValuesView, ItemsView)) and not isinstance(
        value, (bytes, bytearray)
    ):
        return list(value)
    return as_text(value)


def encodable(text: str) -> bool:
    """Whether `text` can be written as UTF-8 at all: half a character pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _by_column(tree: jinja2.nodes.Template) -> jinja2.nodes.Template:
    """Read each `row.name` as `row["name"]`, unless it is called: so a column hides a method of its name."""
    from jinja2 import nodes

    for node in list(tree.find_all(nodes.Node)):
        for name, value in node.iter_fields():
            if isinstance(value, list):
                setattr(node, name, [_item(inner) for inner in value])
            elif not (name == "node" and isinstance(node, nodes.Call)):
                setattr(node, name, _item(value))
    return tree


def _item(node: Any) -> Any:
    from jinja2 import nodes

    name = _attribute_of_row(node)
    if name is None:
        return node
    key = nodes.Const(name, lineno=node.lineno, environment=node.environment)
    return nodes.Getitem(node.node, key, "load", lineno=node.lineno, environment=node.environment)


def _attribute_of_row(node: Any) -> str | None:
    """The name in `row.name`."""
    from jinja2 import nodes

    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "row":
        return str(node.attr)
    return None


def _column_of(node: Any) -> str | None:
    """The column of `row["column"]`."""
    from jinja2 import nodes

    if not (isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Name)):
        return None
    if node.node.name != "row" or not isinstance(node.arg, nodes.Const):
        return None
    return node.arg.value if isinstance(node.arg.value, str) else None


def null_sentence(column: str) -> str:
    return (
        f"the prompt needs {column or 'a value'}, which is null in this row; "
        f"write {{{{ row.{column or 'column'} or '' }}}} in the template if a null is fine"
    )
