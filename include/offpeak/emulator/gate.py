"""The gate before the application: keys are checked, calls counted, and faults strike."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from offpeak.emulator.answers import REQUEST_ID, error_body, json_response, provider_of
from offpeak.emulator.fault_table import Strikes
from offpeak.emulator.faults import Fault, Target
from offpeak.emulator.strikes import Call, strike
from offpeak.emulator.wire import ApiError
from offpeak.emulator.world import World

STAMP = "x-offpeak-emulator"


class Gate:
    """Wraps the application. It never stores or logs a header's value except the retry count."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app, self._world = app, world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        provider = provider_of(path, headers)
        request_id = scope["request_id"] = self._world.ids.new("req_")
        stamps = {STAMP: "1", REQUEST_ID[provider]: request_id}
        if path.startswith("/_emulator"):
            await self._app(scope, receive, _stamped(send, stamps))
            return
        journal, method = self._world.journal, scope["method"]
        journal.saw(method, path, retry=headers.get("x-stainless-retry-count", "none"))
        sent = _Status()
        call = Call(scope=scope, receive=receive, raw_send=send, send=_stamped(sent.watch(send), stamps),
                    provider=provider, request_id=request_id)  # fmt: skip
        try:
            await self._pass(call, headers)
        finally:
            journal.answered(method, path, status=sent.status)

    async def _pass(self, call: Call, headers: Headers) -> None:
        key = _key(headers)
        if not key:
            await _refuse(call, "You didn't provide an API key.")
            return
        target = Target(method=call.scope["method"], path=call.scope["path"])
        if self._world.faults.refuses(key):
            await _refuse(call, "Incorrect API key provided.")
            return
        fault: Fault | None = self._world.faults.strike(target, Strikes.CALL)
        if fault is None:
            await self._app(call.scope, call.receive, call.send)
        else:
            await strike(fault, call, self._app)


class _Status:
    """The status that was sent, if any was."""

    def __init__(self) -> None:
        self.status: int | None = None

    def watch(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            await send(message)

        return watched


def _key(headers: Headers) -> str:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


async def _refuse(call: Call, message: str) -> None:
    error = ApiError(status=401, message=message, code="invalid_api_key")
    body = error_body(error, call.provider, call.request_id)
    await json_response(body, status=401)(call.scope, call.receive, call.send)


def _stamped(send: Send, stamps: dict[str, str]) -> Send:
    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in stamps.items():
                headers[name] = value
        await send(message)

    return stamped
