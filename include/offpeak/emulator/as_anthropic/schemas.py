"""The JSON schemas Anthropic refuses for structured output."""

from __future__ import annotations

from typing import Any

from offpeak.emulator.wire import ApiError

MAX_DEPTH = 40


def check_schema(schema: Any, where: str, depth: int = 0) -> None:
    """Raises a 400 for an object that leaves additional properties open."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        message = f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        raise ApiError(status=400, message=message)
    for key in ("properties", "$defs", "definitions"):
        for name, inner in (schema.get(key) or {}).items():
            check_schema(inner, f"{where}.{key}.{name}", depth + 1)
    check_schema(schema.get("items"), f"{where}.items", depth + 1)
    for key in ("anyOf", "allOf"):
        for inner in schema.get(key) or ():
            check_schema(inner, f"{where}.{key}", depth + 1)
