"""The control endpoints under /_emulator/: the clock, the faults, and what was seen."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from offpeak.emulator.answers import json_response
from offpeak.emulator.fault_table import FAULTS
from offpeak.emulator.faults import parse_fault
from offpeak.emulator.profiles import PROFILES, latency_named
from offpeak.emulator.wire import ApiError, JsonObject
from offpeak.emulator.world import World

PROVIDERS = ("openai", "anthropic")


class ControlEndpoints:
    """Starlette endpoints that need no key and are never struck by a fault."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def state(self, request: Request) -> Response:
        world, now = self._world, self._world.now()
        batches = [
            {
                "id": batch.id,
                "provider": batch.asked.provider,
                "stage": batch.life.stage(now).value,
                "requests": batch.asked.requests,
                "finished": batch.finished(now),
                "billed": batch.billed(now).as_json(),
            }
            for batch in world.batches.values()
        ]
        return json_response(
            {
                "clock": self._clock(),
                "batches": batches,
                "files": sum(1 for _ in world.files.visible(now=now)),
                "billed": {provider: world.billed(provider).as_json() for provider in PROVIDERS},
                "realtime": {name: world.journal.realtime[name].as_json() for name in PROVIDERS},
            }
        )

    async def requests(self, request: Request) -> Response:
        return json_response({"requests": self._world.journal.requests()})

    async def creates(self, request: Request) -> Response:
        return json_response({"creates": [create.as_json() for create in self._world.journal.creates()]})

    async def faults(self, request: Request) -> Response:
        known = [
            {"name": kind.name, "strikes": kind.strikes.value, "what": kind.what, "params": list(kind.params)}
            for kind in FAULTS.values()
        ]
        return json_response({"known": known, "active": [f.as_json() for f in self._world.faults.all()]})

    async def add_fault(self, request: Request) -> Response:
        body = await _body(request)
        try:
            fault = parse_fault(body)
        except (ValueError, TypeError) as error:
            raise ApiError(status=400, message=str(error)) from None
        self._world.faults.add(fault)
        return json_response(fault.as_json())

    async def clear_faults(self, request: Request) -> Response:
        self._world.faults.clear(request.query_params.get("name"))
        return json_response({"active": [fault.as_json() for fault in self._world.faults.all()]})

    async def clock(self, request: Request) -> Response:
        return json_response(self._clock())

    async def set_clock(self, request: Request) -> Response:
        """Takes any of `speed`, `frozen` and `advance_seconds`, applied in this order."""
        body, clock = await _body(request), self._world.clock
        try:
            if "speed" in body:
                clock.set_speed(float(body["speed"]))
            if "frozen" in body:
                clock.freeze(bool(body["frozen"]))
            if "advance_seconds" in body:
                clock.advance(float(body["advance_seconds"]))
        except (ValueError, TypeError) as error:
            raise ApiError(status=400, message=str(error)) from None
        return json_response(self._clock())

    async def latencies(self, request: Request) -> Response:
        known = [{"name": name, "what": one.what} for name, one in PROFILES.items()]
        return json_response({"known": known})

    async def set_latency(self, request: Request) -> Response:
        """Takes `name`; batches that exist keep the phases they were given."""
        body = await _body(request)
        try:
            self._world.latency = latency_named(str(body.get("name", "")))
        except ValueError as error:
            raise ApiError(status=400, message=str(error)) from None
        return json_response({"name": body["name"]})

    async def reset(self, request: Request) -> Response:
        self._world.reset()
        return json_response(self._clock())

    def _clock(self) -> JsonObject:
        clock = self._world.clock
        return {"now": clock.now(), "speed": clock.speed, "frozen": clock.frozen}


async def _body(request: Request) -> JsonObject:
    try:
        body = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(status=400, message="The body must be a JSON object.")
    return body
