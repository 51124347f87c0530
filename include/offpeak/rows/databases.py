"""From a connection id or a URL to SQLAlchemy's own URL of a database to read from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.connections import Connection, Connections
from offpeak.errors import InputError, SpecError
from offpeak.rows.files import NOTHING_SENT
from offpeak.store import Store

if TYPE_CHECKING:
    from sqlalchemy import URL

_URL = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]*://")
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mssql": "mssql+pymssql",
    "mariadb": "mysql",
}
# what Airflow's connections carry for the driver itself; the rest of `extra` is Airflow's own
_DRIVER_EXTRAS = {
    "application_name",
    "charset",
    "connect_timeout",
    "options",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
}


def is_url(connection: str) -> bool:
    return _URL.match(connection) is not None


def shown(connection: str) -> str:
    """A connection as it may be shown: of a URL only its kind, host and database, nothing of the login."""
    if not is_url(connection):
        return connection
    scheme, rest = connection.split("://", 1)
    return f"{scheme.split('+')[0]}://{rest.rpartition('@')[2].split('?')[0]}"


def database_url(connection: str, connections: Connections, store: Store) -> URL:
    """The URL to connect to; `{store}` in it stands for the store.

    SpecError when there is no such connection, the URL cannot be read, or an SQLite file is not there
    (connecting would make an empty one).
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if is_url(connection):
        try:
            url = make_url(store.expand(connection))
        except (ArgumentError, ValueError):
            raise SpecError(
                f"The address of the database {shown(connection)} cannot be read. Write it as "
                "dialect+driver://user:password@host:port/database, with %-escapes in user and password."
            ) from None
        if url.drivername in {"postgres", "postgresql"}:
            url = url.set(drivername=_DRIVERS[url.drivername])
    else:
        known = connections.get(connection)
        if known is None:
            raise SpecError(
                f"There is no connection {connection!r}. {NOTHING_SENT} Add it in Airflow, or set "
                f"AIRFLOW_CONN_{connection.upper()} to its URI."
            )
        url = _from_connection(known)
    return _existing(url)


def _from_connection(connection: Connection) -> URL:
    from sqlalchemy.engine import URL

    if connection.conn_type == "sqlite":
        return URL.create("sqlite", database=_sqlite_path(connection))
    extra = {name: str(value) for name, value in connection.extra.items() if name in _DRIVER_EXTRAS}
    return URL.create(
        _DRIVERS.get(connection.conn_type, connection.conn_type),
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port,
        database=connection.schema or None,
        query=extra,
    )


def _sqlite_path(connection: Connection) -> str:
    # a URI of four slashes loses the one that made its path absolute
    path = connection.host or connection.schema
    return path if Path(path).is_absolute() or Path(path).exists() else f"/{path}"


def _existing(url: URL) -> URL:
    path = url.database or ""
    if not url.drivername.startswith("sqlite") or path in {"", ":memory:"} or path.startswith("file:"):
        return url
    if not Path(path).is_file():
        raise InputError(
            f"There is no SQLite file {Path(path).absolute()}. {NOTHING_SENT} Correct the connection, "
            "or bring the file before the run."
        )
    return url
