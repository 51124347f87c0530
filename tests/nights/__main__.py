"""`make nights`: the simulated year of every policy, into docs/nights.md and docs/nights.svg."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from tests.nights.page import BEGIN, END, picture, share, text
from tests.nights.policies import POLICIES
from tests.nights.scenario import SCENARIOS
from tests.nights.year import Year, live

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.nights", description=__doc__)
    parser.add_argument("--nights", type=int, default=3_000, help="counted nights of each policy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--into", type=Path, default=DOCS, help="the folder of nights.md and nights.svg")
    given = parser.parse_args(arguments)
    begun, years = time.monotonic(), []
    for scenario in SCENARIOS:
        for policy in POLICIES:
            label = f"{scenario.name:16}{policy:15}"
            year = live(
                scenario,
                policy,
                nights=given.nights,
                seed=given.seed,
                tell=partial(_progress, label, given.nights),
            )
            _say(f"\r{label}{share(year.on_time):>9} on time   cost {year.cost:.3f}      \n")
            years.append(year)
    _write(given.into, years, nights=given.nights, seed=given.seed)
    _say(f"{given.into}/nights.md and nights.svg written after {time.monotonic() - begun:.0f} s\n")


def _write(folder: Path, years: list[Year], *, nights: int, seed: int) -> None:
    page = folder / "nights.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + text(years, nights=nights, seed=seed) + after, encoding="utf-8")
    (folder / "nights.svg").write_text(picture(years), encoding="utf-8")


def _progress(label: str, nights: int, count: int) -> None:
    if sys.stdout.isatty() and count % 50 == 0:
        _say(f"\r{label}{count:,} of {nights:,} nights")


def _say(words: str) -> None:
    sys.stdout.write(words)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
