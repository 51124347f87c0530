"""When a batch will be done: honest about short history, never in the past, calibrated against its own past."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.forecast import (
    Finish,
    History,
    Pair,
    PastBatch,
    Progress,
    Survival,
    calibration,
    of_all,
    of_batch,
    replayed,
)
from offpeak.forecast.finish import LEAST_LEFT
from tests.forecast.making import HOUR, MINUTE, NOW, finish, past


def open_batch(done: int = 0, *, age: timedelta = timedelta(0), requests: int = 1_000) -> Progress:
    return Progress(requests=requests, done=done, created_at=NOW - age, now=NOW)


def test_without_history_it_is_a_guess_and_says_so() -> None:
    found = of_batch(open_batch(), History())
    assert (found.p50 - NOW, found.p90 - NOW, found.sure) == (HOUR, 24 * HOUR, None)
    assert found.basis == "no past batch: a guess between 1 and 24 hours"


def test_a_short_history_is_widened_beyond_what_it_has_seen() -> None:
    found = of_batch(open_batch(), History([past(minutes) for minutes in (10, 11, 12, 13)]))
    assert found.basis == "from 4 past batches"
    assert found.p50 == NOW + 12 * MINUTE
    assert found.p90 == NOW + 26 * MINUTE  # the fifth batch may be the one that outlasts them all


def test_a_long_history_gives_its_own_quantiles() -> None:
    found = of_batch(open_batch(), History([past(minutes) for minutes in range(1, 1_000)]))
    assert found.basis == "from 999 past batches of like size at this time of day"
    assert (found.p50, found.p90) == (NOW + 500 * MINUTE, NOW + 900 * MINUTE)
    assert found.sure == NOW + 999 * MINUTE


def test_batches_of_like_size_and_time_of_day_come_before_the_others() -> None:
    night = [past(10, requests=2_000) for _ in range(20)]
    noon = [past(100, ago=36 * HOUR) for _ in range(20)]
    large = [past(1_000, requests=100_000) for _ in range(40)]
    assert of_batch(open_batch(), History([*night, *noon, *large])).p50 == NOW + 10 * MINUTE
    sized = of_batch(open_batch(), History([*night[:19], *noon, *large]))
    assert (sized.p50, sized.basis) == (NOW + 100 * MINUTE, "from 39 past batches of like size")
    assert of_batch(open_batch(), History([*night[:5], *large])).basis == "from 45 past batches"


def test_a_batch_that_was_cancelled_counts_as_longer_not_as_finished() -> None:
    quick = [past(10) for _ in range(10)]
    cancelled = [past(300, finished=False) for _ in range(10)]
    found = of_batch(open_batch(age=11 * MINUTE), History([*quick, *cancelled]))
    assert found.basis.startswith("from 10 past batches")
    assert found.p50 > NOW + 5 * MINUTE
    assert of_batch(open_batch(), History([*quick, *cancelled])).p90 > NOW + 50 * MINUTE


def test_a_batch_older_than_all_others_is_given_as_long_again() -> None:
    found = of_batch(open_batch(age=10 * HOUR), History([past(minutes) for minutes in range(1, 100)]))
    assert found.p50 == NOW + 10 * HOUR
    assert found.p90 == NOW + 90 * HOUR


def test_own_progress_is_taken_once_it_tells_something() -> None:
    history = History([past(minutes) for minutes in range(1, 100)])
    assert "past batches" in of_batch(open_batch(49, age=HOUR), history).basis
    found = of_batch(open_batch(250, age=HOUR), history)
    assert found.basis == "from its own progress, 250 of 1,000 done"
    assert (found.p50, found.p90, found.sure) == (NOW + 3 * HOUR, NOW + 9 * HOUR, None)
    late = of_batch(open_batch(900, age=9 * HOUR), history)
    assert late.p50 == NOW + HOUR
    assert late.sure == NOW + 5 * HOUR


@given(
    lasted=st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), max_size=40),
    age=st.floats(0, 1e6),
    done=st.integers(0, 1_000),
)
def test_a_finish_is_never_in_the_past_and_its_quantiles_rise(
    lasted: list[tuple[float, bool]], age: float, done: int
) -> None:
    history = History([past(seconds / 60, finished=ended) for seconds, ended in lasted])
    found = of_batch(open_batch(done, age=timedelta(seconds=age)), history)
    assert NOW + LEAST_LEFT <= found.p50 <= found.p90
    assert found.sure is None or found.sure >= found.p90


@given(lasted=st.lists(st.tuples(st.floats(1, 1e6), st.booleans()), min_size=1, max_size=40))
def test_the_older_a_batch_the_later_its_end(lasted: list[tuple[float, bool]]) -> None:
    survival = Survival.of(lasted)
    for level in (0.5, 0.9, 0.999):
        ends = [survival.quantile(level, lasted=age) for age in (0.0, 10.0, 1e3, 1e5, 1e7)]
        assert ends == sorted(ends)


def test_a_run_is_done_when_its_last_shard_is() -> None:
    found = of_all([finish(10, 20, 30), finish(12, 15, 40)])
    assert found is not None
    assert (found.p50, found.p90, found.sure) == (NOW + 12 * MINUTE, NOW + 20 * MINUTE, NOW + 40 * MINUTE)
    assert of_all([finish(10, 20), None]) is None
    assert of_all([]) is None


def test_calibration_counts_what_held_and_leaves_out_what_nobody_knows() -> None:
    def pair(end: float, *, finished: bool = True) -> Pair:
        made: Finish = finish(10, 20)
        until = NOW + timedelta(minutes=end)
        return Pair(p50=made.p50, p90=made.p90, seen_until=until, finished=finished)

    cut_short, seen_late = pair(15, finished=False), pair(25, finished=False)
    found = calibration([pair(5), pair(15), pair(30), cut_short, seen_late])
    assert (found.count, found.held_p50, found.held_p90) == (4, 1, 2)
    assert found.share_p90 == pytest.approx(0.5)
    assert found.said() == "p90 held for 2 of 4 past batches (50 %)"
    assert calibration([]).said() == "no forecast can be judged yet"


def test_each_past_batch_is_judged_by_what_was_known_before_it() -> None:
    def on(day: int, minutes: float) -> PastBatch:
        return past(minutes, ago=(100 - day) * 24 * HOUR)

    steady = [on(day, 10 + day % 5) for day in range(40)]
    sudden = [on(40, 600)]
    pairs = list(replayed(History([*sudden, *steady])))
    assert len(pairs) == 40  # the first of all had no history
    assert pairs[-1].p90 < NOW - 60 * 24 * HOUR + 100 * MINUTE
    found = calibration(pairs)
    assert found.held_p90 == 39
    assert found.count == 40
