"""A private Postgres for the tests: one server per test session, one fresh database per test.

`postgres_url` is a SQLAlchemy URL (`postgresql+psycopg://...`) of an empty database that is dropped
afterwards. Without server binaries the tests that ask for it are skipped. Found through `shutil.which`,
else in Debian's /usr/lib/postgresql; run as the user `postgres` or `nobody` when the tests run as root,
because the server refuses to be root.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

_USER = "offpeak"
_QUICK = "-F -c full_page_writes=off -c synchronous_commit=off -c max_connections=100"
"""Nothing here has to survive a power cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running server on localhost. Password logins over TCP, so that wrong passwords fail as in life."""

    port: int
    password: str
    binaries: Path
    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Run one administrative statement outside any transaction."""
        dsn = self.url("postgres").replace("+psycopg", "")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def stop(self) -> None:
        """Gone at once, as when its machine loses power: nobody is asked, nothing is rounded off."""
        _run(
            self.folder, self.binaries / "pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop"
        )

    def start(self) -> None:
        """Back on the same port with what was committed; returns when it answers."""
        _launch(self.binaries, self.folder, self.port)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's own server, stopped and removed at its end."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no Postgres server here: neither postgres on PATH nor /usr/lib/postgresql/*/bin/initdb")
    with served(binaries) as server:
        yield server


@contextmanager
def served(binaries: Path) -> Iterator[PostgresServer]:
    """A server of these binaries on a free port, stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="offpeak-pg-"))
    password = secrets.token_urlsafe(12)
    try:
        _initialise(binaries, folder, password)
        port = _start(binaries, folder)
        server = PostgresServer(port=port, password=password, binaries=binaries, folder=folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A SQLAlchemy URL of a fresh, empty database."""
    database = f"test_{secrets.token_hex(6)}"
    postgres_server.execute(f"CREATE DATABASE {database}")
    yield postgres_server.url(database)
    postgres_server.execute(f"DROP DATABASE {database} WITH (FORCE)")


def _binaries() -> Path | None:
    """The folder with initdb and pg_ctl, the newest where there are several."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)[::-1]
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def _initialise(binaries: Path, folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    account = _account()
    if account is not None:
        for path in (folder, secret):
            os.chown(path, account.pw_uid, account.pw_gid)
    _run(
        folder,
        *(binaries / "initdb", "-D", folder / "data", "-U", _USER, "--no-sync", "-E", "UTF8", "--locale=C"),
        *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"),
    )


def _start(binaries: Path, folder: Path) -> int:
    """Start the server and wait until it answers. Another process may take a free port first: try again."""
    for attempt in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        try:
            _launch(binaries, folder, port)
            return port
        except RuntimeError:
            if attempt == 4:
                raise
    raise AssertionError("unreachable")


def _launch(binaries: Path, folder: Path, port: int) -> None:
    options = f"{_QUICK} -h 127.0.0.1 -p {port} -k {folder}"
    command = ("-D", folder / "data", "-l", folder / "log", "-o", options, "-w", "start")
    _run(folder, binaries / "pg_ctl", *command)


def _run(folder: Path, *command: str | Path) -> None:
    account = _account()
    with (folder / f"{Path(command[0]).name}.out").open("w+") as output:
        # not a pipe: the server would inherit it and never close it
        code = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        ).returncode
        if code:
            output.seek(0)
            log = folder / "log"
            raise RuntimeError(output.read() + (log.read_text()[-2000:] if log.exists() else ""))


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: nobody else unless the tests run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]
