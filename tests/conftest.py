"""Fixtures for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.postgres import postgres_server, postgres_url

__all__ = ["data_folder", "postgres_server", "postgres_url"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for an Airflow most of its time begins first, so that nobody waits for it at the end: the two large
    scenarios at once, the demo and the plugin after half of the others."""
    later = ("tests/demo/", "tests/plugin/")
    on_airflow = [item for item in items if item.get_closest_marker("xdist_group")]
    first = [item for item in on_airflow if not item.nodeid.startswith(later)]
    others = [item for item in items if item not in set(on_airflow)]
    half = next(
        (at for at in range(len(others) // 2, len(others)) if others[at].path != others[at - 1].path),
        len(others),
    )
    rest = [item for item in on_airflow if item not in set(first)]
    items[:] = [*first, *others[:half], *rest, *others[half:]]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared test data: OFFPEAK_TEST_DATA, else `../shared/data` beside the project; else a skip."""
    beside = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("OFFPEAK_TEST_DATA") or beside).resolve()
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set OFFPEAK_TEST_DATA")
    return folder
