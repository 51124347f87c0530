"""The digest: what a DAG file declares, carried out as a pipeline of condensing stages, a last one, and a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from offpeak.alerts.channels import Channel
from offpeak.digest.answers import MOST_IDS, accept_digest, accept_notes, digest_model, notes_model
from offpeak.digest.edition import Making
from offpeak.digest.finish import finish
from offpeak.digest.items import Recipe
from offpeak.digest.prompts import digest_prompt, notes_prompt
from offpeak.digest.rows import KEPT, StageRows, stage_name, stage_table
from offpeak.digest.windows import BYTES_A_TOKEN, Room
from offpeak.errors import SpecError
from offpeak.pipeline import Pipeline
from offpeak.prices import Price
from offpeak.rows.source import RowSource
from offpeak.tables.parquet import parquet_table
from offpeak.tables.table import Table
from offpeak.workload import Workload

MOST_CONDENSED_BYTES = 12_000
LEAST_FAN_IN = 4
ID_BYTES = 14
"""Of one id in a mark, at most, and of the mark's own signs a statement has as much again."""
_TAKEN = ("digest", "notes_on", "window", "ids", "read", "headline", "statements", *KEPT)
_LINK = re.compile(r"https?://[^\s{}]*\{item\}[^\s{}]*")


@dataclass(frozen=True, kw_only=True)
class Digest:
    """Yesterday's items of each group as a few statements that cite them. SpecError lists every mistake."""

    name: str
    """Names the DAG, the last stage, its folder in the store; at most 50 characters."""
    items: RowSource
    text: str
    """The column that is read."""
    about: str
    """What the items are, for the prompt: "the tickets of one team of a bank's help desk"."""
    model: str
    into: Table
    group: str | None = None
    """The column with one digest for each value; None for one digest of everything."""
    time: str | None = None
    """The column that says when an item came; None to take every row of the source."""
    category: str | None = None
    """A column whose shares are shown."""
    zone: str = "UTC"
    """Where a day begins at midnight, and how times without a zone are meant."""
    window_tokens: int = 100_000
    """Of items that one request reads, at three bytes a token; instructions and answer come on top."""
    levels: int = 3
    """Stages, the last one included."""
    statements: tuple[int, int] = (3, 8)
    """At least and at most, for each group."""
    statement_characters: int = 280
    language: str = "English"
    link: str = ""
    """Where an item can be looked at, e.g. "https://desk.example/tickets/{item}"."""
    due: timedelta | str | None = None
    route: Literal["batch", "auto", "realtime"] = "batch"
    """Of the last stage; the others go as batches, or all in realtime."""
    budget_usd: Decimal | None = None
    """Of all stages together."""
    max_failed: float = 0.0
    """The share of a stage's windows, and of the groups, that may end without an answer."""
    max_output_tokens: int = 8_192
    params: Mapping[str, Any] = field(default_factory=dict)
    connection: str | None = None
    price: Price | None = None
    alerts: Sequence[Channel] = ()

    def __post_init__(self) -> None:
        if mistakes := [told for check in _CHECKS for told in check(self)]:
            listed = "".join(f"\n  - {mistake}" for mistake in mistakes)
            raise SpecError(f"Digest {self.name!r}: {len(mistakes)} to correct.{listed}")
        _ = self.pipeline  # what is wrong for a stage is said now

    @property
    def room(self) -> Room:
        """How much a window holds, and what it is condensed to."""
        window = self.window_tokens * BYTES_A_TOKEN
        condensed = min(MOST_CONDENSED_BYTES, window // LEAST_FAN_IN)
        return Room(window_bytes=window, condensed_bytes=max(1, condensed), levels=self.levels)

    @property
    def notes(self) -> int:
        """Statements that a window is condensed to, at most."""
        return self.room.condensed_bytes // self._statement_bytes

    @property
    def _statement_bytes(self) -> int:
        return self.statement_characters + (MOST_IDS + 1) * ID_BYTES

    @property
    def recipe(self) -> Recipe:
        return Recipe(
            name=self.name,
            items=self.items,
            text=self.text,
            group=self.group,
            time=self.time,
            category=self.category,
            zone=self.zone,
            room=self.room,
        )

    @cached_property
    def pipeline(self) -> Pipeline:
        """The stages, one after the other, and the page."""
        condensing = [(self._condense(level),) for level in range(1, self.levels)]
        making = Making(recipe=self.recipe, about=self.about, model=self.model, link=self.link)
        return Pipeline(
            name=self.name,
            layers=(*condensing, (self._last(),)),
            finish=partial(finish, making),
            budget_usd=self.budget_usd,
        )

    def _condense(self, level: int) -> Workload:
        group = self.recipe.group_column
        most_bytes = self.room.condensed_bytes
        return Workload(
            name=stage_name(self.name, level),
            rows=StageRows(recipe=self.recipe, level=level),
            prompt=notes_prompt(self.about, group, self.notes, self.statement_characters),
            answer=notes_model(self.notes, self.statement_characters),
            accept=partial(accept_notes, most_bytes),
            keep=[group, "ids", "read"],
            into=parquet_table(f"{{store}}/{stage_table(self.name, level)}"),
            route="realtime" if self.route == "realtime" else "batch",
            **self._shared(),
        )

    def _last(self) -> Workload:
        group, (least, most) = self.recipe.group_column, self.statements
        return Workload(
            name=self.name,
            rows=StageRows(recipe=self.recipe, level=self.levels),
            prompt=digest_prompt(
                self.about, group, self.statements, self.statement_characters, self.language
            ),
            answer=digest_model(most, self.statement_characters),
            accept=partial(accept_digest, least),
            keep=[group, *KEPT],
            into=self.into,
            due=self.due,
            route=self.route,
            **self._shared(),
        )

    def _shared(self) -> dict[str, Any]:
        """What all stages have in common."""
        names = ("model", "max_failed", "max_output_tokens", "params", "connection", "price", "alerts")
        return {name: getattr(self, name) for name in names}


def _columns(digest: Digest) -> list[str]:
    found = []
    if not hasattr(digest.items, "batches") or not hasattr(digest.items, "key"):
        found.append(f"items={digest.items!r}: give parquet(...), csv(...), jsonl(...) or sql(...).")
    if digest.group is not None and (digest.group.lower() in _TAKEN or digest.group.startswith("_")):
        found.append(
            f"group={digest.group!r} is a column of the digest's own table; rename it in the source."
        )
    if not digest.text:
        found.append("text='': name the column that is to be read.")
    return found


def _words(digest: Digest) -> list[str]:
    found = []
    if len(digest.name) > 50:
        found.append(f"name={digest.name!r} has {len(digest.name)} characters; give at most 50.")
    if not digest.about.strip() or any(sign in digest.about for sign in ("{{", "{%", "{#")):
        found.append(
            f"about={digest.about!r}: say in plain words what the items are, without template signs."
        )
    if not digest.language.strip() or "{" in digest.language:
        found.append(f"language={digest.language!r}: name a language, e.g. 'English'.")
    if digest.link and not _LINK.fullmatch(digest.link):
        found.append(f"link={digest.link!r}: give an http(s) address with {{item}} in it, or leave it out.")
    return found


def _sizes(digest: Digest) -> list[str]:
    found = []
    least, most = digest.statements
    if not 1 <= least <= most <= 50:
        found.append(f"statements={digest.statements}: give at least and at most, between 1 and 50.")
    if not 60 <= digest.statement_characters <= 2_000:
        found.append(f"statement_characters={digest.statement_characters}: give 60 to 2,000.")
    if not 1 <= digest.levels <= 6:
        found.append(f"levels={digest.levels}: give 1 to 6.")
    needed = -(-2 * LEAST_FAN_IN * digest._statement_bytes // BYTES_A_TOKEN)
    if digest.window_tokens < needed:
        found.append(
            f"window_tokens={digest.window_tokens}: a window must hold what several are condensed to; with "
            f"statement_characters={digest.statement_characters} give at least {needed:,}."
        )
    return found


def _zone(digest: Digest) -> list[str]:
    try:
        ZoneInfo(digest.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return [f"zone={digest.zone!r} is no time zone; write one such as 'Europe/Berlin'."]
    return []


_CHECKS = (_columns, _words, _sizes, _zone)
