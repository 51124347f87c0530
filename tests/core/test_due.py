"""Due times: durations and wall-clock times, over the nights in which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.due import check_due, due_at
from offpeak.errors import SpecError


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_duration_counts_from_the_intervals_end() -> None:
    assert due_at(timedelta(minutes=45), utc("2026-11-22T08:00")) == utc("2026-11-22T08:45")


@pytest.mark.parametrize(
    ("due", "end", "expected"),
    [
        ("07:00", "2026-11-22T06:59", "2026-11-22T07:00"),
        ("07:00", "2026-11-22T07:00", "2026-11-23T07:00"),
        ("7:00 Europe/Berlin", "2026-07-01T04:00", "2026-07-01T05:00"),
        ("07:00 Europe/Berlin", "2026-01-01T23:30", "2026-01-02T06:00"),
        # 29 March 2026: 02:00 becomes 03:00 in Berlin, so 02:30 is not on the clock
        ("02:30 Europe/Berlin", "2026-03-28T23:00", "2026-03-29T01:30"),
        ("07:00 Europe/Berlin", "2026-03-28T23:00", "2026-03-29T05:00"),
        ("02:30 Europe/Berlin", "2026-03-29T01:30", "2026-03-30T00:30"),
        # 25 October 2026: 03:00 becomes 02:00, so 02:30 comes twice
        ("02:30 Europe/Berlin", "2026-10-24T22:00", "2026-10-25T00:30"),
        ("02:30 Europe/Berlin", "2026-10-25T00:45", "2026-10-26T01:30"),
        ("07:00 Europe/Berlin", "2026-10-24T22:00", "2026-10-25T06:00"),
        # 8 March and 1 November 2026 in New York
        ("02:30 America/New_York", "2026-03-08T05:00", "2026-03-08T07:30"),
        ("06:00 America/New_York", "2026-03-08T05:00", "2026-03-08T10:00"),
        ("01:30 America/New_York", "2026-11-01T04:00", "2026-11-01T05:30"),
        ("06:00 America/New_York", "2026-11-01T04:00", "2026-11-01T11:00"),
    ],
)
def test_a_wall_clock_time_is_its_next_occurrence_also_when_clocks_change(
    due: str, end: str, expected: str
) -> None:
    assert due_at(due, utc(end)) == utc(expected)


@given(
    end=st.integers(0, 15 * 366 * 24 * 3600).map(
        lambda seconds: utc("2020-01-01") + timedelta(seconds=seconds)
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
)
def test_a_wall_clock_time_is_after_the_end_and_within_a_day_and_a_clock_change(
    end: datetime, zone: str, hour: int, minute: int
) -> None:
    at = due_at(f"{hour:02d}:{minute:02d} {zone}", end)
    assert end < at <= end + timedelta(hours=25)
    shown = at.astimezone(ZoneInfo(zone))
    drift = (shown.hour * 60 + shown.minute - hour * 60 - minute) % 1440
    assert drift in (0, 30, 60), "on the clock as written, or moved by the skipped hour"


@pytest.mark.parametrize(
    ("due", "says"),
    [
        (timedelta(0), "is not after the interval's end"),
        (timedelta(minutes=-1), "is not after the interval's end"),
        ("7 o'clock", "'07:00 Europe/Berlin'"),
        ("25:00", "no such time of day"),
        ("07:60", "no such time of day"),
        ("07:00 Europe/Atlantis", "no time zone 'Europe/Atlantis'"),
        ("07:00 Europe", "no time zone 'Europe'"),
        ("07:00 ../../etc/passwd", "no time zone"),
        ("", "is not understood"),
        (45, "timedelta(minutes=45)"),
        (None, "timedelta(minutes=45)"),
    ],
)
def test_what_is_no_due_time_is_refused_with_the_cure(due: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_due(due)
    assert says in str(caught.value)


@pytest.mark.parametrize("due", [timedelta(minutes=45), "07:00", " 7:00  Europe/Berlin "])
def test_what_is_a_due_time_is_taken(due: timedelta | str) -> None:
    check_due(due)
