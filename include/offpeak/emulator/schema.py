"""Fitting an answer to a JSON schema: each schema is compiled once into a function of the text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from offpeak.emulator import citing
from offpeak.emulator import text as reading
from offpeak.emulator.labels import Labels
from offpeak.emulator.strings import SHORT_NAMES, format_fitter, string_fitter
from offpeak.emulator.wire import JsonObject

MAX_DEPTH = 12  # a schema that refers to itself is closed with its simplest value below this
DEFAULT_ITEMS = 2


class Source:
    """The user text, read once however many fields ask."""

    def __init__(self, text: str, ids: tuple[str, ...] = ()) -> None:
        self.text = text
        self.ids = ids
        """Of the mark that the text stands under, where it is a sentence of a marked text."""

    @cached_property
    def marked(self) -> Mapping[str, tuple[str, ...]]:
        return citing.marked(self.text)

    def parts(self, limit: int) -> list[Source]:
        """The sentences that say most; of a marked text they speak of different things, and know their ids."""
        if self.marked:
            return [Source(*theme) for theme in citing.themes(self.marked, limit)]
        return [
            Source(part, self.ids) for part in reading.best_sentences(self.sentences, limit) or [self.text]
        ]

    @cached_property
    def stems(self) -> Counter[str]:
        return Counter(reading.stems(self.text))

    @cached_property
    def all_words(self) -> list[str]:
        return reading.words(self.text)

    @cached_property
    def sentences(self) -> list[str]:
        return list(self.marked) or reading.sentences(self.text)

    @cached_property
    def numbers(self) -> list[float]:
        return reading.numbers(self.text)


Fit: TypeAlias = Callable[[Source], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the schema we are: what the property is called and what else is known."""

    root: JsonObject
    system: str
    name: str = ""
    about: str = ""
    depth: int = 0


def compile_schema(schema: JsonObject, *, system: str = "") -> Fit:
    """A function that turns a text into a value which the schema accepts."""
    return _compile(schema, Place(root=schema, system=system))


def _compile(schema: Any, place: Place) -> Fit:
    if not isinstance(schema, dict):
        schema = {}
    if place.depth > MAX_DEPTH:
        return _constant(None)
    schema = _resolved(schema, place.root)
    place = replace(place, about=str(schema.get("description") or place.about), depth=place.depth + 1)
    if "const" in schema:
        return _constant(schema["const"])
    if "enum" in schema:
        return _enum(schema["enum"], place)
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _union(schema[union], place)
    maker = _MAKERS.get(_type_of(schema))
    return maker(schema, place) if maker else _constant(None)


def _resolved(schema: JsonObject, root: JsonObject) -> JsonObject:
    seen = 0
    while "$ref" in schema and seen < MAX_DEPTH:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#").split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            target = target.get(part, {}) if isinstance(target, dict) else {}
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
        seen += 1
    for part in schema.get("allOf", ()):
        inner = _resolved(part, root)
        schema = {
            **inner,
            **schema,
            "properties": {**inner.get("properties", {}), **schema.get("properties", {})},
            "required": [*inner.get("required", ()), *schema.get("required", ())],
        }
    return schema


def _type_of(schema: JsonObject) -> str:
    found = schema.get("type")
    if isinstance(found, list):
        return next((kind for kind in found if kind != "null"), "null")
    if isinstance(found, str):
        return found
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _constant(value: Any) -> Fit:
    return lambda source: value


def _enum(values: list[Any], place: Place) -> Fit:
    texts = {value: value for value in values if isinstance(value, str)}
    if not texts:
        by_number = {value: value for value in values if isinstance(value, (int, float))}
        return lambda source: next((by_number[n] for n in source.numbers if n in by_number), values[0])
    labels = Labels(list(texts), system=place.system, about=place.about)
    return lambda source: labels.choose(source.stems)


def _union(branches: list[Any], place: Place) -> Fit:
    resolved = [_resolved(branch, place.root) for branch in branches if isinstance(branch, dict)]
    real = [branch for branch in resolved if branch.get("type") != "null"]
    # Below the depth limit an optional branch ends in null, which closes recursive schemas.
    if not real or (len(real) < len(resolved) and place.depth > MAX_DEPTH // 2):
        return _constant(None)
    return _compile(real[0], place)


def _object(schema: JsonObject, place: Place) -> Fit:
    properties: dict[str, Any] = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    fits = {
        name: _compile(inner, replace(place, name=name, about=""))
        for name, inner in properties.items()
        if name in required or place.depth <= MAX_DEPTH // 2
    }
    return lambda source: {name: fit(source) for name, fit in fits.items()}


def _array(schema: JsonObject, place: Place) -> Fit:
    least, most = int(schema.get("minItems") or 0), _told(schema, "maxItems")
    if place.depth > MAX_DEPTH // 2 and least == 0:
        return _constant([])
    inner = _resolved(schema.get("items") or {}, place.root)
    if _type_of(inner) == "string" and citing.asks_for_ids(place.name):
        return _ids(inner, place, least, most)

    def limit_of(source: Source) -> int:
        wanted = DEFAULT_ITEMS
        if source.marked:  # the shorter the text, the fewer there are to make of it
            wanted = min(citing.MOST_SENTENCES, max(citing.FEWEST_SENTENCES, len(source.marked) // 4))
        return max(least, wanted if most is None else min(wanted, most))

    fit = _compile(schema.get("items", {}), place)
    distinct = bool(schema.get("uniqueItems"))

    def items(source: Source) -> list[Any]:
        limit = limit_of(source)
        parts = source.parts(limit)
        found = [fit(parts[i % len(parts)]) for i in range(max(least, min(limit, len(parts))))]
        return [item for i, item in enumerate(found) if item not in found[:i]] if distinct else found

    return items


def _ids(inner: JsonObject, place: Place, least: int, most: int | None) -> Fit:
    """An array of ids: those that the text stands under; without marks, an array of strings like any other."""
    limit = max(least, citing.MOST_IDS if most is None else min(citing.MOST_IDS, most))
    plain = _compile(inner, place)

    def ids(source: Source) -> list[Any]:
        found = source.ids or next(iter(source.marked.values()), ())
        return list(found[:limit]) or [plain(source)]

    return ids


def _told(schema: JsonObject, word: str) -> int | None:
    """A limit, also where it is told in words because the provider's grammar cannot hold it: `(maxItems: 8)`."""
    if word in schema:
        return int(schema[word])
    told = re.search(rf"\b{word}: (\d+)", str(schema.get("description") or ""))
    return int(told[1]) if told else None


def _boolean(schema: JsonObject, place: Place) -> Fit:
    about = {reading.stem(word) for word in reading.name_words(place.name)} | set(reading.stems(place.about))

    def truth(source: Source) -> bool:
        return bool(about & source.stems.keys()) and not reading.NEGATIONS.intersection(source.all_words)

    return truth


def _number(schema: JsonObject, place: Place) -> Fit:
    whole = _type_of(schema) == "integer"
    least, most = _bounds(schema, whole=whole)
    step = schema.get("multipleOf")

    def number(source: Source) -> float | int:
        inside = [n for n in source.numbers if least <= n <= most and (not whole or n == int(n))]
        value = inside[0] if inside else min(max(0.0, least), most)
        if step:
            value = math.ceil(value / step) * step if value >= 0 else math.floor(value / step) * step
        return int(value) if whole else value

    return number


def _bounds(schema: JsonObject, *, whole: bool) -> tuple[float, float]:
    nudge = 1.0 if whole else 1e-6
    least = float(schema.get("minimum", -math.inf))
    most = float(schema.get("maximum", math.inf))
    if "exclusiveMinimum" in schema:
        least = max(least, float(schema["exclusiveMinimum"]) + nudge)
    if "exclusiveMaximum" in schema:
        most = min(most, float(schema["exclusiveMaximum"]) - nudge)
    return (math.ceil(least), math.floor(most)) if whole and math.isfinite(least + most) else (least, most)


def _string(schema: JsonObject, place: Place) -> Fit:
    if "format" in schema:
        fit = format_fitter(str(schema["format"]))
        if fit is not None:
            return lambda source: fit(source.text)
    short = bool(SHORT_NAMES & set(reading.name_words(place.name)))
    extract = string_fitter(place.name, place.about, schema.get("minLength"), _told(schema, "maxLength"))

    def string(source: Source) -> str:
        # of a marked text a whole short sentence is the better headline
        brief = citing.brief(source.marked) if source.marked and short else ""
        return brief or extract(source.sentences)

    return string


_MAKERS: dict[str, Callable[[JsonObject, Place], Fit]] = {
    "object": _object,
    "array": _array,
    "boolean": _boolean,
    "number": _number,
    "integer": _number,
    "string": _string,
    "null": lambda schema, place: _constant(None),
}
