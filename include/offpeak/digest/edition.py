"""The edition: all that the page of one night says, from the table's rows, the night's files and the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from offpeak.digest.items import LeftOut, Recipe, folder_of, night_sql, read_left_out
from offpeak.digest.night import Night, night_of
from offpeak.report.models import EMULATED
from offpeak.states import Outcome

if TYPE_CHECKING:
    import duckdb

    from offpeak.ledger import Run
    from offpeak.pipeline import Finishing

QUOTE_CHARACTERS = 700
QUIET_FROM = 1.0
"""A group without items is named when it usually has this many."""


class Share(NamedTuple):
    value: str
    items: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What was counted of one group, or of all."""

    items: int
    usual: float | None
    change: float | None
    trend: tuple[int | None, ...]
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """An item that is cited."""

    anchor: str
    shown: str
    item: str
    moment: datetime | None
    text: str
    cut: bool
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    text: str
    cites: tuple[Quote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPart:
    """One group's part of the page; without a headline when it was not answered, and `why` then says so."""

    name: str
    anchor: str
    numbers: Numbers
    headline: str
    statements: tuple[Statement, ...]
    quotes: tuple[Quote, ...]
    unread: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of all stages of this night; None where a price is not known."""

    requests: int
    actual_usd: Decimal | None
    realtime_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Everything on the page."""

    name: str
    about: str
    model: str
    night: Night
    interval_key: str
    parts: tuple[GroupPart, ...]
    whole: Numbers
    quiet: tuple[tuple[str, float], ...]
    """Groups without an item, and what is usual for them."""
    textless: tuple[tuple[str, int], ...]
    """Groups whose items all have no text."""
    left_out: LeftOut
    cost: Cost
    stages: int
    made_at: datetime

    @property
    def answered(self) -> tuple[GroupPart, ...]:
        return tuple(part for part in self.parts if not part.why)

    @property
    def unanswered(self) -> tuple[GroupPart, ...]:
        return tuple(part for part in self.parts if part.why)

    @property
    def statements(self) -> int:
        return sum(len(part.statements) for part in self.parts)

    @property
    def emulated(self) -> bool:
        """Whether a stand-in answered, and no model."""
        return EMULATED in self.model

    @property
    def whole_day(self) -> bool:
        return abs(self.night.end - self.night.start - timedelta(days=1)) <= timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What of the spec the page needs."""

    recipe: Recipe
    about: str
    model: str
    link: str


def gather_edition(making: Making, finishing: Finishing) -> Edition:
    """Read what the page says. OSError when the store cannot be read."""
    recipe, site = making.recipe, finishing.site
    folder = folder_of(recipe.name, finishing.interval)
    last = finishing.runs[recipe.name]
    rows = _staged(finishing, last)
    with night_sql(site.store, folder) as sql:
        quoting = _Quoting(sql, making)
        reasons = _reasons(finishing, last)
        parts = [
            _part(row, recipe, quoting, reasons, number)
            for number, row in enumerate(sorted(rows, key=_by_size(recipe)), start=1)
        ]
        numbers = sql.execute("SELECT grp, items, usual FROM numbers ORDER BY usual DESC, grp").fetchall()
        there = {part.name for part in parts}
        return Edition(
            name=recipe.name,
            about=making.about,
            model=_models(rows) or making.model,
            night=night_of(finishing.interval, recipe.zone),
            interval_key=finishing.interval.key,
            parts=tuple(parts),
            whole=_whole(sql),
            quiet=tuple(
                (grp, usual) for grp, items, usual in numbers if not items and (usual or 0) >= QUIET_FROM
            ),
            textless=tuple((grp, items) for grp, items, _ in numbers if items and grp not in there),
            left_out=read_left_out(site.store, folder),
            cost=_cost(finishing),
            stages=len(finishing.runs),
            made_at=site.now(),
        )


def _staged(finishing: Finishing, run: Run) -> list[dict[str, Any]]:
    """The rows that were published, from the run's own file: the table may be of any kind."""
    import pyarrow.parquet as pq

    with finishing.site.store.reading(f"{run.facts['folder']}/staged.parquet") as path:
        rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows


def _reasons(finishing: Finishing, run: Run) -> dict[str, str]:
    """By key of the table: why a group has no answer."""
    import pyarrow.parquet as pq

    with finishing.site.store.reading(f"{run.facts['folder']}/dead_letters.parquet") as path:
        letters = pq.ParquetFile(path).read(columns=["key", "reason"]).to_pylist()
    return {letter["key"]: letter["reason"] or "" for letter in letters}


def _models(rows: Sequence[Mapping[str, Any]]) -> str:
    """The models that answered, in the provider's words."""
    return ", ".join(sorted({row["_model"] for row in rows if row["_model"]}))


def _by_size(recipe: Recipe) -> Any:
    return lambda row: (-(row["items"] or 0), row[recipe.group_column])


class _Quoting:
    """Finds the cited items and gives each its anchor."""

    def __init__(self, sql: duckdb.DuckDBPyConnection, making: Making) -> None:
        self._sql, self._link = sql, making.link
        self._count = 0

    def of(self, row: Mapping[str, Any]) -> dict[str, Quote]:
        """By the id shown: what a group's statements cite, in the order in which they do."""
        keys = {source["id"]: source["item"] for source in row["sources"] or ()}
        cited = dict.fromkeys(one for said in row["statements"] or () for one in said["items"] if one in keys)
        wanted = [keys[one] for one in cited]
        found = self._sql.execute(
            f"""SELECT item, moment, left(text, {QUOTE_CHARACTERS}), length(text) FROM items
                WHERE item IN (SELECT unnest(?))""",
            [wanted],
        ).fetchall()
        by_key = {item: (moment, text, length) for item, moment, text, length in found}
        return {one: self._quote(one, keys[one], *by_key[keys[one]]) for one in cited if keys[one] in by_key}

    def _quote(self, shown: str, item: str, moment: datetime | None, text: str, length: int) -> Quote:
        self._count += 1
        return Quote(
            anchor=f"i{self._count}",
            shown=shown,
            item=item,
            moment=moment.astimezone(UTC) if moment else None,
            text=text,
            cut=length > QUOTE_CHARACTERS,
            link=self._link.replace("{item}", quote(item, safe="")) if self._link else "",
        )


def _part(
    row: Mapping[str, Any], recipe: Recipe, quoting: _Quoting, reasons: Mapping[str, str], number: int
) -> GroupPart:
    quotes = quoting.of(row)
    answered = row["_outcome"] == Outcome.ANSWERED
    why = "" if answered else f"{row['_outcome']}: {reasons.get(row['digest'], '') or 'no reason was given'}"
    return GroupPart(
        name=row[recipe.group_column],
        anchor=f"g{number}",
        numbers=_numbers(row),
        headline=row["headline"] or "",
        statements=tuple(
            Statement(text=said["text"], cites=tuple(quotes[one] for one in said["items"] if one in quotes))
            for said in row["statements"] or ()
        ),
        quotes=tuple(quotes.values()),
        unread=row["unread"] or 0,
        why=why,
    )


def _numbers(row: Mapping[str, Any]) -> Numbers:
    return Numbers(
        items=row["items"] or 0,
        usual=row["usual"],
        change=row["change"],
        trend=tuple(row["trend"] or ()),
        shares=tuple(Share(one["value"], one["items"], one["share"]) for one in row["shares"] or ()),
    )


def _whole(sql: duckdb.DuckDBPyConnection) -> Numbers:
    """Of all groups together."""
    items, usual = sql.execute("SELECT coalesce(sum(items), 0)::BIGINT, sum(usual) FROM numbers").fetchall()[
        0
    ]
    trends = [
        trend for (trend,) in sql.execute("SELECT trend FROM numbers WHERE trend IS NOT NULL").fetchall()
    ]
    return Numbers(
        items=items,
        usual=usual,
        change=items / usual - 1 if usual else None,
        trend=tuple(_sum(column) for column in zip(*trends, strict=True)),
    )


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _cost(finishing: Finishing) -> Cost:
    spends = [
        spend for run in finishing.runs.values() for spend in finishing.site.ledger.spent(run_id=run.run_id)
    ]

    def total(amounts: list[Decimal | None]) -> Decimal | None:
        return None if None in amounts else sum((one for one in amounts if one is not None), Decimal(0))

    return Cost(
        requests=sum(spend.requests for spend in spends),
        actual_usd=total([spend.cost_usd for spend in spends]),
        realtime_usd=total([spend.realtime_usd for spend in spends]),
    )
