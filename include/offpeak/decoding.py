"""Decoding many things at once, some of which a decoder refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Given = TypeVar("Given")
Read = TypeVar("Read")


def decoded_each(
    decode: Callable[[Given], Read], given: Iterable[Given], refused: tuple[type[Exception], ...]
) -> list[Read | None]:
    """Each as `decode` reads it, None for one at which it raises one of `refused`; no call of ours per item."""
    found: list[Read | None] = []
    rest = iter(given)
    while True:
        try:
            found.extend(map(decode, rest))  # keeps what it read before it raises
        except refused:
            found.append(None)
        else:
            return found
