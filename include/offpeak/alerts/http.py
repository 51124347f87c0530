"""One POST or GET to an address that may be a secret: it is in no error, and no answer is believed twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from offpeak.alerts.channels import is_url
from offpeak.connections import Connection, Connections
from offpeak.errors import DeliveryError, SpecError

SECONDS = 20.0
"""An answer that takes longer is none."""
EXCERPT = 120
"""So many characters of an answer are told in an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to call, and with which credentials. Shows nothing but the host."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    login: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


def address_of(given: str, connections: Connections) -> Address:
    """A URL as it is, or the HTTP connection of that id, read as Airflow does: host (with or without scheme),
    schema `https` or else http, login for basic authentication, extra for headers. DeliveryError for none."""
    if is_url(given):
        return Address(url=given)
    found = connection_of(given, connections)
    kinds = ("http", "https")
    scheme = next((kind for kind in (found.schema, found.conn_type) if kind in kinds), "http")
    url = found.host if "://" in found.host else f"{scheme}://{found.host}"
    if found.port and urlsplit(url).port is None:
        parts = urlsplit(url)
        url = parts._replace(netloc=f"{parts.netloc}:{found.port}").geturl()
    if found.schema and found.schema not in kinds:
        url = f"{url.rstrip('/')}/{found.schema}"  # the path, where the connection was given as a URI
    if not is_url(url):
        raise DeliveryError(f"The connection {given} holds no http(s) address; put it into its host.")
    headers = {name: str(value) for name, value in found.extra.items() if isinstance(value, str | int)}
    return Address(url=url, headers=headers, login=(found.login, found.password) if found.login else None)


def connection_of(connection_id: str, connections: Connections) -> Connection:
    """DeliveryError when there is none of that id, or it cannot be read."""
    try:
        found = connections.get(connection_id)
    except SpecError as error:
        raise DeliveryError(str(error)) from None
    if found is None:
        raise DeliveryError(
            f"There is no connection {connection_id!r} here. Make it in Airflow, or set "
            f"AIRFLOW_CONN_{connection_id.upper()}; the alert is kept and tried again."
        )
    return found


def post(to: Address, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> str:
    """The answer's text, when it is a 2xx; DeliveryError otherwise, without the address's path or a header."""
    return _call("POST", to, {**to.headers, **(headers or {})}, body)


def get(to: Address) -> None:
    """DeliveryError unless the answer is a 2xx."""
    _call("GET", to, to.headers, None)


def _call(method: str, to: Address, headers: Mapping[str, str], body: Mapping[str, Any] | None) -> str:
    import httpx2

    problem = ""
    try:
        with httpx2.Client(timeout=SECONDS, follow_redirects=False) as client:
            answer = client.request(method, to.url, json=body, headers=dict(headers), auth=to.login)
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        # raised below and not from here: the client's own error may name the whole address
        problem = f"{to.host} did not answer: {type(error).__name__}"
    else:
        if not 200 <= answer.status_code < 300:
            said = " ".join(answer.text[:EXCERPT].split())
            problem = f"{to.host} answered {answer.status_code}{f': {said}' if said else ''}"
    if problem:
        raise DeliveryError(f"{problem}. No run is changed by it.")
    return answer.text
