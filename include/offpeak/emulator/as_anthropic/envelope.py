"""Taking in a batch: the body goes to disk, and what is wrong with its envelope is refused at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request

from offpeak.emulator.journal import SAMPLE_IDS
from offpeak.emulator.options import Options
from offpeak.emulator.wire import ApiError

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The requests of a batch, one a line in `path`."""

    path: Path
    requests: int
    sample: tuple[str, ...]


async def receive_body(request: Request, path: Path, max_bytes: int) -> None:
    """Writes a request's body to `path`; raises a 413 as soon as it is too large."""
    size = 0
    with path.open("wb") as kept:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                message = f"Request exceeds the maximum allowed number of bytes, {max_bytes}."
                raise ApiError(status=413, message=message, type="request_too_large")
            kept.write(chunk)


def unpack(path: Path, options: Options) -> Envelope:
    """Turns a create body into one request a line, in place. Raises the 400 of a bad envelope."""
    try:
        body = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        raise _bad("The request body is not valid JSON") from None
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list):
        raise _bad("requests: Field required")
    if not requests:
        raise _bad("requests: List should have at least 1 item")
    if len(requests) > options.anthropic_max_requests:
        raise _bad(f"requests: List should have at most {options.anthropic_max_requests} items")
    _check_ids(requests)
    with path.open("wb") as lines:
        for item in requests:
            lines.write(orjson.dumps({"custom_id": item["custom_id"], "params": item["params"]}) + b"\n")
    sample = tuple(item["custom_id"] for item in requests[:SAMPLE_IDS])
    return Envelope(path=path, requests=len(requests), sample=sample)


def _check_ids(requests: Iterable[Any]) -> None:
    seen: set[str] = set()
    for index, item in enumerate(requests):
        where = f"requests.{index}"
        if not isinstance(item, dict) or not isinstance(item.get("params"), dict):
            raise _bad(f"{where}.params: Field required")
        custom_id = item.get("custom_id")
        if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
            raise _bad(f"{where}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if custom_id in seen:
            raise _bad(f"{where}.custom_id: '{custom_id}' is not unique in the batch")
        seen.add(custom_id)


def _bad(message: str) -> ApiError:
    return ApiError(status=400, message=message)
