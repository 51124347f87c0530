"""The realtime endpoints of OpenAI: the same answers as a batch's lines, at once."""

from __future__ import annotations

import asyncio

import orjson
from starlette.requests import Request
from starlette.responses import Response

from offpeak.emulator.answers import json_response
from offpeak.emulator.as_openai.asking import bad
from offpeak.emulator.as_openai.lines import ENDPOINTS
from offpeak.emulator.wire import emulated
from offpeak.emulator.world import World

MODELS = ("gpt-6-luna", "gpt-6-sol", "gpt-5-mini", "gpt-5-nano", "gpt-4.1-mini", "text-embedding-3-small")


class RealtimeEndpoints:
    """Starlette endpoints over the stand-in model."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def answer(self, request: Request) -> Response:
        try:
            body = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise bad("We could not parse the JSON body of your request.", "body", "invalid_json")
        path = request.url.path
        twist = self._world.twist(path, body)
        # In a thread: a long text must not hold up the other connections.
        done = await asyncio.to_thread(ENDPOINTS[path], body, self._world, twist)
        self._world.journal.bill_realtime("openai", done.tally)
        return json_response(done.body, headers=_rate_headers())

    async def models(self, request: Request) -> Response:
        data = [
            {"id": emulated(name), "object": "model", "created": 1_700_000_000, "owned_by": "offpeak"}
            for name in MODELS
        ]
        return json_response({"object": "list", "data": data})


def _rate_headers() -> dict[str, str]:
    kinds = {"requests": "10000", "tokens": "10000000"}
    headers = {f"x-ratelimit-limit-{kind}": limit for kind, limit in kinds.items()}
    headers |= {f"x-ratelimit-remaining-{kind}": limit for kind, limit in kinds.items()}
    return headers | {f"x-ratelimit-reset-{kind}": "6ms" for kind in kinds}
