"""What both wires share: JSON values, the error that becomes an answer, and identifiers."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""One decoded JSON object of a provider's wire; its keys are the provider's, not ours."""


@dataclass(slots=True, kw_only=True)
class ApiError(Exception):
    """A request the provider refuses. Each wire words it in its own envelope."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None

    def __str__(self) -> str:
        return f"{self.status} {self.type}: {self.message}"


def not_found(message: str) -> ApiError:
    """The 404 of both providers; `type` is worded by the wire that sends it."""
    return ApiError(status=404, message=message, type="not_found_error")


class Ids:
    """Identifiers no other emulator process hands out, and in order within this one."""

    def __init__(self) -> None:
        self._run = secrets.token_hex(5)
        self._numbers = itertools.count(1)

    def new(self, prefix: str) -> str:
        return f"{prefix}{self._run}{next(self._numbers):010x}"


def rfc3339(seconds: float | None) -> str | None:
    """A unix time as Anthropic writes it, in UTC with a Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix(seconds: float | None) -> int | None:
    """A unix time as OpenAI writes it: whole seconds."""
    return None if seconds is None else int(seconds)


def emulated(model: str) -> str:
    """The model name in answers, so that no run can be taken for a real model's."""
    return model if model.startswith("emulated/") else f"emulated/{model}"


def dumps(value: Any) -> bytes:
    """JSON as it goes over the wire; arrays of numbers are written without turning them into Python."""
    import orjson

    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
