"""Due: the time by which the table must be published."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from offpeak.errors import SpecError

ROUTES = ("batch", "auto", "realtime")
"""How a workload's requests may go: as batches, as batches first, or one by one from the start."""
_WALL_CLOCK = re.compile(r"^(\d{1,2}):(\d{2})(?:\s+(\S+))?$")


def check_due(due: timedelta | str) -> None:
    """SpecError when `due` is neither a positive duration nor a wall-clock time such as "07:00 Europe/Berlin"."""
    if isinstance(due, timedelta):
        if due <= timedelta(0):
            raise SpecError(f"due={due} is not after the interval's end; give a positive duration.")
        return
    if not isinstance(due, str):
        raise SpecError(
            f"due={due!r} is neither a duration nor a time; write timedelta(minutes=45) or '07:00 Europe/Berlin'."
        )
    _wall_clock(due)


def check_route(route: object, due: object, publish_partial_at: object) -> list[str]:
    """What is wrong with the way a workload wants to be in time, each with its cure."""
    found = []
    if route not in ROUTES:
        return [f"route={route!r}: give {', '.join(repr(name) for name in ROUTES)}."]
    if route == "auto" and due is None:
        found.append(
            "route='auto' leaves the batch route when the due time asks for it, and there is none. "
            "Give due=..., or leave the route out."
        )
    if publish_partial_at is None:
        return found
    if not isinstance(publish_partial_at, int | float) or not 0 < publish_partial_at <= 1:
        found.append(
            f"publish_partial_at={publish_partial_at!r}: give a share above 0 and at most 1, e.g. 0.98."
        )
    elif due is None:
        found.append(
            "publish_partial_at says what may be published at the due time, and there is none. Give due=...."
        )
    return found


def due_at(due: timedelta | str, interval_end: datetime) -> datetime:
    """The due time of the run whose interval ends at `interval_end` (aware), in UTC.

    A duration counts from the interval's end. A wall-clock time is its next occurrence after the
    interval's end in its zone; a time that the clock change skips is taken at the same instant as
    before the change, one that comes twice at its first occurrence.
    """
    if isinstance(due, timedelta):
        return (interval_end + due).astimezone(UTC)
    clock, zone = _wall_clock(due)
    local = interval_end.astimezone(zone)
    for days in range(3):
        at = datetime.combine(local.date() + timedelta(days=days), clock, tzinfo=zone).astimezone(UTC)
        if at > interval_end:
            return at
    raise AssertionError("a wall-clock time recurs every day")


def _wall_clock(text: str) -> tuple[time, ZoneInfo]:
    match = _WALL_CLOCK.match(text.strip())
    if match is None:
        raise SpecError(
            f"due={text!r} is not understood; write a timedelta or a time such as '07:00 Europe/Berlin'."
        )
    hour, minute, zone = match.groups()
    try:
        clock = time(int(hour), int(minute))
    except ValueError:
        raise SpecError(f"due={text!r}: there is no such time of day; give 00:00 to 23:59.") from None
    try:
        return clock, ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder or a path outside raises its own kind
        raise SpecError(f"due={text!r}: there is no time zone {zone!r}; write e.g. Europe/Berlin.") from None
