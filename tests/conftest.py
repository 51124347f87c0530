"""Fixtures for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.postgres import postgres_server, postgres_url

__all__ = ["data_folder", "postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared test data: OFFPEAK_TEST_DATA, else `../shared/data` beside the project; else a skip."""
    beside = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("OFFPEAK_TEST_DATA") or beside).resolve()
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set OFFPEAK_TEST_DATA")
    return folder
