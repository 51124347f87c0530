"""The pace of looking at batches."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.errors import SpecError
from offpeak.polling import QUICK, Pace

AGES = st.timedeltas(timedelta(seconds=-5), timedelta(days=2))
DRAWS = st.floats(0, 1, exclude_max=True)


@given(age=AGES, draw=DRAWS)
def test_every_wait_lies_between_least_and_most_give_or_take_the_jitter(age: timedelta, draw: float) -> None:
    pace = Pace()
    wait = pace.next_look(age, draw=draw)
    assert pace.least * (1 - pace.jitter) <= wait <= pace.most * (1 + pace.jitter)


@given(draw=DRAWS, ages=st.tuples(AGES, AGES).map(sorted))
def test_an_older_batch_is_never_looked_at_more_often(draw: float, ages: list[timedelta]) -> None:
    young, old = (max(age, timedelta(seconds=1)) for age in ages)
    assert Pace().next_look(young, draw=draw) <= Pace().next_look(old, draw=draw)


def test_two_batches_of_one_age_are_not_looked_at_in_lockstep() -> None:
    hour = timedelta(hours=1)
    waits = {Pace().next_look(hour, draw=draw / 10) for draw in range(10)}
    assert len(waits) == 10
    assert max(waits) / min(waits) == pytest.approx(1.16 / 0.8)


def test_the_middle_draw_gives_the_plain_wait() -> None:
    assert Pace().next_look(timedelta(0), draw=0.5) == timedelta(seconds=15)
    assert Pace().next_look(timedelta(seconds=1000), draw=0.5) == timedelta(seconds=80)
    assert Pace().next_look(timedelta(days=1), draw=0.5) == timedelta(minutes=5)


def test_the_environment_sets_the_quick_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OFFPEAK_LOOK_SECONDS", raising=False)
    monkeypatch.delenv("OFFPEAK_SETTLE_SECONDS", raising=False)
    assert Pace.quick_from_env() == QUICK
    monkeypatch.setenv("OFFPEAK_LOOK_SECONDS", "0.25")
    monkeypatch.setenv("OFFPEAK_SETTLE_SECONDS", "3")
    pace = Pace.quick_from_env()
    assert (pace.first, pace.least, pace.settle) == (
        timedelta(seconds=0.25),
        timedelta(seconds=0.25),
        timedelta(seconds=3),
    )


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e300"])
def test_a_pace_that_is_no_number_of_seconds_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFPEAK_LOOK_SECONDS", text)
    with pytest.raises(SpecError, match="OFFPEAK_LOOK_SECONDS"):
        Pace.quick_from_env()
