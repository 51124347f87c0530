"""The night: which stretch of time a digest is about, and the ones before it that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from offpeak.site import Interval

TREND_PERIODS = 28
WEEKS = 4
DAY = timedelta(days=1)
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """From `start` to before `end`; `zone` says when a day is over."""

    start: datetime
    end: datetime
    zone: str

    @property
    def date(self) -> date:
        """The day it begins on."""
        return self.start.astimezone(ZoneInfo(self.zone)).date()

    @property
    def label(self) -> str:
        """The day, or the moment where it is not whole days."""
        if (self.end - self.start) >= timedelta(hours=23):
            return self.date.isoformat()
        return f"{self.start.astimezone(UTC):%Y-%m-%dT%H%MZ}"

    def before(self, periods: int, *, of: timedelta | None = None) -> tuple[datetime, datetime]:
        """The same stretch so many periods earlier, by the clock on the wall: its own length each, or `of`."""
        step = (of or self._length()) * periods
        return self._earlier(self.start, step), self._earlier(self.end, step)

    @property
    def usual(self) -> timedelta:
        """How far apart the stretches are whose mean is the usual: a week, or its own length if that is more."""
        return max(WEEK, self._length())

    def _length(self) -> timedelta:
        length = self.end - self.start
        days = round(length / DAY)
        return days * DAY if days and abs(length - days * DAY) <= timedelta(hours=1) else length

    def _earlier(self, at: datetime, step: timedelta) -> datetime:
        zone = ZoneInfo(self.zone)
        if step % DAY:
            return at - step
        wall = at.astimezone(zone).replace(tzinfo=None) - step
        return wall.replace(tzinfo=zone).astimezone(UTC)


def night_of(interval: Interval, zone: str) -> Night:
    """The data interval; of an empty one (a run by hand, or on an asset) the last full day before its end."""
    if interval.end > interval.start:
        return Night(start=interval.start.astimezone(UTC), end=interval.end.astimezone(UTC), zone=zone)
    known = ZoneInfo(zone)
    midnight = interval.end.astimezone(known).replace(hour=0, minute=0, second=0, microsecond=0)
    day_before = (midnight.replace(tzinfo=None) - DAY).replace(tzinfo=known)
    return Night(start=day_before.astimezone(UTC), end=midnight.astimezone(UTC), zone=zone)
