"""Assets: what a DAG of ours reads and what it publishes, so that DAGs can wait for tables and Airflow shows both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset
from airflow.sdk.definitions.asset import AssetBooleanCondition

if TYPE_CHECKING:
    from offpeak.workload import Workload

_NAME_LENGTH = 200


def published(name: str) -> Asset:
    """The asset that a workload or pipeline of this name updates when it has published."""
    return Asset(name=f"offpeak_{name}")


def read_by(workload: Workload, schedule: Any) -> list[Any]:
    """The inlets of a workload: what its schedule waits for, and its source of rows as it describes itself."""
    # Airflow takes ASCII only; the rest of an address is written as in a URL
    source = quote(workload.rows.describe(), safe=" /:*{}.,=@_-")[:_NAME_LENGTH]
    return [*_assets(schedule), Asset(name=source)]


def _assets(schedule: Any) -> Iterator[Asset]:
    if isinstance(schedule, Asset):
        yield schedule
    elif isinstance(schedule, AssetBooleanCondition):
        yield from _assets(schedule.objects)
    elif isinstance(schedule, (list, tuple)):
        for one in schedule:
            yield from _assets(one)
