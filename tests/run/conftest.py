from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offpeak.emulator import Emulator
from tests.run.making import Place


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[Emulator]:
    with Emulator(speed=60) as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Emulator:
    """The emulator as if it had just started."""
    shared_emulator.control.reset()
    return shared_emulator


@pytest.fixture(params=["openai", "anthropic"])
def place(request: pytest.FixtureRequest, tmp_path: Path, emulator: Emulator) -> Place:
    """Once for each provider."""
    return Place(folder=tmp_path, emulator=emulator, provider=request.param)


@pytest.fixture
def openai_place(tmp_path: Path, emulator: Emulator) -> Place:
    return Place(folder=tmp_path, emulator=emulator, provider="openai")
