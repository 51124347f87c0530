from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offpeak.emulator import Emulator
from tests.digest.making import Desk


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[Emulator]:
    with Emulator(speed=600) as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Emulator:
    """The emulator as if it had just started."""
    shared_emulator.control.reset()
    return shared_emulator


@pytest.fixture
def desk(tmp_path: Path, emulator: Emulator) -> Desk:
    return Desk(folder=tmp_path, emulator=emulator)


@pytest.fixture(params=["openai", "anthropic"])
def any_desk(request: pytest.FixtureRequest, tmp_path: Path, emulator: Emulator) -> Desk:
    """Once for each provider."""
    return Desk(folder=tmp_path, emulator=emulator, provider=request.param)
