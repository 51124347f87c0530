"""A process killed at any boundary of the state machine loses nothing, pays nothing twice and publishes once."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.chaos.boundaries import verbs
from tests.chaos.company import Company, Totals
from tests.chaos.scene import Scene
from tests.chaos.schedule import matrix, peculiar, random_scene
from tests.chaos.weather import CLEAR, LEDGERS, PROVIDERS, WEATHERS, Weather

SLICES = 15
SAMPLED = 2
"""Scenes of each of the four kinds of clear weather, when only a sample is played."""
SAMPLED_RANDOM = 4
FULL_RANDOM = 500
RANDOM_A_TEST = 10

NOT_CROSSED = {
    "client.ask": "the realtime route; not a step of a run on batches",
    "client.aask": "the realtime route; not a step of a run on batches",
    "client.aclose": "Airflow's trigger only, which changes nothing",
    "client.alook": "Airflow's trigger only, which changes nothing",
    "client.ours": "looking for strays: a person's command, not a step of a run",
    "client.uploads": "looking for strays: a person's command, not a step of a run",
    "ledger.batch_times": "read for a forecast; a run without a due time has none",
    "ledger.batches": "read by people and pages, and for a forecast",
    "ledger.close": "changes nothing; a killed process never gets there",
    "ledger.describe": "a text, without the database",
    "ledger.events": "read by people and pages",
    "ledger.extend": "a person's command, not a step of a run",
    "ledger.note_run": "not a step of a run without a due time",
    "ledger.open_like": "read by the command line before a run is joined",
    "ledger.spend": "previews only; a run's spend is written by `collect`",
    "ledger.stages": "read by people and pages",
    "ledger.stray": "looking for strays: a person's command, not a step of a run",
    "ledger.tagged": "looking for strays: a person's command, not a step of a run",
    "ledger.token_samples": "read for an estimate from past runs; a first run has none",
    "store.delete": "not a step of a run",
    "table.head": "read by people and pages",
    "table.last": "read by people and pages",
}
"""Verbs that no scene crosses, each with its reason."""

KINDS = [(weather, provider) for weather in WEATHERS for provider in weather.providers]


def full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--chaos-full", False))


def seed_of(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--chaos-seed", 1))


def told(seed: int, wrong: list[str]) -> str:
    return "\n".join([f"with --chaos-seed {seed}:", *wrong])


@pytest.mark.slow
def test_every_verb_is_crossed_by_some_scene_or_has_a_reason_not_to_be(
    company: Company, request: pytest.FixtureRequest
) -> None:
    crossed = set()
    for weather, provider in KINDS if full(request) else [(each, each.providers[0]) for each in WEATHERS]:
        _, boundaries = company.rehearsed(Scene(weather=weather, provider=provider, ledger="sqlite"))
        crossed |= {boundary.verb for boundary in boundaries}
    assert verbs() - crossed == set(NOT_CROSSED)


@pytest.mark.sample
@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_sample_of_crashes(
    provider: str, ledger: str, company: Company, totals: Totals, request: pytest.FixtureRequest
) -> None:
    scene, seed = Scene(weather=CLEAR, provider=provider, ledger=ledger), seed_of(request)
    scenes = matrix(scene, company.rehearsed(scene)[1])
    drawn = random.Random(f"{seed}/{provider}/{ledger}").sample(scenes, SAMPLED)
    wrong = company.play(drawn, totals, exactly=True)
    assert not wrong, told(seed, wrong)


@pytest.mark.matrix
@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize(("weather", "provider"), KINDS, ids=[f"{w.name}-{p}" for w, p in KINDS])
def test_a_crash_at_every_boundary(
    weather: Weather,
    provider: str,
    ledger: str,
    part: int,
    company: Company,
    totals: Totals,
    request: pytest.FixtureRequest,
) -> None:
    scene = Scene(weather=weather, provider=provider, ledger=ledger)
    boundaries = list(company.rehearsed(scene)[1])
    if weather is not CLEAR:
        clear = company.rehearsed(replace(scene, weather=CLEAR))[1]
        boundaries = peculiar(boundaries, clear, offset=3 * LEDGERS.index(ledger))
    scenes = matrix(scene, boundaries)
    wrong = company.play(scenes[part::SLICES], totals, exactly=True)
    assert not wrong, told(seed_of(request), wrong)


def test_random_crashes_and_faults(
    block: int, company: Company, totals: Totals, request: pytest.FixtureRequest
) -> None:
    seed, wanted = seed_of(request), random_count(request.config)
    crossed = {
        provider: company.rehearsed(Scene(weather=CLEAR, provider=provider, ledger="sqlite"))[1]
        for provider in PROVIDERS
    }
    numbers = range(block, min(block + RANDOM_A_TEST, wanted))
    wrong = company.play((random_scene(seed, n, crossed) for n in numbers), totals, exactly=False)
    assert not wrong, told(seed, wrong)


def random_count(config: pytest.Config) -> int:
    wanted: int | None = config.getoption("--chaos-random", None)
    if wanted is not None:
        return wanted
    return FULL_RANDOM if config.getoption("--chaos-full", False) else SAMPLED_RANDOM


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "block" in metafunc.fixturenames:
        metafunc.parametrize("block", range(0, random_count(metafunc.config), RANDOM_A_TEST))
