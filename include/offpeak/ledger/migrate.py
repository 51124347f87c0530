"""Bring a ledger's schema up to date. Any number of processes may start on an empty ledger at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from offpeak.errors import SpecError
from offpeak.ledger.schema import REVISIONS, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

_LOCK = 0x6F666670656B  # "offpek": this key of Postgres' advisory locks is ours
_WAL_WAIT_SECONDS = 30.0
_alembic = threading.Lock()  # its `context` is one per process, and two ledgers may open at once


def bring_up_to_date(engine: Engine, address: str) -> None:
    """Migrate the schema if it is missing or old: under a lock, in one transaction.

    Costs one SELECT when there is nothing to do. SpecError when a newer Offpeak made the ledger.
    """
    with engine.connect() as connection:
        found = _version(connection)
    if found == REVISIONS[-1]:
        return
    _refuse_newer(found, address)
    if engine.dialect.name == "sqlite":
        _use_wal(engine)
    with engine.execution_options(offpeak_write=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = _version(connection)  # another process may have been first
        _refuse_newer(found, address)
        if found != REVISIONS[-1]:
            _upgrade(connection)


def _version(connection: Connection) -> str | None:
    """The schema's revision, None before the first migration."""
    select = text(f"SELECT version_num FROM {VERSION_TABLE}")
    found: str | None
    try:
        with connection.begin_nested():
            found = connection.execute(select).scalar()
    except DBAPIError:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        # another process has made the table since, or the trouble is another one and shows again
        found = connection.execute(select).scalar()
    return found


def _refuse_newer(found: str | None, address: str) -> None:
    if found is not None and found not in REVISIONS:
        raise SpecError(
            f"The ledger {address} has schema {found}, and this Offpeak knows only up to {REVISIONS[-1]}: "
            "a newer Offpeak has used it. Nothing was read or changed. Upgrade Offpeak here, or name another "
            "ledger."
        )


def _use_wal(engine: Engine) -> None:
    """Readers and the writer then do not wait for each other. The setting stays with the file."""
    give_up = time.monotonic() + _WAL_WAIT_SECONDS
    while True:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except engine.dialect.loaded_dbapi.OperationalError:
            # SQLite does not wait for a lock here by itself; processes starting together do meet
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        finally:
            connection.close()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "offpeak.ledger:migrations")
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, "head")
