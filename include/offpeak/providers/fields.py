"""Reading JSON that somebody else wrote: every reader gives a value of its type, whatever is there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

_CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
_NOTHING: Mapping[str, Any] = {}
_LAST_SECOND = 253_402_300_799  # 9999-12-31, the last that a datetime holds


def read_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object that `line` holds, None when it holds anything else.

    An escaped half of a character pair is legal JSON which the fast reader refuses; the answer around
    it is paid for, so it is read the slow way and the half replaced by `?`.
    """
    try:
        value = orjson.loads(line)
    except ValueError:
        try:
            value = _whole_characters(json.loads(line.decode("utf-8")))
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def salvaged_custom_id(line: bytes) -> str:
    """The custom_id of a line that is no longer JSON (cut, or damaged), "" when it is lost too.

    Quotes inside a JSON string are escaped, so text in which a model wrote a custom_id never matches.
    """
    found = _CUSTOM_ID.search(line)
    return found.group(1).decode() if found else ""


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOTHING


def sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def count(value: object) -> int:
    """A number of tokens or requests: never negative, 0 for what is not a whole number."""
    return value if type(value) is int and value > 0 else 0


def moment(value: object) -> datetime | None:
    """A time in unix seconds or RFC 3339, in UTC; None for everything else."""
    if isinstance(value, str):
        try:
            read = datetime.fromisoformat(value)
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        except (ValueError, OverflowError):
            return None
    if type(value) in (int, float) and isinstance(value, int | float) and 0 < value <= _LAST_SECOND:
        return datetime.fromtimestamp(value, UTC)
    return None


def excerpt(raw: object, limit: int = 2000) -> str:
    """`raw` as text for a person or a message, cut to `limit` characters."""
    if isinstance(raw, bytes):
        shown = raw[: limit + 1].decode("utf-8", "backslashreplace")
    else:
        shown = raw if isinstance(raw, str) else _as_json(raw)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _as_json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested too deep to write, or whole numbers beyond 64 bits
        return f"a {type(value).__name__} that cannot be shown"


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return value
