"""Where a Postgres table's database is: an Airflow connection or a URL, and a session in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offpeak.errors import SpecError, TableError

if TYPE_CHECKING:
    import psycopg

    from offpeak.connections import Connections

CONNECT_SECONDS = 15
LOCK_SECONDS = 300
"""How long a publish waits for another publish into the same table."""

_SESSION = f"-c TimeZone=UTC -c lock_timeout={LOCK_SECONDS}s -c client_encoding=UTF8"
_EXTRAS = frozenset(
    {
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslcrl",
        "channel_binding",
        "target_session_attrs",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "connect_timeout",
        "options",
        "hostaddr",
        "service",
        "passfile",
    }
)
"""Of a connection's extra only these are libpq's; the others are Airflow's own."""


def is_url(connection: str) -> bool:
    return "://" in connection


def parameters(connection: str, connections: Connections) -> dict[str, Any]:
    """The libpq parameters of a URL or a connection id. SpecError, without the URL's words, if neither."""
    found = _of_url(connection) if is_url(connection) else _of_connection(connection, connections)
    found.setdefault("connect_timeout", CONNECT_SECONDS)
    found.setdefault("application_name", "offpeak")
    found["options"] = f"{found.get('options') or ''} {_SESSION}".strip()
    return found


def _of_url(url: str) -> dict[str, Any]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    scheme, rest = url.split("://", 1)
    try:
        if scheme.partition("+")[0] not in {"postgres", "postgresql"}:
            raise ValueError("another scheme")
        return dict(conninfo_to_dict(f"postgresql://{rest}"))
    except (psycopg.Error, ValueError):
        # the text holds a password, and the parser's message repeats the text
        raise SpecError(
            "The URL of a Postgres table cannot be read. Write "
            "postgresql://user:password@host:port/database, with special characters percent-encoded, or "
            "better the id of a connection."
        ) from None


def _of_connection(connection_id: str, connections: Connections) -> dict[str, Any]:
    found = connections.get(connection_id)
    if found is None:
        raise SpecError(
            f"The connection {connection_id!r} of a Postgres table does not exist. Add it in Airflow, or set "
            f"AIRFLOW_CONN_{connection_id.upper()}."
        )
    if found.conn_type not in {"postgres", "postgresql"}:
        raise SpecError(
            f"The connection {connection_id!r} is of type {found.conn_type!r}, not postgres. Name another, "
            "or correct its type."
        )
    named = {
        "host": found.host,
        "port": found.port,
        "user": found.login,
        "password": found.password,
        "dbname": found.schema,
    }
    extras = {name: str(value) for name, value in found.extra.items() if name in _EXTRAS}
    return {name: value for name, value in named.items() if value} | extras


def connect(found: dict[str, Any], address: str) -> psycopg.Connection[tuple[Any, ...]]:
    """A session whose statements take `$1`, so that a `%` in a column's name means nothing."""
    import psycopg

    try:
        return psycopg.connect(**found, cursor_factory=psycopg.RawCursor)
    except psycopg.Error as error:
        said = str(error)
        if password := found.get("password"):
            said = said.replace(str(password), "***")
        raise TableError(
            f"{address} could not be reached: {said.strip()}. Nothing was changed. Check that the server "
            "runs and that the connection's host, user and password are right, then run the step again."
        ) from None
