"""Runs to report on, made by the library's own functions: a real ledger, store, plan, collect, check, publish."""

from __future__ import annotations

import csv as std_csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel

from offpeak import gxe, run
from offpeak.advance import Done, advance
from offpeak.errors import OffpeakError
from offpeak.ledger import Ledger
from offpeak.ledger.records import Run
from offpeak.prompt import Prompt
from offpeak.providers.provider import Client
from offpeak.report import write_report
from offpeak.rows.csv import csv
from offpeak.site import Interval, Site
from offpeak.states import RunState
from offpeak.store import Store
from offpeak.tables.parquet import parquet_table
from offpeak.workload import Workload
from tests.report.desk import Answer, Clock, Desk, said

DAY = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
INTENTS = ("refund", "card_lost", "other")


class Triage(BaseModel):
    intent: Literal["refund", "card_lost", "other"]
    confidence: float
    summary: str


def plain_answer(text: str, round_number: int) -> dict[str, Any]:
    """A good answer that depends on the row's own number only."""
    number = int(text.split()[1])
    intent = INTENTS[number % 3] if number % 5 else "refund"
    answer = {"intent": intent, "confidence": round(0.5 + number % 50 / 100, 2), "summary": f"about {number}"}
    return said(json.dumps(answer))


def workload(**changes: Any) -> Workload:
    made: dict[str, Any] = {
        "name": "ticket_triage",
        "rows": csv("{store}/tickets.csv", key="ticket_id"),
        "prompt": Prompt(system="You sort bank tickets.\nBe brief.", user="{{ row.text }}"),
        "answer": Triage,
        "model": "openai:gpt-5-mini",
        "into": parquet_table("{store}/tables/triage"),
        "checks": [gxe.ExpectColumnValuesToBeBetween(column="confidence", min_value=0, max_value=1)],
        "due": timedelta(minutes=45),
        "max_failed": 0.2,
        "rounds": 2,
        **changes,
    }
    return Workload(**made)


@dataclass
class Place:
    """A site in a folder, with a clock of its own."""

    folder: Path
    clock: Clock = field(default_factory=lambda: Clock(DAY))
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        self.site = Site(
            store=Store(str(self.folder / "store")),
            ledger=Ledger(f"sqlite:///{self.folder}/ledger.sqlite", clock=self.clock),
            now=self.clock,
            worker="here:1:test",
            env={"OPENAI_API_KEY": "sk-never-shown"},
        )

    def tickets(self, count: int, texts: Sequence[str] | None = None) -> None:
        """The input: `ticket 1 ...` and so on, or the given texts."""
        path = Path(self.site.store.root) / "tickets.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = texts or [f"ticket {number} of a customer" for number in range(1, count + 1)]
        with path.open("w", newline="", encoding="utf-8") as out:
            writer = std_csv.writer(out)
            writer.writerow(["ticket_id", "text"])
            writer.writerows([f"T{number:05d}", text] for number, text in enumerate(rows, 1))

    def begin(self, made: Workload, *, again: bool = False) -> Run:
        """A planned run of the hour that ends now."""
        now = self.clock()
        interval = Interval(start=now - timedelta(hours=1), end=now)
        self.clock.pass_(seconds=30)
        return run.start(made, self.site, run.new_run(made, self.site, interval, again=again), interval)

    def fly(self, made: Workload, run_id: str, desk: Desk) -> None:
        """Advance every shard until the desk makes it wait."""
        for number in sorted({shard.key.number for shard in self.site.ledger.shards(run_id)}):
            for _ in range(10):
                if isinstance(advance(made, self.site, cast(Client, desk), run_id, number), Done):
                    break
                self.clock.pass_(minutes=4)
                if desk.slow:
                    advance(made, self.site, cast(Client, desk), run_id, number)
                    break

    def whole(self, made: Workload, answer: Answer = plain_answer, **desk: Any) -> Run:
        """A run as far as it goes: published, refused or failed."""
        begun = self.begin(made)
        self.fly(made, begun.run_id, Desk(self.clock, answer, **desk))
        try:
            run.check(made, self.site, begun.run_id)
            self.clock.pass_(seconds=20)
            run.publish(made, self.site, begun.run_id)
        except OffpeakError:
            assert self.site.ledger.run(begun.run_id).state in (RunState.REFUSED, RunState.FAILED)
        return self.site.ledger.run(begun.run_id)

    def report(self, run_id: str) -> tuple[str, dict[str, Any]]:
        """The page and the JSON of a run, as they were written."""
        html, data = write_report(self.site, run_id)
        return Path(html).read_text("utf-8"), json.loads(Path(data).read_text("utf-8"))


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, and its text without style."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self._in_style = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"
        if tag in ("td", "th", "tr", "dt", "dd", "li", "p", "div"):
            self.pieces.append(" ")  # a reader sees these apart

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """With every run of white space as one space."""
        return " ".join("".join(self.pieces).split())

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(tag for tag, _ in self.elements)
