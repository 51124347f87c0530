"""The three kinds of vector table, each on something real, and an emulator to fill them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from offpeak.connections import EnvConnections
from offpeak.embeddings import duckdb_vectors, parquet_vectors, postgres_vectors
from offpeak.embeddings.versions import OpenVectors, VectorTable
from offpeak.emulator import Emulator
from offpeak.store import Store
from tests.embeddings.pgvector_server import pgvector_server, pgvector_url
from tests.embeddings.reading import duckdb_rows, parquet_rows, postgres_rows
from tests.run.making import Place as Shop

__all__ = ["pgvector_server", "pgvector_url"]
KINDS = ("parquet", "duckdb", "postgres", "pgvector")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One table under test, and how a reader who does not know Offpeak reads it."""

    kind: str
    spec: VectorTable
    store: Store
    read: Callable[[], list[dict[str, Any]]]
    merges: bool = True

    def open(self, version: str = "first") -> OpenVectors:
        return self.spec.of_version(version).open(self.store, EnvConnections({}))

    def rows(self) -> dict[Any, dict[str, Any]]:
        return {row["ticket_id"]: row for row in self.read()}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    store = Store(str(tmp_path / "store"))
    root = Path(store.root)
    root.mkdir()
    if request.param == "parquet":
        spec: VectorTable = parquet_vectors("{store}/tickets")
        read = lambda: parquet_rows(root / "tickets")  # noqa: E731
    elif request.param == "duckdb":
        spec = duckdb_vectors("{store}/w.duckdb", "tickets")
        read = lambda: duckdb_rows(root / "w.duckdb", "tickets")  # noqa: E731
    else:
        url = request.getfixturevalue(f"{request.param}_url")
        spec = postgres_vectors(url, "tickets")
        read = lambda: postgres_rows(url, "tickets")  # noqa: E731
    return Place(kind=request.param, spec=spec, store=store, read=read)


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[Emulator]:
    with Emulator(speed=60) as emulator:
        yield emulator


@pytest.fixture
def shop(tmp_path: Path, shared_emulator: Emulator) -> Shop:
    """A store, a ledger and an emulator as if it had just started."""
    shared_emulator.control.reset()
    return Shop(folder=tmp_path, emulator=shared_emulator)
