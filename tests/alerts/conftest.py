"""Alerts are tested on both ledgers, with real servers at the other end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from tests.alerts.servers import Hook, Smtp
from tests.ledger.conftest import ledger, ledger_url

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="offpeak-airflow-"))

__all__ = ["ledger", "ledger_url"]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        yield server


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    with Smtp() as server:
        yield server
