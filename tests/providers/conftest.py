"""One emulator for all tests of a module, forgotten and frozen before each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offpeak.emulator import Emulator
from tests.providers.making import CASES, Bench


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with Emulator(frozen=True) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Emulator:
    running.control.reset()
    running.control.clear_faults()
    return running


def _bench(name: str, emulator: Emulator, folder: Path) -> Iterator[Bench]:
    case = next(case for case in CASES if case.name == name)
    made = Bench(case=case, emulator=emulator, folder=folder)
    yield made
    for client in made.clients:
        client.close()


@pytest.fixture(params=[case.name for case in CASES])
def bench(request: pytest.FixtureRequest, emulator: Emulator, tmp_path: Path) -> Iterator[Bench]:
    """Every provider in turn."""
    yield from _bench(request.param, emulator, tmp_path)


@pytest.fixture
def openai(emulator: Emulator, tmp_path: Path) -> Iterator[Bench]:
    yield from _bench("openai", emulator, tmp_path)


@pytest.fixture
def anthropic(emulator: Emulator, tmp_path: Path) -> Iterator[Bench]:
    yield from _bench("anthropic", emulator, tmp_path)
