"""The throttle, under a clock that tests turn: limits are kept, a rest is a rest, and the pace comes back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.errors import OutcomeUnknown, ProviderBusy
from offpeak.providers.provider import Usage
from offpeak.quota import RealtimeLimits
from offpeak.realtime.throttle import LEAST, REGAIN_SECONDS, Throttle
from offpeak.realtime.tokens import TokenGuess
from offpeak.realtime.trying import TRIES, UNKNOWN_TRIES, WAITS, Tries, pause_after


class TurnedClock:
    """Time passes only in sleeps, one sleeper after the other."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def with_throttle(limits: RealtimeLimits, play: Callable[[Throttle, TurnedClock], Awaitable[None]]) -> None:
    async def scene() -> None:
        clock = TurnedClock()
        await play(Throttle(limits, clock=clock), clock)

    asyncio.run(scene())


def sent(limits: RealtimeLimits, takes: list[float], *, parts: int = 1) -> list[float]:
    """When requests of so many tokens are let go, each answered at once."""
    times: list[float] = []

    async def play(throttle: Throttle, clock: TurnedClock) -> None:
        throttle.divide(parts)
        for tokens in takes:
            async with throttle.turn(tokens) as at:
                times.append(at)

    with_throttle(limits, play)
    return times


def most_in_a_minute(times: list[float], amounts: list[float]) -> float:
    return max(
        sum(amount for at, amount in zip(times, amounts, strict=True) if start <= at < start + 60 - 1e-6)
        for start in times
    )


@settings(max_examples=50, deadline=None)
@given(limit=st.integers(1, 2_000), parts=st.integers(1, 7))
def test_in_no_minute_are_there_more_requests_than_the_account_may_send(limit: int, parts: int) -> None:
    times = sent(RealtimeLimits(requests_per_minute=limit), [1.0] * min(3 * limit, 400), parts=parts)
    assert most_in_a_minute(times, [1.0] * len(times)) <= math.ceil(limit / parts)


@settings(max_examples=50, deadline=None)
@given(
    limit=st.integers(100, 1_000_000),
    takes=st.lists(st.floats(1, 20_000), min_size=2, max_size=200),
)
def test_in_no_minute_are_there_more_tokens_than_the_limit_and_one_request(
    limit: int, takes: list[float]
) -> None:
    times = sent(RealtimeLimits(tokens_per_minute=limit), takes)
    assert most_in_a_minute(times, takes) <= (limit + max(takes)) * (1 + 1e-6)


def test_the_limit_is_used_and_not_only_kept() -> None:
    times = sent(RealtimeLimits(requests_per_minute=600), [1.0] * 1_200)
    assert times[-1] - times[0] < 125


def test_without_limits_nobody_waits() -> None:
    times = sent(RealtimeLimits(), [1e9] * 100)
    assert set(times) == {times[0]}


def test_an_estimate_that_was_too_low_is_made_good_by_those_that_follow() -> None:
    async def play(throttle: Throttle, clock: TurnedClock) -> None:
        async with throttle.turn(10):
            throttle.correct(10, 6_000)
        async with throttle.turn(10) as at:
            assert at - 1000 > 55

    with_throttle(RealtimeLimits(tokens_per_minute=6_000), play)


def test_a_rest_is_for_everybody_and_afterwards_all_goes_slower_until_it_is_forgotten() -> None:
    async def play(throttle: Throttle, clock: TurnedClock) -> None:
        async with throttle.turn(1) as first:
            pass
        throttle.slow_down(first, 7.0)
        async with throttle.turn(1) as second:
            assert second == first + 7.0
        assert throttle.pace == 0.5
        throttle.slow_down(first, 3.0)
        assert throttle.pace == 0.5, "the first one was sent before the pace was halved"
        throttle.slow_down(second, 1.0)
        assert throttle.pace == 0.25
        await clock.sleep(3 + REGAIN_SECONDS / 2)
        assert throttle.pace == pytest.approx(0.75)
        await clock.sleep(REGAIN_SECONDS)
        assert throttle.pace == 1.0

    with_throttle(RealtimeLimits(), play)


def test_the_pace_never_falls_to_nothing() -> None:
    async def play(throttle: Throttle, clock: TurnedClock) -> None:
        for _ in range(50):
            async with throttle.turn(1) as at:
                throttle.slow_down(at, 0.5)
        assert throttle.pace >= LEAST

    with_throttle(RealtimeLimits(requests_per_minute=60), play)


@pytest.mark.parametrize(("parts", "pace", "most"), [(1, 1.0, 8), (4, 1.0, 2), (20, 1.0, 1), (1, 0.5, 4)])
def test_no_more_are_under_way_than_the_part_allows(parts: int, pace: float, most: int) -> None:
    async def play(throttle: Throttle, clock: TurnedClock) -> None:
        throttle.divide(parts)
        if pace < 1:
            throttle.slow_down(clock.now, 0)
        under_way, seen = 0, []

        async def one() -> None:
            nonlocal under_way
            async with throttle.turn(1):
                under_way += 1
                seen.append(under_way)
                for _ in range(3):
                    await asyncio.sleep(0)
                under_way -= 1

        await asyncio.gather(*(one() for _ in range(40)))
        assert max(seen) == most
        assert len(seen) == 40

    with_throttle(RealtimeLimits(concurrency=8), play)


# -- tokens before an answer, learned from those that came


def test_the_guess_begins_with_four_bytes_a_token_and_learns() -> None:
    guess = TokenGuess(output_tokens=100, line_bytes=400)
    assert guess.of(400) == pytest.approx(200)
    for _ in range(1_000):
        guess.learn(400, Usage(input_tokens=50, output_tokens=10))
    assert guess.of(400) == pytest.approx(60, rel=0.05)
    assert guess.of(800) == pytest.approx(110, rel=0.05)
    guess.learn(400, Usage())
    assert guess.of(400) == pytest.approx(60, rel=0.05)


# -- trying again

LIMITED = ProviderBusy("slow down", code="rate_limit_exceeded")
BROKEN = ProviderBusy("it broke", code="server_error")
LOST = OutcomeUnknown("lost")


@pytest.mark.parametrize(("error", "times"), [(LIMITED, WAITS), (BROKEN, TRIES), (LOST, UNKNOWN_TRIES)])
def test_every_failure_has_its_bound(error: ProviderBusy | OutcomeUnknown, times: int) -> None:
    tries = Tries()
    for _ in range(times - 1):
        tries = tries.after(error)
        assert not tries.used_up
    assert tries.after(error).used_up


@pytest.mark.parametrize(
    ("error", "everybody"),
    [
        (LIMITED, True),
        (ProviderBusy("", code="overloaded_error"), True),
        (ProviderBusy("", code="429"), True),
        (ProviderBusy("", code="server_error", retry_after_seconds=3), True),
        (BROKEN, False),
        (LOST, False),
    ],
)
def test_everybody_rests_when_the_pace_is_the_matter_or_a_time_was_named(
    error: ProviderBusy | OutcomeUnknown, everybody: bool
) -> None:
    assert pause_after(error, Tries().after(error), left=None, draw=0.5).everybody is everybody


def test_a_wish_is_followed_to_the_second_and_a_long_one_is_for_the_shard() -> None:
    def wishing(seconds: float) -> ProviderBusy:
        return ProviderBusy("", code="429", retry_after_seconds=seconds)

    tries = Tries(declined=9)
    soon = pause_after(wishing(12.5), tries, left=None, draw=0.9)
    assert (soon.seconds, soon.too_long) == (12.5, False)
    late = pause_after(wishing(90), tries, left=None, draw=0.9)
    assert (late.seconds, late.too_long) == (90, True)
    days = pause_after(wishing(400_000), tries, left=timedelta(hours=2), draw=0.9)
    assert (days.seconds, days.too_long) == (1_800, True)


def test_the_pause_doubles_and_is_never_longer_than_half_a_minute_and_a_bit() -> None:
    pauses = [pause_after(BROKEN, Tries(failed=count), left=None, draw=0.5).seconds for count in range(1, 9)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert pause_after(BROKEN, Tries(failed=99), left=None, draw=0.999).seconds < 38
