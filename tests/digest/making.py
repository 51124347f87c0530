"""Digests for tests: items in a store, nights that are carried out through the library against the emulator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offpeak import parquet, parquet_table
from offpeak.digest import Digest
from offpeak.drive import drive
from offpeak.ledger import Run
from offpeak.pipeline import Finished
from offpeak.run import new_run, start
from offpeak.site import Interval, Site
from offpeak.stage import finish
from offpeak.workload import Workload
from tests.run.making import MODELS, Place

NIGHT = datetime(2026, 11, 24, tzinfo=UTC)
DAY = timedelta(days=1)
SMALL = 1_000
"""Tokens of a window in which a few dozen tickets are more than one."""
TROUBLES = (
    "The card terminal at the bakery refuses every payment",
    "My transfer to Ada has not arrived since Monday",
    "The cash machine in Leeds kept the notes",
    "Nobody answers the phone of the branch in Porto",
    "The app closes when I open the statement of May",
)


def night(number: int = 0) -> Interval:
    """The night with this number, 0 the first."""
    return Interval(start=NIGHT + number * DAY, end=NIGHT + (number + 1) * DAY)


def item(key: str, team: str, text: str, *, day: int = 0, hour: int = 9, **more: Any) -> dict[str, Any]:
    """A ticket; `day` counts from the first night, negative before it."""
    created_at = NIGHT + day * DAY + timedelta(hours=hour)
    return {"ticket_id": key, "team": team, "text": text, "created_at": created_at, "channel": "app", **more}


def tickets(team: str, count: int, *, day: int = 0) -> list[dict[str, Any]]:
    """So many tickets of a team on a day, all of them different."""
    return [
        item(f"{team[:3].upper()}{day + 50}-{n:03d}", team, f"{TROUBLES[n % 5]}, case {n} of mine.", day=day)
        for n in range(count)
    ]


@dataclass(kw_only=True)
class Desk(Place):
    """A place whose rows are tickets with teams and days."""

    def items(self, rows: Iterable[Mapping[str, Any]], name: str = "tickets") -> None:
        folder = self.store / "items"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), folder / f"{name}.parquet")

    def digest(self, **changes: Any) -> Digest:
        settings: dict[str, Any] = {
            "name": "nightly",
            "items": parquet("{store}/items/*.parquet", key="ticket_id"),
            "group": "team",
            "text": "text",
            "time": "created_at",
            "about": "the tickets of one team",
            "model": MODELS[self.provider],
            "window_tokens": SMALL,
            "statement_characters": 200,
            "into": parquet_table("{store}/tables/nightly"),
        }
        return Digest(**{**settings, **changes})

    def stage(self, stage: Workload, interval: Interval, site: Site) -> Run:
        run = start(stage, site, new_run(stage, site, interval), interval)
        return drive(stage, site, run.run_id)

    def stages(self, digest: Digest, interval: Interval | None = None) -> dict[str, Run]:
        """Every stage of a night, by its name."""
        site, when = self.site(), interval or night()
        return {stage.name: self.stage(stage, when, site) for stage in digest.pipeline.stages()}

    def finished(self, digest: Digest, interval: Interval | None = None) -> Finished:
        """A whole night."""
        when = interval or night()
        self.stages(digest, when)
        return finish(digest.pipeline, self.site(), when)

    def digests(self, digest: Digest, interval: Interval | None = None) -> dict[str, dict[str, Any]]:
        """The rows of a night's table, by team."""
        run = self.stages(digest, interval)[digest.name]
        return {row[digest.group or "part"]: row for row in self.table(run)}

    def text(self, name: str) -> str:
        return (self.store / "digests" / "nightly" / name).read_text("utf-8")
