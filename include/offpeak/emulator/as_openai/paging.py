"""Lists in pages, continued with `after=<id of the last item>`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from offpeak.emulator.wire import ApiError


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=Identified)


def page_size(asked: str | None, *, default: int, most: int) -> int:
    """The limit of a listing; raises a 400 outside 1 to `most`."""
    if asked is None:
        return default
    if not asked.isdigit() or not 1 <= int(asked) <= most:
        raise ApiError(status=400, message=f"Invalid 'limit': expected 1 to {most}.", param="limit")
    return int(asked)


def page(items: Sequence[Item], *, after: str | None, limit: int) -> tuple[list[Item], bool]:
    """The items that follow `after`, and whether more follow them."""
    start = 0
    if after:
        places = [index for index, item in enumerate(items) if item.id == after]
        if not places:
            raise ApiError(status=400, message=f"Invalid 'after': no item {after}.", param="after")
        start = places[0] + 1
    return list(items[start : start + limit]), start + limit < len(items)
