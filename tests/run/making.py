"""Workloads, sites and runs for tests: the real library against the emulator over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.drive import drive
from offpeak.emulator import Emulator
from offpeak.ledger import Ledger, Run
from offpeak.polling import Pace
from offpeak.run import new_run, start
from offpeak.site import Interval, Site
from offpeak.store import Store

QUICK = Pace(
    first=timedelta(milliseconds=30),
    least=timedelta(milliseconds=30),
    most=timedelta(milliseconds=200),
    busy=timedelta(milliseconds=100),
    settle=timedelta(milliseconds=300),
)
MODELS = {"openai": "openai:gpt-5-mini", "anthropic": "anthropic:claude-haiku-4-5"}
CREATE_PATHS = {"openai": "/v1/batches", "anthropic": "/v1/messages/batches"}
WORDS = ("card", "refund", "transfer", "rate", "cash", "top up", "limit", "fee", "account", "pin")


class Sorted(BaseModel):
    """The answer of the tests' workload."""

    kind: Literal["card", "refund", "transfer", "other"]
    urgent: bool


@dataclass(kw_only=True)
class Place:
    """A store with rows, a ledger and an emulator: what one test works in."""

    folder: Path
    emulator: Emulator
    provider: str = "openai"
    ledger_url: str | None = None
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = {
            "OPENAI_API_KEY": "test-key",
            "OPENAI_BASE_URL": self.emulator.openai_url,
            "ANTHROPIC_API_KEY": "test-key",
            "ANTHROPIC_BASE_URL": self.emulator.anthropic_url,
        } | self.env

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def site(self, pace: Pace = QUICK) -> Site:
        """A new worker's site: its own ledger connection, its own name."""
        store = Store(str(self.store))
        url = self.ledger_url or store.default_ledger_url()
        return Site(store=store, ledger=Ledger(url), pace=pace, env=self.env)

    def rows(self, count: int, *, texts: Mapping[int, str] | None = None, name: str = "tickets") -> None:
        """Write `count` rows with distinct texts; `texts` replaces some by row number."""
        special = texts or {}
        table = pa.table(
            {
                "id": [f"t{n:05d}" for n in range(count)],
                "text": [special.get(n, f"My {WORDS[n % 10]} number {n} is wrong") for n in range(count)],
            }
        )
        folder = self.store / name
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "rows.parquet")

    def workload(self, **changes: Any) -> Workload:
        settings: dict[str, Any] = {
            "name": "sorting",
            "rows": parquet("{store}/tickets/*.parquet", key="id"),
            "prompt": Prompt(system="Sort bank tickets.", user="{{ row.text }}"),
            "answer": Sorted,
            "model": MODELS[self.provider],
            "into": parquet_table("{store}/tables/sorting"),
            "max_failed": 0.0,
        }
        return Workload(**{**settings, **changes})

    def begin(self, workload: Workload, site: Site, *, hour: int = 8, **options: Any) -> Run:
        interval = hourly(hour)
        return start(workload, site, new_run(workload, site, interval, **options), interval)

    def run(self, workload: Workload, *, hour: int = 8, **options: Any) -> Run:
        """A whole run, by one worker."""
        site = self.site()
        return drive(workload, site, self.begin(workload, site, hour=hour, **options).run_id)

    def table(self, run: Run) -> list[dict[str, Any]]:
        address = run.facts["table"]["address"]
        rows: list[dict[str, Any]] = pq.ParquetFile(address).read().to_pylist()
        return rows

    def creates(self) -> int:
        """Batches that exist at the provider because of us."""
        return len(self.emulator.control.creates())

    def billed(self) -> int:
        """Requests that the provider charges for, over everything so far."""
        return sum(spent.requests for spent in self.emulator.control.state().billed.values())


def hourly(hour: int) -> Interval:
    begins = datetime(2026, 11, 22, hour, tzinfo=UTC)
    return Interval(start=begins, end=begins + timedelta(hours=1))
