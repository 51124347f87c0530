"""A small staged file in the layout of a table, and one function that judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Stage = Callable[[Mapping[str, Any]], Path]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Write columns as a staged file; the key and the outcome are added where they are not given."""

    def write(columns: Mapping[str, Any]) -> Path:
        rows = len(next(iter(columns.values())))
        whole = {
            "ticket_id": list(range(1, rows + 1)),
            **columns,
        }
        whole.setdefault("_outcome", ["answered"] * rows)
        path = tmp_path / "staged [1].parquet"
        pq.write_table(pa.table(whole), path)
        return path

    return write
