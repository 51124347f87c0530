"""Answer schemas: what strict structured output refuses, and what a provider's grammar cannot express."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

REFUSED = ("allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties")
"""Keywords that strict structured output of either provider refuses (their guides, 2026-07)."""

_CHILDREN = ("items", "additionalProperties", "not")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")


def schema_problems(schema: Mapping[str, Any], *, refused: tuple[str, ...] = REFUSED) -> list[str]:
    """Why strict structured output would refuse `schema`, each with its place and its cure."""
    if schema.get("type") != "object":
        return [
            f"The answer schema's root is {schema.get('type', 'not typed')!r}; strict output needs an "
            "object. Wrap the answer in a model with one field."
        ]
    found: list[str] = []
    for place, node in _nodes(schema, "$", 0):
        if isinstance(node.get("$ref"), str):
            found += _reference_problems(schema, place, node["$ref"])
        if node.get("type") == "object" or "properties" in node:
            found += _object_problems(place, node)
        found += [
            f"The answer schema uses {word!r} at {place}, which strict output refuses. "
            "Leave it out there and check it after the answer (a validator or a check)."
            for word in refused
            if word in node
        ]
    return found


def recursion_problems(schema: Mapping[str, Any]) -> list[str]:
    """The definitions of `schema` that contain themselves, for a grammar that cannot follow them."""
    defined = {
        f"#/{word}/{name}": node
        for word in ("$defs", "definitions")
        for name, node in (schema.get(word) or {}).items()
    }
    reached = {name: _references(node) for name, node in defined.items()}
    for _ in defined:  # after as many rounds as there are definitions nothing new is reached
        reached = {
            name: direct.union(*(reached.get(other, set()) for other in direct))
            for name, direct in reached.items()
        }
    return [
        f"The answer schema's {name} contains itself, which this provider cannot follow. "
        "Write out as many levels as are needed."
        for name, others in reached.items()
        if name in others
    ]


def _references(node: Mapping[str, Any]) -> set[str]:
    return {inner["$ref"] for _, inner in _nodes(node, "$", 0) if isinstance(inner.get("$ref"), str)}


def expressible(schema: Mapping[str, Any], *, without: frozenset[str]) -> dict[str, Any]:
    """`schema` without the keywords `without`; each limit taken out is told to the model in words.

    Answers are validated against the whole schema afterwards, so nothing is let through by this.
    A field that happens to be called like a keyword stays.
    """
    told = [f"{word}: {schema[word]}" for word in sorted(without & schema.keys()) if word != "default"]
    kept: dict[str, Any] = {}
    for word, value in schema.items():
        if word in without:
            continue
        if word in _MAPS and isinstance(value, Mapping):
            kept[word] = {name: _expressible(child, without) for name, child in value.items()}
        elif word in _LISTS and isinstance(value, list):
            kept[word] = [_expressible(child, without) for child in value]
        elif word in _CHILDREN:
            kept[word] = _expressible(value, without)
        else:
            kept[word] = value
    if told:
        kept["description"] = " ".join(filter(None, [schema.get("description"), f"({', '.join(told)})"]))
    return kept


def _expressible(child: Any, without: frozenset[str]) -> Any:
    return expressible(child, without=without) if isinstance(child, Mapping) else child


def _object_problems(place: str, node: Mapping[str, Any]) -> list[str]:
    found = []
    if node.get("additionalProperties") is not False:
        found.append(
            f"The answer schema's object at {place} is open; strict output needs "
            "additionalProperties: false there (free-form dicts cannot be asked for: name the fields)."
        )
    properties, required = node.get("properties") or {}, set(node.get("required") or ())
    missing = [name for name in properties if name not in required]
    if missing:
        found.append(
            f"The answer schema's object at {place} does not require {', '.join(missing)}; strict output "
            "needs every property required. Make the field nullable instead of optional."
        )
    return found


def _reference_problems(schema: Mapping[str, Any], place: str, reference: str) -> list[str]:
    parts = reference.split("/")
    target: Any = schema
    for part in parts[1:] if parts[0] == "#" else ["\0"]:
        target = target.get(part) if isinstance(target, Mapping) else None
    if target is not None:
        return []
    return [f"The answer schema at {place} refers to {reference!r}, which is not in it. Define it in $defs."]


def _nodes(node: Any, place: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(node, Mapping) or depth > 100:
        return
    yield place, node
    for word in _MAPS:
        for name, child in (node.get(word) or {}).items():
            yield from _nodes(child, f"{place}.{name}", depth + 1)
    for word in _LISTS:
        for child in node.get(word) or ():
            yield from _nodes(child, f"{place}.{word}", depth + 1)
    yield from _nodes(node.get("items"), f"{place}[]", depth + 1)
