"""Marks: the ids that stand before each text of a window, `[#T0012] ...`, and that an answer cites.

They are short, and nothing an item says can look like one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from offpeak.digest.windows import PART_LABEL_BYTES, Unit, size_bytes, split

OWN_CHARACTERS = 12
_OWN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{OWN_CHARACTERS - 1}}}")
_HEX = re.compile(r"[0-9a-f]{16,}")
_HEX_CHARACTERS, _HASHED_CHARACTERS = 7, 5


def shown_ids(keys: Iterable[str]) -> dict[str, str]:
    """By key: the id under which an item is shown. A short plain key is shown as it is, a hexadecimal one by its
    beginning, any other by a few letters of its hash; long enough that no two are alike. Another order of the
    keys changes nothing, and a further key changes only what it would be mistaken for."""
    distinct = sorted(set(keys))
    shown = {key: key for key in distinct if _OWN.fullmatch(key)}
    left = [key for key in distinct if key not in shown]
    taken = {name.lower() for name in shown}
    more = 0
    while left:
        tried = {key: _alias(key, more) for key in left}
        count = Counter(tried.values())
        fits = {key: name for key, name in tried.items() if count[name] == 1 and name not in taken}
        shown |= fits
        taken |= set(fits.values())
        left = [key for key in left if key not in fits]
        more += 2
    return shown


def _alias(key: str, more: int) -> str:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass")).digest()
    spelled = base64.b32encode(digest).decode().rstrip("=").lower()
    if not _HEX.fullmatch(key):
        return spelled[: _HASHED_CHARACTERS + more]
    return key[: _HEX_CHARACTERS + more] if more < len(key) else spelled


def mark(ids: Sequence[str]) -> str:
    """What stands before a text: `[#T0012 #T0044]`."""
    return f"[{' '.join(f'#{one}' for one in ids)}]"


def plain(text: str) -> str:
    """An item's text as it stands in a window: no line of it begins as a mark does, and no mark is in it."""
    lines = (line.rstrip() for line in text.replace("[#", "[ #").splitlines())
    return "\n  ".join(line for line in lines if line)


def units(name: str, text: str, room_bytes: int) -> list[Unit]:
    """An item as units of at most `room_bytes`: itself, or its parts where it is longer."""
    whole = f"{mark([name])} {plain(text)}"
    if size_bytes(whole) <= room_bytes:
        return [Unit(text=whole, ids=(name,), read=(name,))]
    before = size_bytes(f"{mark([name])} ") + PART_LABEL_BYTES
    pieces = [piece.strip() for piece in split(plain(text), room_bytes - before)]
    pieces = [piece for piece in pieces if piece]
    return [
        Unit(text=f"{mark([name])} (part {n} of {len(pieces)}) {piece}", ids=(name,), read=(name,))
        for n, piece in enumerate(pieces, start=1)
    ]


def line(text: str, ids: Sequence[str]) -> str:
    """A statement as a line of the next window."""
    return f"{mark(ids)} {' '.join(plain(text).split())}"
