"""Connections: where a provider or a database is, and with which credentials.

On Airflow they are Airflow's own connections; without it they come from the same environment
variables that Airflow reads (`AIRFLOW_CONN_<ID>`, as JSON or URI). Secrets never show in a repr.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from offpeak.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection, in Airflow's fields."""

    id: str
    conn_type: str
    host: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    port: int | None = None
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Connections(Protocol):
    """Finds a connection by its id."""

    def get(self, connection_id: str) -> Connection | None:
        """The connection, or None when there is none of that id."""


@dataclass(frozen=True, slots=True)
class EnvConnections:
    """Connections from `AIRFLOW_CONN_<ID>` variables, in the two forms that Airflow accepts."""

    env: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def get(self, connection_id: str) -> Connection | None:
        """Read the variable for `connection_id`; SpecError when it is set but cannot be read."""
        variable = f"AIRFLOW_CONN_{connection_id.upper()}"
        text = self.env.get(variable, "").strip()
        if not text:
            return None
        read = _from_json if text.startswith("{") else _from_uri
        try:
            return read(connection_id, text)
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass  # the error below is raised outside: the parser's own holds the text, and so a password
        raise SpecError(
            f"The environment variable {variable} is set but is neither a connection in JSON "
            '({"conn_type": ..., "password": ...}) nor a connection URI. Correct or unset it.'
        )


def _from_json(connection_id: str, text: str) -> Connection:
    record = json.loads(text)

    def text_of(name: str) -> str:
        value = record.get(name)
        return "" if value is None else str(value)

    return Connection(
        id=connection_id,
        conn_type=text_of("conn_type") or text_of("type"),
        host=text_of("host"),
        login=text_of("login"),
        password=text_of("password"),
        port=int(record["port"]) if record.get("port") else None,
        schema=text_of("schema"),
        extra=_extra(record.get("extra") or {}),
    )


def _extra(given: object) -> Mapping[str, Any]:
    extra = json.loads(given) if isinstance(given, str) else given
    if not isinstance(extra, dict):
        raise TypeError("extra is not an object")
    return extra


def _host(parts: SplitResult) -> str:
    """The host; an address that was quoted into its place (`https%3A%2F%2F...`) keeps its case."""
    host = unquote(parts.hostname or "")
    if "/" in host:
        host = unquote(parts.netloc.rpartition("@")[2].partition(":")[0])
    return host


def _from_uri(connection_id: str, text: str) -> Connection:
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError("no scheme")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Connection(
        id=connection_id,
        conn_type="postgres" if parts.scheme == "postgresql" else parts.scheme.replace("-", "_"),
        host=_host(parts),
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        port=parts.port,
        schema=unquote(parts.path[1:]),
        extra=_extra(query["__extra__"] or {}) if "__extra__" in query else query,
    )
