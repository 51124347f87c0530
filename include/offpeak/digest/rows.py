"""Rows of a stage: windows of what there is to read, computed from the night's items and the stages before.

A group whose material is more than one window has rows in the next condensing stage; one that fits goes straight to
the last stage, which has exactly one row for each group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from offpeak.digest.answers import condensed
from offpeak.digest.items import ITEMS, Recipe, folder_of, gather, night_sql
from offpeak.digest.marks import shown_ids, units
from offpeak.digest.night import night_of
from offpeak.digest.windows import Unit, Window, pack, tokens
from offpeak.errors import InputError
from offpeak.rows.source import Opening, RowBatch
from offpeak.states import Outcome

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH_WINDOWS = 64
NUMBERS_KEPT = ("items", "usual", "change", "trend", "shares")
KEPT = ("date", *NUMBERS_KEPT, "unread", "sources")
"""Columns of the digest's table between the group and the answer."""


def stage_name(name: str, level: int) -> str:
    """The condensing stage of a level, from 1."""
    return f"{name}__condense_{level}"


def stage_table(name: str, level: int) -> str:
    """Where it publishes, in the store."""
    return f"tables/{stage_name(name, level)}"


class _Item(NamedTuple):
    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRows:
    """The windows of one stage: levels below `recipe.room.levels` condense, that level itself digests."""

    recipe: Recipe
    level: int

    unit = "window"

    @property
    def key(self) -> str:
        return "digest" if self.last else "notes_on"

    @property
    def last(self) -> bool:
        return self.level == self.recipe.room.levels

    def describe(self) -> str:
        recipe, what = self.recipe, "groups" if self.last else "windows"
        by = f" by {recipe.group}" if recipe.group else ""
        read = tokens(recipe.room.window_bytes)
        level = f"level {self.level} of {recipe.room.levels}"
        return f"{what} of {recipe.items.describe()}{by}, {level}, {read:,} tokens each"

    def batches(self, opening: Opening) -> Iterator[RowBatch]:
        """The windows, a group at a time. The first level reads the source anew, the others what it laid down.

        InputError when a group needs more levels than there are, with the cure.
        """
        folder = folder_of(self.recipe.name, opening.interval)
        if self.level == 1 or not opening.store.exists(f"{folder}/{ITEMS}"):
            gather(self.recipe, opening)
        with night_sql(opening.store, folder) as sql, self._notes(opening) as notes:
            ids = shown_ids(_column(sql, "SELECT item FROM items"))
            night = _Night(self.recipe, opening, sql, ids, notes)
            yield from _batched(self._rows(night), night.schema(last=self.last), self.describe())

    @contextmanager
    def _notes(self, opening: Opening) -> Iterator[list[Path]]:
        """What the stages before published in this interval, the latest level first: fetched once for all groups."""
        with ExitStack() as stack:
            tables = (
                f"{stage_table(self.recipe.name, level)}/interval={opening.interval.key}/answers.parquet"
                for level in range(self.level - 1, 0, -1)
            )
            there = [name for name in tables if opening.store.exists(name)]
            yield [stack.enter_context(opening.store.reading(name)) for name in there]

    def _rows(self, night: _Night) -> Iterator[dict[str, Any]]:
        label = night.label
        for group in night.groups:
            material = night.material(group)
            windows = pack(material, self.recipe.room.window_bytes)
            if self.level == 1:
                night.require_levels(group, material, len(windows))
            if not self.last:
                if len(windows) > 1:
                    for number, window in enumerate(windows, start=1):
                        yield night.notes_row(f"{group}/{number:04d}", group, window)
            elif len(windows) > 1:
                raise night.grown(group, len(windows))
            else:
                yield night.digest_row(f"{label} {group}", group, next(iter(windows), None))


class _Night:
    """The night's files, read a group at a time."""

    def __init__(
        self,
        recipe: Recipe,
        opening: Opening,
        sql: duckdb.DuckDBPyConnection,
        ids: Mapping[str, str],
        notes: Sequence[Path],
    ) -> None:
        self.recipe, self._sql, self._ids, self._notes = recipe, sql, ids, notes
        self._when = night_of(opening.interval, recipe.zone)
        self.label = self._when.label
        readable = "SELECT DISTINCT grp FROM items WHERE trim(coalesce(text, '')) <> '' ORDER BY grp"
        self.groups = _column(sql, readable)

    def material(self, group: str) -> list[Unit]:
        """What there is to read of a group: the notes of the last level that had it, else its items."""
        for path in self._notes:
            if rows := _rows_of_group(str(path), self.recipe.group_column, group):
                return [_noted(row) for row in rows if row["_outcome"] == Outcome.ANSWERED]
        return self._items(group)

    def _items(self, group: str) -> list[Unit]:
        found = self._sql.execute(
            "SELECT item, text FROM items WHERE grp = ? AND trim(coalesce(text, '')) <> '' ORDER BY moment, item",
            [group],
        ).fetchall()
        room = self.recipe.room.window_bytes
        return [
            unit for item in map(_Item._make, found) for unit in units(self._ids[item.key], item.text, room)
        ]

    def require_levels(self, group: str, items: Sequence[Unit], windows: int) -> None:
        """InputError when the group is too large for the levels there are."""
        room = self.recipe.room
        needed = room.levels_needed(windows)
        if needed > room.levels:
            size = tokens(sum(unit.size_bytes for unit in items))
            raise InputError(
                f"Digest {self.recipe.name}: the items of {group!r} are about {size:,} tokens, {windows:,} windows "
                f"of {tokens(room.window_bytes):,}, and need levels={needed}; there are {room.levels}. "
                "Nothing was sent. Raise levels or window_tokens, or choose smaller groups."
            )

    def grown(self, group: str, windows: int) -> InputError:
        return InputError(
            f"Digest {self.recipe.name}: what the levels left of {group!r} is {windows} windows, not one: the night's "
            "items were read anew since they were condensed. Nothing was sent for this stage. Run the digest "
            "again from its first stage; windows that are the same are not asked again."
        )

    def notes_row(self, key: str, group: str, window: Window) -> dict[str, Any]:
        own = {"notes_on": key, self.recipe.group_column: group, "window": window.text}
        return {**own, "ids": list(window.ids), "read": list(window.read)}

    def digest_row(self, key: str, group: str, window: Window | None) -> dict[str, Any]:
        numbers = self._sql.execute(
            f"SELECT {', '.join(NUMBERS_KEPT)} FROM numbers WHERE grp = ?", [group]
        ).fetchone()
        readable = "SELECT count(*) FROM items WHERE grp = ? AND trim(coalesce(text, '')) <> ''"
        ((readables,),) = self._sql.execute(readable, [group]).fetchall()
        ids = window.ids if window else ()
        keys = self._keys(group)
        return {
            "digest": key,
            self.recipe.group_column: group,
            "window": window.text if window else None,
            "date": self._when.date,
            **dict(zip(NUMBERS_KEPT, numbers or (), strict=True)),
            "unread": int(readables) - len(set(window.read) & keys.keys() if window else ()),
            "sources": [{"id": one, "item": keys[one]} for one in ids if one in keys],
        }

    def _keys(self, group: str) -> dict[str, str]:
        """By the id shown: the group's items."""
        found = self._sql.execute("SELECT item FROM items WHERE grp = ?", [group]).fetchall()
        return {self._ids[key]: key for (key,) in found}

    def schema(self, *, last: bool) -> pa.Schema:
        """The columns of a stage's rows, the same on a night without any."""
        import pyarrow as pa

        text, ids = pa.string(), pa.list_(pa.string())
        if not last:
            own = {"notes_on": text, self.recipe.group_column: text, "window": text, "ids": ids, "read": ids}
            return pa.schema(list(own.items()))
        share = pa.struct({"value": text, "items": pa.int64(), "share": pa.float64()})
        source = pa.struct({"id": text, "item": text})
        own = {
            "digest": text,
            self.recipe.group_column: text,
            "window": text,
            "date": pa.date32(),
            "items": pa.int64(),
        }
        own |= {
            "usual": pa.float64(),
            "change": pa.float64(),
            "trend": pa.list_(pa.int64()),
            "shares": pa.list_(share),
        }
        return pa.schema(list({**own, "unread": pa.int64(), "sources": pa.list_(source)}.items()))


def _noted(row: Mapping[str, Any]) -> Unit:
    ids = dict.fromkeys(one for said in row["statements"] for one in said["items"])
    return Unit(text=condensed(row["statements"]), ids=tuple(ids), read=tuple(row["read"]))


def _rows_of_group(path: str, column: str, group: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    wanted = ["notes_on", "read", "statements", "_outcome"]
    table = pq.read_table(path, columns=wanted, filters=[(column, "=", group)], partitioning=None)
    rows: list[dict[str, Any]] = table.sort_by("notes_on").to_pylist()
    return rows


def _column(sql: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [value for (value,) in sql.execute(query).fetchall()]


def _batched(rows: Iterator[dict[str, Any]], schema: pa.Schema, origin: str) -> Iterator[RowBatch]:
    """In small batches, at least one: an empty night has the same columns as any other."""
    import pyarrow as pa

    held: list[dict[str, Any]] = []
    first = 1
    for row in rows:
        held.append(row)
        if len(held) == BATCH_WINDOWS:
            yield RowBatch(pa.RecordBatch.from_pylist(held, schema), origin, first)
            first, held = first + len(held), []
    if held or first == 1:
        yield RowBatch(pa.RecordBatch.from_pylist(held, schema), origin, first)
