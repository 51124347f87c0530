"""A JSON schema as strict structured output wants it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LOOKS_AROUND = re.compile(r"\(\?<?[=!]")


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema as strict structured output wants it: closed objects, every property required.

    The schema must not contain itself.
    """
    defined = schema.get("$defs", {})

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node and (said := {name: value for name, value in node.items() if name != "$ref"}):
            # strict output takes no other keyword (a description) beside $ref: write the definition out
            return walk({**defined[node["$ref"].removeprefix("#/$defs/")], **said})
        made: dict[str, Any] = {}
        for name, value in node.items():
            if name in ("properties", "$defs"):  # the names below are the user's own, not keywords
                made[name] = {own: walk(sub) for own, sub in value.items()}
            elif name in ("enum", "const", "examples"):
                made[name] = value
            elif name == "pattern" and _LOOKS_AROUND.search(value):
                continue  # strict output refuses it; the answer is held to it afterwards
            elif name not in ("title", "default"):
                made[name] = walk(value)
        if "properties" in made:
            made["additionalProperties"] = False
            made["required"] = list(made["properties"])
        return made

    result: dict[str, Any] = walk(dict(schema))
    return result
