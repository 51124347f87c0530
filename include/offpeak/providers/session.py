"""A session: one account's SDK clients, and one way to send a call through them.

Calls go through the SDK's own client, so that credentials, version headers and proxies are as the SDK
has them; answers are read from the raw bytes, because the SDKs build objects out of anything.
"""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import IO, Any, NamedTuple
from weakref import WeakKeyDictionary

from offpeak.errors import ProviderError, SpecError
from offpeak.providers import failures
from offpeak.providers.failures import Attempt, Effect
from offpeak.providers.fields import excerpt, read_object
from offpeak.providers.looks import Looks, Seen
from offpeak.providers.provider import Account

_KEY = re.compile(rb"\bsk-[A-Za-z0-9*_.-]+")

LOOK_SECONDS = 60.0
"""Time-out of each read or write of a small call."""
_CONNECT_SECONDS = 30.0
TRANSFER_SECONDS = 600.0
"""The same for a call that sends or receives a whole file, or waits for a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP call. `what` completes the message `OpenAI: <what>: HTTP 500 ...`."""

    what: str
    method: str
    path: str
    effect: Effect = "none"
    query: Mapping[str, object] = field(default_factory=dict)
    body: object = None
    content: Iterable[bytes] | None = None
    file: tuple[str, IO[bytes]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = LOOK_SECONDS
    names_something: bool = False
    """The path holds an id that we were given: a 404 may then only be a matter of time."""


class Answer(NamedTuple):
    """An HTTP answer: a success, or on the realtime route a refusal of that one request."""

    status: int
    body: dict[str, Any]


class Session:
    """The clients of one account, made when first used. SDK retries are off, whatever the connection says."""

    def __init__(
        self,
        name: str,
        sdk: ModuleType,
        *,
        make: Callable[[], Any],
        amake: Callable[[], Any],
        account: Account,
    ) -> None:
        self._name, self._sdk, self._make, self._amake, self._account = name, sdk, make, amake, account
        self._client: Any = None
        # a connection belongs to the event loop it was opened in; a session may be used from several
        self._aclients: WeakKeyDictionary[AbstractEventLoop, Any] = WeakKeyDictionary()
        self._looks: WeakKeyDictionary[AbstractEventLoop, Looks] = WeakKeyDictionary()

    def send(self, call: Call) -> Answer:
        """Send `call` once. Raises ProviderError in the sense of `Client`."""
        attempt = self._attempt(call)
        client = self._sync()
        try:
            response = getattr(client, call.method)(call.path, **_arguments(call))
        except self._sdk.APIError as error:
            return self._refused(attempt, call, error)
        return self._answer(attempt, response.status_code, response.content)

    async def asend(self, call: Call) -> Answer:
        """`send`, without blocking."""
        attempt = self._attempt(call)
        response = await self._asent(attempt, call)
        return (
            response
            if isinstance(response, Answer)
            else self._answer(attempt, response.status_code, response.content)
        )

    async def alook(self, call: Call) -> Answer:
        """`asend` for a small GET that is made again and again: the SDK's own call once, then its repetition."""
        attempt, loop = self._attempt(call), get_running_loop()
        looks = self._looks.get(loop)
        if looks is None:
            response = await self._asent(attempt, call)
            if isinstance(response, Answer):
                return response
            self._looks[loop] = Looks.like(response.request, call.path)
            return self._answer(attempt, response.status_code, response.content)
        seen = await looks.get(call.path, call.seconds)
        if isinstance(seen, str):
            raise failures.no_answer(attempt, seen, sent=True)
        if seen.status >= 400:
            return self._refusal(attempt, call, seen)
        return self._answer(attempt, seen.status, seen.content)

    async def _asent(self, attempt: Attempt, call: Call) -> Any:
        """The SDK's response, or the answer that a refusal is."""
        loop = get_running_loop()
        client = self._aclients.get(loop)
        if client is None:
            client = self._aclients[loop] = self._made(self._amake)
        try:
            return await getattr(client, call.method)(call.path, **_arguments(call))
        except self._sdk.APIError as error:
            return self._refused(attempt, call, error)

    @contextmanager
    def stream(self, call: Call) -> Iterator[Iterator[bytes]]:
        """The bytes that answer `call`, as they arrive. A connection that breaks raises ProviderBusy."""
        import httpx2

        attempt = self._attempt(call)
        client = self._sync()
        try:
            response = client.get(call.path, stream=True, **_arguments(call))
        except self._sdk.APIError as error:
            self._refused(attempt, call, error)
            raise
        try:
            yield response.iter_bytes()
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise failures.no_answer(attempt, f"broken off: {type(error).__name__}", sent=True) from None
        finally:
            response.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        """Close the client of the running event loop; those of other loops are theirs to close."""
        loop = get_running_loop()
        client, looks = self._aclients.pop(loop, None), self._looks.pop(loop, None)
        if client is not None:
            await client.close()
        if looks is not None:
            await looks.close()

    def unreadable(self, call: Call, answer: object) -> ProviderError:
        """The error for an answer that is JSON but lacks what it must have."""
        return failures.unreadable_answer(self._attempt(call), excerpt(answer, 200).encode())

    def _sync(self) -> Any:
        if self._client is None:
            self._client = self._made(self._make)
        return self._client

    def _made(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except TypeError:
            raise SpecError(
                f"The {self._name} SDK's client does not take one of the options of the connection "
                f"{self._account.id}: {', '.join(sorted(self._account.options)) or 'none'}. "
                "Correct its extra."
            ) from None

    def _attempt(self, call: Call) -> Attempt:
        return Attempt(what=f"{self._name}: {call.what}", effect=call.effect, account=self._account.id)

    def _answer(self, attempt: Attempt, status: int, content: bytes) -> Answer:
        body = read_object(content)
        if body is None:
            raise failures.unreadable_answer(attempt, self._clean(content))
        return Answer(status, body)

    def _clean(self, raw: bytes) -> bytes:
        """An answer without keys: providers and gateways repeat them, whole or in part, in a 401."""
        if self._account.api_key:
            raw = raw.replace(self._account.api_key.encode(), b"***")
        return _KEY.sub(b"***", raw)

    def _refused(self, attempt: Attempt, call: Call, error: Any) -> Answer:
        """The refusal of one realtime request; raises our error for every other of the SDK's.

        The SDK's own is left out of the chain: it holds the request with its headers.
        """
        if not isinstance(error, self._sdk.APIStatusError):
            cause = error.__cause__ or error
            raise failures.no_answer(attempt, type(cause).__name__, sent=not _never_left(cause)) from None
        response = error.response
        return self._refusal(attempt, call, Seen(response.status_code, response.headers, response.content))

    def _refusal(self, attempt: Attempt, call: Call, seen: Seen) -> Answer:
        raw = self._clean(seen.content)
        body = read_object(raw)
        refusal = failures.read_refusal(
            seen.status,
            seen.headers,
            raw.decode("utf-8", "replace") if body is None else body,
            now=datetime.now(UTC),
        )
        if call.effect == "asks" and refusal.about_one_row:
            return Answer(refusal.status, body or {})
        if refusal.status == 404 and call.names_something:
            raise failures.not_found(attempt, refusal) from None
        raise failures.http_failure(attempt, refusal) from None


def _arguments(call: Call) -> dict[str, Any]:
    import httpx2

    headers = dict(call.headers)
    arguments: dict[str, Any] = {"cast_to": httpx2.Response}
    if call.body is not None:
        arguments["body"] = call.body
    if call.content is not None:
        arguments["content"] = call.content
    if call.file is not None:
        arguments["files"] = [("file", call.file)]
        headers["Content-Type"] = "multipart/form-data"
    timeout = httpx2.Timeout(call.seconds, connect=min(_CONNECT_SECONDS, call.seconds))
    options = {"headers": headers, "params": dict(call.query), "timeout": timeout}
    return {**arguments, "options": options}


def _never_left(cause: BaseException) -> bool:
    """Whether the connection was not even made, so that nothing of the request can have arrived."""
    import httpx2

    return isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
