"""Windows: texts cut to size and packed, each piece once, none above the bound, always in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from offpeak.errors import InputError

BYTES_A_TOKEN = 3
"""For bounds: few texts have fewer bytes a token (English about 4.4, German 3.6), so a window seldom has more
tokens than it may. Estimates of money use four (see shards.py)."""
PART_LABEL_BYTES = len(b" (part 9999 of 9999)")

_ENDS = (
    re.compile(r"(?<=\n)"),
    re.compile(r"(?<=[.!?…]\s)|(?<=[。！？])"),
    re.compile(r"(?<=\s)"),
)
"""Where a text may be cut, the best place first: after a line (a turn), a sentence, a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A piece of a window that is never cut: an item, a part of one, or what a window was condensed to."""

    text: str
    ids: tuple[str, ...]
    """The ids that stand in it and may be cited."""
    read: tuple[str, ...]
    """The ids of all items that lie beneath it."""

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What one request reads."""

    text: str
    ids: tuple[str, ...]
    read: tuple[str, ...]


def size_bytes(text: str) -> int:
    """UTF-8 bytes of a line of a window, its end included."""
    return len(text.encode("utf-8", "surrogatepass")) + 1


def tokens(size: int) -> int:
    """The conservative estimate of tokens in so many bytes."""
    return -(-size // BYTES_A_TOKEN)


def split(text: str, room_bytes: int) -> list[str]:
    """Pieces of at most `room_bytes` that joined are the text: cut after lines, else sentences, else words.

    Only a single word that is itself longer than the room is cut inside, between two characters.
    """
    return _split(text, max(4, room_bytes), _ENDS)


def _split(text: str, room: int, ends: Sequence[re.Pattern[str]]) -> list[str]:
    if _bytes(text) <= room:
        return [text]
    if not ends:
        return _cut(text, room)
    pieces: list[str] = []
    held, held_bytes = "", 0
    for part in ends[0].split(text):
        part_bytes = _bytes(part)
        if held and held_bytes + part_bytes > room:
            pieces.append(held)
            held, held_bytes = "", 0
        if part_bytes > room:
            *whole, part = _split(part, room, ends[1:])
            pieces += whole
            part_bytes = _bytes(part)
        held, held_bytes = held + part, held_bytes + part_bytes
    return [*pieces, held] if held else pieces


def _cut(text: str, room: int) -> list[str]:
    pieces, held, size = [], "", 0
    for letter in text:
        width = _bytes(letter)
        if size + width > room:
            pieces.append(held)
            held, size = "", 0
        held, size = held + letter, size + width
    return [*pieces, held]


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def pack(units: Iterable[Unit], room_bytes: int) -> list[Window]:
    """Windows of at most `room_bytes`, filled in the order of the units; every unit is in exactly one of them.

    InputError for a unit that is larger than a window: it should have been split before.
    """
    windows: list[list[Unit]] = []
    free = 0
    for unit in units:
        size = unit.size_bytes
        if size > room_bytes:
            raise InputError(
                f"A piece of {size:,} bytes does not fit into a window of {room_bytes:,}. Nothing was sent. "
                "Raise window_tokens."
            )
        if not windows or size > free:
            windows.append([])
            free = room_bytes
        windows[-1].append(unit)
        free -= size
    return [_window(units) for units in windows]


def _window(units: list[Unit]) -> Window:
    return Window(
        text="".join(f"{unit.text}\n" for unit in units),
        ids=_once(unit.ids for unit in units),
        read=_once(unit.read for unit in units),
    )


def _once(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much fits where. `window_bytes` of one request; `condensed_bytes` of what a window is condensed to."""

    window_bytes: int
    condensed_bytes: int
    levels: int

    @property
    def fan_in(self) -> int:
        """Condensed windows that always fit into one window."""
        return self.window_bytes // self.condensed_bytes

    def levels_needed(self, windows: int) -> int:
        """Stages that so many windows of items need at most until one text remains."""
        needed = 1
        while windows > 1:
            windows = -(-windows // self.fan_in)
            needed += 1
        return needed
