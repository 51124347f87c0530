from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offpeak.emulator import Emulator
from tests.evals.making import Evaluating


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[Emulator]:
    with Emulator(speed=200) as emulator:
        yield emulator


@pytest.fixture
def place(tmp_path: Path, shared_emulator: Emulator) -> Evaluating:
    """A store with the emulator behind it, as if it had just started."""
    shared_emulator.control.reset()
    return Evaluating(folder=tmp_path, emulator=shared_emulator)
