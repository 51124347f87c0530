"""A fast sample of the simulated year holds the bounds, and the page can be written from it."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.docs.reading import ROOT, table
from tests.nights.__main__ import main
from tests.nights.night import Night
from tests.nights.page import BEGIN, END, interval
from tests.nights.policies import Memory, offpeak
from tests.nights.scenario import SCENARIOS, Scenario
from tests.nights.year import live

BY_NAME = {one.name: one for one in SCENARIOS}
NIGHTS = 200


@pytest.mark.parametrize("name", ["nightly", "nightly, silent", "hourly"])
def test_offpeak_is_in_time_at_little_more_than_the_batch_price(name: str) -> None:
    mine = live(BY_NAME[name], "Offpeak", nights=NIGHTS, seed=7)
    batch = live(BY_NAME[name], "batch only", nights=NIGHTS, seed=7)
    assert 0.90 <= batch.on_time <= 0.98
    assert mine.on_time >= 1 - 1 / NIGHTS
    assert mine.cost <= 0.55
    assert mine.beyond_bound == 0
    assert mine.dearest <= 1.0 + 1e-9
    assert mine.p90_held is not None
    assert 0.8 <= mine.p90_held <= 1


def test_where_realtime_is_slow_it_is_in_time_more_often_than_realtime_alone_and_far_cheaper() -> None:
    slow = BY_NAME["slow account"]
    mine, alone = (live(slow, policy, nights=NIGHTS, seed=7) for policy in ("Offpeak", "realtime only"))
    assert mine.on_time >= alone.on_time
    assert mine.cost <= 0.55
    assert alone.cost == pytest.approx(1.0)


def test_a_night_of_slow_batches_is_saved() -> None:
    slow: Scenario = dataclasses.replace(BY_NAME["nightly"], profile="slow_night")
    batch, mine = (live(slow, policy, nights=40, seed=3) for policy in ("batch only", "Offpeak"))
    assert batch.on_time < 0.5
    assert mine.on_time >= 0.95
    assert 0.5 < mine.cost < 1.0
    assert mine.beyond_bound == 0


def test_the_same_seed_is_the_same_night_and_another_seed_is_another() -> None:
    def outcome(seed: int) -> object:
        night = Night(BY_NAME["nightly"], seed=seed, number=5)
        offpeak(night, Memory())
        return night.outcome(), night.weather, tuple(part.life for part in night.parts)

    assert outcome(1) == outcome(1)
    assert outcome(1) != outcome(2)


def test_the_figures_are_written_between_their_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nights.md").write_text(f"# Before\n\n{BEGIN}\noutdated\n{END}\n\nafter\n", encoding="utf-8")
    main(["--nights", "3", "--seed", "2", "--into", str(tmp_path)])
    page = (tmp_path / "nights.md").read_text(encoding="utf-8")
    assert page.startswith("# Before\n")
    assert page.endswith("after\n")
    assert "outdated" not in page
    assert "3 nights for each line, seed 2" in page
    assert "| slow account | Offpeak |" in page
    assert ET.fromstring((tmp_path / "nights.svg").read_text(encoding="utf-8")).tag.endswith("svg")
    assert "hourly          Offpeak" in capsys.readouterr().out


def test_the_page_names_every_workload_as_it_is_simulated() -> None:
    listed = [(cells[0], cells[2], cells[4].split(":")[0]) for cells in table("nights.md", "workload")]
    assert listed == [
        (one.name, f"{one.shards} × {one.requests:,}", f"{one.requests_per_minute:,}") for one in SCENARIOS
    ]
    figures = (ROOT / "docs" / "nights.md").read_text(encoding="utf-8")
    assert all(f"| {one.name} | Offpeak |" in figures for one in SCENARIOS)


def test_an_interval_of_rare_events_is_not_empty() -> None:
    low, high = interval(0, 3_000)
    assert low == 0
    assert 0.0005 < high < 0.002
