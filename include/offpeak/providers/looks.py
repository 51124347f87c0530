"""Looks: one small GET repeated by a client that does nothing else, at a fifth of the SDK's work for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_OF_ONE_CALL = frozenset({"host", "content-length", "content-type", "connection", "transfer-encoding"})


class Seen(NamedTuple):
    """An HTTP answer as it came."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Looks:
    """GETs below one address, with the headers that the SDK sent. Belongs to one event loop."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self._address = address
        self._headers = {name: text for name, text in headers.items() if name.lower() not in _OF_ONE_CALL}
        self._session: Any = None

    @classmethod
    def like(cls, request: Any, path: str) -> Looks:
        """Looks like `request` (of httpx), which the SDK sent for `path`."""
        return cls(str(request.url).partition(path)[0], request.headers)

    async def get(self, path: str, seconds: float) -> Seen | str:
        """What `path` shows, or, in a word, why nothing came back."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, proxy=_proxy(self._address))
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.get(self._address + path, timeout=timeout) as response:
                return Seen(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _proxy(address: str) -> str | None:
    """The environment's proxy for `address`, found out once: the session would do it anew for every call."""
    parts = urlsplit(address)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
