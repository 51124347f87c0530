"""The realtime endpoints of Anthropic."""

from __future__ import annotations

import asyncio

import orjson
from starlette.requests import Request
from starlette.responses import Response

from offpeak.emulator.answers import json_response
from offpeak.emulator.as_anthropic.messages import complete, count_tokens
from offpeak.emulator.wire import ApiError, JsonObject, emulated
from offpeak.emulator.world import World

MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-4-5")


class RealtimeEndpoints:
    """Starlette endpoints over the stand-in model."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def message(self, request: Request) -> Response:
        body = await _body(request)
        twist = self._world.twist(request.url.path, body)
        version = request.headers.get("anthropic-version", "")
        # In a thread: a long text must not hold up the other connections.
        done = await asyncio.to_thread(
            complete, body, self._world, version=version, tier="standard", twist=twist
        )
        self._world.journal.bill_realtime("anthropic", done.tally)
        return json_response(done.body)

    async def count(self, request: Request) -> Response:
        version = request.headers.get("anthropic-version", "")
        return json_response(count_tokens(await _body(request), version=version))

    async def models(self, request: Request) -> Response:
        data = [
            {
                "type": "model",
                "id": emulated(name),
                "display_name": name,
                "created_at": "2026-01-01T00:00:00Z",
            }
            for name in MODELS
        ]
        first, last = data[0]["id"], data[-1]["id"]
        return json_response({"data": data, "has_more": False, "first_id": first, "last_id": last})


async def _body(request: Request) -> JsonObject:
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(status=400, message="The request body is not valid JSON")
    return body
