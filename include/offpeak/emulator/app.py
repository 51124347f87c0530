"""The emulator as one ASGI application: both providers' paths and the control paths."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from offpeak.emulator.answers import error_response, provider_of
from offpeak.emulator.as_anthropic.batches import BatchEndpoints as AnthropicBatches
from offpeak.emulator.as_anthropic.realtime import RealtimeEndpoints as AnthropicRealtime
from offpeak.emulator.as_openai.batches import BatchEndpoints as OpenAIBatches
from offpeak.emulator.as_openai.files import FileEndpoints
from offpeak.emulator.as_openai.realtime import RealtimeEndpoints as OpenAIRealtime
from offpeak.emulator.controls import ControlEndpoints
from offpeak.emulator.gate import Gate
from offpeak.emulator.wire import ApiError, not_found
from offpeak.emulator.world import World


def build_app(world: World) -> ASGIApp:
    """The whole emulator behind its gate, where keys are checked, calls counted and faults strike."""
    routes = [*_openai(world), *_anthropic(world), *_shared(world), *_control(world)]
    handlers: Any = {ApiError: error_response, 404: _no_route, 405: _no_route}
    return Gate(Starlette(routes=routes, exception_handlers=handlers), world)


def _openai(world: World) -> list[Route]:
    files, batches, realtime = FileEndpoints(world), OpenAIBatches(world), OpenAIRealtime(world)
    return [
        Route("/v1/files", files.create, methods=["POST"]),
        Route("/v1/files", files.list, methods=["GET"]),
        Route("/v1/files/{file_id}", files.retrieve, methods=["GET"]),
        Route("/v1/files/{file_id}", files.delete, methods=["DELETE"]),
        Route("/v1/files/{file_id}/content", files.content, methods=["GET"]),
        Route("/v1/batches", batches.create, methods=["POST"]),
        Route("/v1/batches", batches.list, methods=["GET"]),
        Route("/v1/batches/{batch_id}", batches.retrieve, methods=["GET"]),
        Route("/v1/batches/{batch_id}/cancel", batches.cancel, methods=["POST"]),
        Route("/v1/chat/completions", realtime.answer, methods=["POST"]),
        Route("/v1/responses", realtime.answer, methods=["POST"]),
        Route("/v1/embeddings", realtime.answer, methods=["POST"]),
    ]


def _anthropic(world: World) -> list[Route]:
    batches, realtime = AnthropicBatches(world), AnthropicRealtime(world)
    one = "/v1/messages/batches/{batch_id}"
    return [
        Route("/v1/messages", realtime.message, methods=["POST"]),
        Route("/v1/messages/count_tokens", realtime.count, methods=["POST"]),
        Route("/v1/messages/batches", batches.create, methods=["POST"]),
        Route("/v1/messages/batches", batches.list, methods=["GET"]),
        Route(one, batches.retrieve, methods=["GET"]),
        Route(one, batches.delete, methods=["DELETE"]),
        Route(one + "/cancel", batches.cancel, methods=["POST"]),
        Route(one + "/results", batches.results, methods=["GET"]),
    ]


def _shared(world: World) -> list[Route]:
    by_provider = {"openai": OpenAIRealtime(world).models, "anthropic": AnthropicRealtime(world).models}

    async def models(request: Request) -> Response:
        return await by_provider[provider_of(request.url.path, request.headers)](request)

    return [Route("/v1/models", models, methods=["GET"])]


def _control(world: World) -> list[Route]:
    control = ControlEndpoints(world)
    return [
        Route("/_emulator/state", control.state, methods=["GET"]),
        Route("/_emulator/requests", control.requests, methods=["GET"]),
        Route("/_emulator/creates", control.creates, methods=["GET"]),
        Route("/_emulator/faults", control.faults, methods=["GET"]),
        Route("/_emulator/faults", control.add_fault, methods=["POST"]),
        Route("/_emulator/faults", control.clear_faults, methods=["DELETE"]),
        Route("/_emulator/clock", control.clock, methods=["GET"]),
        Route("/_emulator/clock", control.set_clock, methods=["POST"]),
        Route("/_emulator/latency", control.latencies, methods=["GET"]),
        Route("/_emulator/latency", control.set_latency, methods=["POST"]),
        Route("/_emulator/reset", control.reset, methods=["POST"]),
    ]


def _no_route(request: Request, error: Exception) -> Response:
    message = f"Unknown request URL: {request.method} {request.url.path}."
    return error_response(request, not_found(message))
