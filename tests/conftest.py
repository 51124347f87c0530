"""Fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from offpeak.memory import uncollected
from tests.postgres import postgres_server, postgres_url

__all__ = ["data_folder", "postgres_server", "postgres_url"]

ROOT = Path(__file__).resolve().parents[1]
WAITING = ("tests/e2e/test_workloads.py", "tests/demo/", "tests/e2e/", "tests/chaos/", "tests/plugin/")
"""What waits most of its time, for an Airflow or for time to pass: it has an xdist_group. The longest first."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    with uncollected():  # most of it is importing
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait begin one after the other among the first half of the others: the processors are busy
    meanwhile, and nobody is left waiting at the end."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [file for file, own in files.items() if own[0].get_closest_marker("xdist_group")]
    order = [file for file in files if file not in waiting]
    apart = len(order) // (2 * len(waiting)) if waiting else 0
    for number, file in enumerate(sorted(waiting, key=_place)):
        order.insert(number * (apart + 1), file)
    items[:] = [item for file in order for item in files[file]]


def _place(file: Path) -> int:
    name = file.relative_to(ROOT).as_posix()
    return next((place for place, start in enumerate(WAITING) if name.startswith(start)), len(WAITING))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared test data: OFFPEAK_TEST_DATA, else `../shared/data` beside the project; else a skip."""
    beside = ROOT / ".." / "shared" / "data"
    folder = Path(os.environ.get("OFFPEAK_TEST_DATA") or beside).resolve()
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set OFFPEAK_TEST_DATA")
    return folder
