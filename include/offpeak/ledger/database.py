"""The database under the ledger: opened by the first transaction, its schema brought up to date first."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from offpeak.errors import LedgerConflict, OffpeakError, SpecError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

BUSY_SECONDS = 30
"""How long a SQLite write waits for the writers before it."""

_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2")
_WRITE = "offpeak_write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write transaction at one moment."""

    connection: Connection
    now: datetime

    def event(self, run_id: str, what: str, detail: str = "") -> None:
        """Add a line to the run's history; it stands or falls with the change."""
        from offpeak.ledger.schema import EVENTS

        values = {"run_id": run_id, "at": self.now, "what": what, "detail": detail}
        self.connection.execute(EVENTS.insert().values(values))


class Database:
    """One SQLite file or Postgres database. Safe for threads, and for processes that fork with it open."""

    def __init__(self, url: str) -> None:
        """SpecError for an address that is no ledger; the message shows no password. Opens nothing."""
        self.url = _driver_url(url)
        self.address = _shown(self.url)
        self.is_sqlite = self.url.startswith("sqlite")
        self._inherited: list[Engine] = []
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._engine: Engine | None = None
        self._opening = threading.Lock()
        # SQLite has one writer at a time: threads of one process queue here, in turn, and not by polling
        self._writing = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; rolled back at the end."""
        with self._errors(), self._open().connect() as connection:
            yield connection

    @contextmanager
    def changing(self, now: datetime) -> Iterator[Change]:
        """One transaction: all of the block is written, or, when it raises, nothing.

        On SQLite it is the only writer from its beginning on. SpecError for a naive `now`;
        LedgerConflict (transient) when the database cannot be reached or is busy for too long.
        """
        from offpeak.ledger.schema import in_utc

        moment = in_utc(now)
        with self._errors():
            engine = self._open().execution_options(**{_WRITE: True})
            with self._writing, engine.begin() as connection:
                yield Change(connection=connection, now=moment)

    def close(self) -> None:
        """Close the connections. The next verb opens new ones."""
        engine, self._engine = self._engine, None
        if engine is not None and self._pid == os.getpid():
            engine.dispose()

    def _open(self) -> Engine:
        if self._pid != os.getpid():
            # a forked child must neither use nor close its parent's connections: keep them, unused
            if self._engine is not None:
                self._inherited.append(self._engine)
            self._forget()
        with self._opening:
            if self._engine is None:
                from offpeak.ledger.migrate import bring_up_to_date

                engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)
                try:
                    bring_up_to_date(engine, self.address)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Speak of the database's own troubles in our words; the SQL and its values stay out of them."""
        from sqlalchemy.exc import IntegrityError, OperationalError, StatementError

        try:
            yield
        except IntegrityError as error:
            raise LedgerConflict(
                f"The ledger {self.address} refused a change that contradicts another one: "
                f"{_first_line(error.orig)}. Nothing of it was written; read the state again and go on."
            ) from error
        except OperationalError as error:
            raise LedgerConflict(
                f"The ledger {self.address} could not be used: {_first_line(error.orig)}. The change was not "
                "confirmed; nothing is paid or published by it. See that the database runs and is reachable "
                "(OFFPEAK_LEDGER names it), then try again: every step begins from what the ledger holds."
            ) from error
        except StatementError as error:
            if isinstance(error.orig, OffpeakError):
                raise error.orig from None
            raise


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]


def _driver_url(url: str) -> str:
    scheme, found, rest = url.partition("://")
    if found and scheme in _POSTGRES:
        return f"postgresql+psycopg://{rest}"
    if found and scheme == "sqlite":
        if rest in {"", "/", "/:memory:"} or "mode=memory" in rest:
            raise SpecError(
                "A ledger in memory would forget what was paid. Name a file: sqlite:////path/ledger.sqlite."
            )
        return url
    raise SpecError(
        f"{_shown(url)} is not a ledger. Give sqlite:////path/ledger.sqlite or postgresql://user@host/database."
    )


def _shown(url: str) -> str:
    """The address without user, password or options; nothing of one that leaves a password in doubt."""
    if "://" not in url:
        return "(an address without a scheme)"
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return "(an address that cannot be read)"
    if "@" in parts.path + parts.query + parts.fragment:  # a password with a raw / ? or #
        return "(an address that cannot be read)"
    return f"{parts.scheme.partition('+')[0]}://{host}{parts.path}"


def _sqlite_engine(url: str) -> Engine:
    from sqlalchemy import create_engine, event

    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    folder = Path(engine.url.database or "").absolute().parent
    if not folder.is_dir():
        raise SpecError(
            f"The ledger's folder {folder} is not there. Nothing was read or sent; make it first."
        )

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = (
            None  # transactions begin where `_begin` says, not where the driver guesses
        )
        connection.execute("PRAGMA foreign_keys = ON")
        # an intent must survive a power cut, or its batch is paid again: sync on every commit
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _postgres_engine(url: str) -> Engine:
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SpecError(
            f"The ledger's address {_shown(url)} cannot be read; percent-encode its password."
        ) from None
    # statements prepared by the server do not survive a pooler between it and us
    options: dict[str, Any] = {"prepare_threshold": None}
    if "connect_timeout" not in parsed.query:
        options["connect_timeout"] = 10
    return create_engine(parsed, pool_pre_ping=True, connect_args=options)
