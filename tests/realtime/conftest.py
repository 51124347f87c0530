"""The same emulator and places as the tests of whole runs."""

from __future__ import annotations

from tests.run.conftest import emulator, openai_place, place, shared_emulator

__all__ = ["emulator", "openai_place", "place", "shared_emulator"]
