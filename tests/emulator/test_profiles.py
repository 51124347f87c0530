"""Latency profiles: what they say is what is drawn, and they are chosen by name."""

from __future__ import annotations

import math
from statistics import median

import pytest
from click.testing import CliRunner
from openai import OpenAI

from offpeak.cli.main import group
from offpeak.emulator import PROFILES, Control, Draw, Emulator, Phases, Profile, latency_named
from offpeak.emulator.latency import night_of
from offpeak.emulator.life import Life, Stage
from tests.docs.reading import table, words
from tests.emulator.making import KEY, START, chat_lines, jsonl

DRAWN = [name for name, one in PROFILES.items() if isinstance(one, Profile)]
DAY_SECONDS = 86_400.0


def draws(name: str, *, seed: int = 1, nights: int = 2_000) -> list[Phases]:
    """One batch of the usual size a night."""
    return [
        PROFILES[name].phases(Draw(seed=seed, number=n, provider="openai", requests=10_000, night=n))
        for n in range(nights)
    ]


def total(phases: Phases) -> float:
    if phases.stalls_at < 1:
        return math.inf
    parts = (phases.validating_seconds, phases.waiting_seconds, phases.running_seconds)
    return sum(parts) + phases.finalizing_seconds


@pytest.mark.parametrize(("name", "minutes"), [("quick", 6), ("typical", 20)])
def test_half_of_the_batches_take_the_median(name: str, minutes: float) -> None:
    assert median(total(one) for one in draws(name)) / 60 == pytest.approx(minutes, rel=0.15)


@pytest.mark.parametrize("name", DRAWN)
def test_slow_nights_and_stuck_batches_come_as_often_as_stated(name: str) -> None:
    profile = PROFILES[name]
    assert isinstance(profile, Profile)
    slow = [
        profile.slow(Draw(seed=1, number=1, provider="openai", requests=1, night=night))
        for night in range(2_000)
    ]
    assert sum(slow) / 2_000 == pytest.approx(profile.slow_nights, abs=0.03)
    stuck = sum(one.stalls_at < 1 for one in draws(name)) / 2_000
    assert stuck == pytest.approx(profile.stuck_share, abs=0.03)
    assert all(0 <= one.cancelling_seconds <= profile.cancel_most_seconds for one in draws(name))


def test_batches_of_one_night_are_slow_together() -> None:
    def spread(nights: list[int]) -> float:
        times = [
            math.log(
                total(PROFILES["typical"].phases(Draw(seed=1, number=n, provider="x", requests=1, night=i)))
            )
            for n, i in enumerate(nights)
        ]
        times = [one for one in times if one < math.inf]
        mean = sum(times) / len(times)
        return sum((one - mean) ** 2 for one in times) / len(times)

    assert spread([3] * 500) < spread(list(range(500)))


def test_equal_draws_give_equal_phases_and_another_seed_gives_others() -> None:
    assert draws("typical", nights=20) == draws("typical", nights=20)
    assert draws("typical", nights=20) != draws("typical", seed=2, nights=20)


def test_a_night_lasts_from_noon_to_noon() -> None:
    noon = 20_000 * DAY_SECONDS + DAY_SECONDS / 2
    assert night_of(noon) == night_of(noon + DAY_SECONDS - 1) == night_of(noon - 1) + 1


def test_a_batch_that_stalls_stops_at_its_share_and_expires() -> None:
    phases = Phases(
        validating_seconds=1,
        waiting_seconds=9,
        running_seconds=100,
        finalizing_seconds=1,
        cancelling_seconds=1,
        stalls_at=0.3,
    )
    life = Life(created_at=0, phases=phases, window_seconds=1_000, requests=10)
    assert [life.finished(now) for now in (5, 10, 25, 40, 900)] == [0, 0, 1, 3, 3]
    assert life.stage(999) is Stage.IN_PROGRESS
    assert life.stage(1_000) is Stage.EXPIRED


def test_a_profile_is_chosen_at_the_start_or_over_the_control_endpoint() -> None:
    with (
        Emulator(frozen=True, start=START, latency=latency_named("typical")) as emulator,
        OpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client,
    ):
        control: Control = emulator.control

        def stage_after(seconds: float) -> str:
            file = client.files.create(file=("in.jsonl", jsonl(chat_lines(2))), purpose="batch")
            batch = client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            control.advance(seconds)
            return client.batches.retrieve(batch.id).status

        assert stage_after(11) != "completed"
        control.set_latency("fixed")
        assert stage_after(11) == "completed"
        with pytest.raises(ValueError, match=r"There is no latency 'sluggish'.*fixed, quick, typical"):
            control.set_latency("sluggish")


def test_the_command_line_refuses_a_latency_that_there_is_not() -> None:
    told = CliRunner().invoke(group, ["emulate", "--latency", "sluggish"])
    assert told.exit_code == 2
    assert "There is no latency 'sluggish'" in told.output


def test_the_docs_list_the_profiles_as_they_are() -> None:
    listed = [(words(name)[0], what) for name, what in table("emulator.md", "latency")]
    assert listed == [(name, one.what) for name, one in PROFILES.items()]
