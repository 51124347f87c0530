"""How each call fault is carried out on the connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offpeak.emulator.answers import error_body, json_response
from offpeak.emulator.faults import Fault
from offpeak.emulator.wire import ApiError

BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
WAITING_ROOM = b"<html><body>Checking your connection ...</body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP call on its way to the application."""

    scope: Scope
    receive: Receive
    raw_send: Send  # the server's own, through which the connection can be reached
    send: Send  # stamps and watches what is sent
    provider: str
    request_id: str


async def strike(fault: Fault, call: Call, app: ASGIApp) -> None:
    """Answers the call as the fault has it."""
    carry_out = _SPECIAL.get(fault.kind.name)
    if carry_out is not None:
        await carry_out(fault, call, app)
    else:
        await _send_error(fault, call)


async def _send_error(fault: Fault, call: Call) -> None:
    headers = {}
    if "should_retry" in fault.params:
        headers["x-should-retry"] = "true" if fault.params["should_retry"] else "false"
    if "retry_after" in fault.params or fault.kind.name == "rate_limited":
        headers["retry-after"] = str(fault.params.get("retry_after", 1))
    if fault.kind.name == "bad_gateway":
        await HTMLResponse(BAD_GATEWAY, 502, headers)(call.scope, call.receive, call.send)
        return
    error = _error(fault, call)
    body = error_body(error, call.provider, call.request_id)
    await json_response(body, status=error.status, headers=headers)(call.scope, call.receive, call.send)


def _error(fault: Fault, call: Call) -> ApiError:
    name = fault.kind.name
    if name == "insufficient_quota" and call.provider == "anthropic":
        message = "This organization has reached its monthly spend limit."
        return ApiError(status=429, message=message, code="enforced_spend_limit_reached")
    if name == "http_error":
        message = str(fault.params.get("message", "The emulator was told to fail this call."))
        return ApiError(status=int(fault.params.get("status", 400)), message=message)
    status, told, kind, code = _ERRORS[name]
    return ApiError(status=status, message=told, type=kind, code=code)


_ERRORS: dict[str, tuple[int, str, str, str | None]] = {
    "rate_limited": (429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    "insufficient_quota": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "server_error": (500, "The server had an error while processing your request.", "server_error", None),
    "list_fails": (500, "The server had an error while processing your request.", "server_error", None),
    "unavailable": (503, "The engine is currently overloaded, please try again later.", "server_error", None),
    "overloaded": (529, "Overloaded", "overloaded_error", None),
    "not_found": (404, "Not found.", "not_found_error", None),
    "bad_key": (401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
}


async def _unreachable(fault: Fault, call: Call, app: ASGIApp) -> None:
    await reset_connection(call)


async def _lost_response(fault: Fault, call: Call, app: ASGIApp) -> None:
    async def swallow(message: Message) -> None:
        return None

    await app(call.scope, call.receive, swallow)
    await reset_connection(call)


async def _slow_body(fault: Fault, call: Call, app: ASGIApp) -> None:
    pieces = max(1, int(fault.params.get("pieces", 4)))
    pause = float(fault.params.get("pause_seconds", 0.05))

    async def slowly(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or not body:
            await call.send(message)
            return
        step = -(-len(body) // pieces)
        for start in range(0, len(body), step):
            more = start + step < len(body) or message.get("more_body", False)
            await call.send({**message, "body": body[start : start + step], "more_body": more})
            await asyncio.sleep(pause)

    await app(call.scope, call.receive, slowly)


async def _cut_download(fault: Fault, call: Call, app: ASGIApp) -> None:
    """Sends a share of the body: with a matching length if truncated, else resets the connection."""
    reset = fault.kind.name == "reset_download"
    share = float(fault.params.get("share", 0.5))
    left = 0

    async def cutting(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            left = int(int(headers.get("content-length", "0")) * share)
            if not reset:
                headers["content-length"] = str(left)
            await call.send(message)
            return
        body = message.get("body", b"")[:left]
        left -= len(body)
        more = message.get("more_body", False)
        if body or not reset:
            await call.send({**message, "body": body, "more_body": more or reset})
        if reset and (left == 0 or not more):
            await reset_connection(call)

    await app(call.scope, call.receive, cutting)


async def _unknown_status(fault: Fault, call: Call, app: ASGIApp) -> None:
    shown = str(fault.params.get("status", "paused"))

    def rewrite(start: Message, body: bytes) -> bytes:
        value: Any = orjson.loads(body)
        for name in ("status", "processing_status"):
            if name in value:
                value[name] = shown
        return orjson.dumps(value)

    await _rewritten(call, app, rewrite)


async def _html_success(fault: Fault, call: Call, app: ASGIApp) -> None:
    def rewrite(start: Message, body: bytes) -> bytes:
        MutableHeaders(scope=start)["content-type"] = "text/html; charset=utf-8"
        return WAITING_ROOM

    await _rewritten(call, app, rewrite)


async def _rewritten(call: Call, app: ASGIApp, rewrite: Callable[[Message, bytes], bytes]) -> None:
    start: Message = {}
    body = bytearray()

    async def collect(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    await app(call.scope, call.receive, collect)
    changed = rewrite(start, bytes(body)) if start["status"] == 200 else bytes(body)
    MutableHeaders(scope=start)["content-length"] = str(len(changed))
    await call.send(start)
    await call.send({"type": "http.response.body", "body": changed})


_SPECIAL: dict[str, Callable[[Fault, Call, ASGIApp], Awaitable[None]]] = {
    "unreachable": _unreachable,
    "lost_response": _lost_response,
    "slow_body": _slow_body,
    "reset_download": _cut_download,
    "truncated_results": _cut_download,
    "unknown_status": _unknown_status,
    "html_success": _html_success,
}


async def reset_connection(call: Call) -> None:
    """Ends the TCP connection with a reset; what was sent before it still arrives."""
    # The ASGI interface has no such message, so the server's own connection is reached for.
    transport: asyncio.Transport = getattr(call.raw_send, "__self__").transport  # noqa: B009
    while transport.get_write_buffer_size() and not transport.is_closing():
        await asyncio.sleep(0)
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while (await call.receive())["type"] != "http.disconnect":
        pass
