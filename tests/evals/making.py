"""Suites for tests: the real library against the emulator, stage by stage, to the last step."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from offpeak import Prompt, parquet, parquet_table
from offpeak.drive import drive
from offpeak.evals import Candidate, EvalSuite, Gate, exact
from offpeak.pipeline import Finished
from offpeak.run import new_run, start
from offpeak.site import Interval, Site
from offpeak.stage import finish, is_done, run_of
from tests.run.making import Place

DATA = Path(
    os.environ.get("OFFPEAK_TEST_DATA", Path(__file__).resolve().parents[2] / ".." / "shared" / "data")
)
KINDS = ("card", "refund", "transfer")


class Sorted(BaseModel):
    kind: Literal["card", "refund", "transfer", "other"]


def night(number: int) -> Interval:
    begins = datetime(2026, 11, number, tzinfo=UTC)
    return Interval(start=begins, end=begins + timedelta(days=1))


PROMPT = Prompt(system="Sort bank tickets.", user="{{ row.text }}")


def candidate(name: str, model: str = "openai:gpt-5-mini", **changes: Any) -> Candidate:
    settings: dict[str, Any] = {"prompt": PROMPT, "answer": Sorted}
    return Candidate(name, model=model, **{**settings, **changes})


def suite(**changes: Any) -> EvalSuite:
    settings: dict[str, Any] = {
        "name": "evals",
        "cases": parquet("{store}/cases/*.parquet", key="case_id"),
        "candidates": [candidate("mini"), candidate("nano", "openai:gpt-5-nano")],
        "scorers": [exact("kind")],
        "gate": Gate(metric="kind", max_drop=0.02),
        "into": parquet_table("{store}/tables/evals"),
    }
    return EvalSuite(**{**settings, **changes})


@dataclass(kw_only=True)
class Evaluating(Place):
    """A place in which whole suites run."""

    def cases(self, count: int, *, name: str = "cases", **columns: Any) -> None:
        """Labelled cases that the stand-in gets right; `columns` replaces or adds some."""
        kinds = [KINDS[number % 3] for number in range(count)]
        table = {
            "case_id": [f"c{number:05d}" for number in range(count)],
            "text": [f"Please help me with the {kind} number {number}" for number, kind in enumerate(kinds)],
            "kind": kinds,
            "region": ["north" if number % 4 else "south" for number in range(count)],
        }
        folder = self.store / name
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({**table, **columns}), folder / "rows.parquet")

    def evaluate(self, made: EvalSuite, *, on: int = 20) -> Finished:
        """The whole pipeline for one night."""
        site, interval = self.site(), night(on)
        for layer in made.pipeline.layers:
            for stage in layer:
                new = new_run(stage, site, interval)
                if not is_done(site, new, interval):
                    drive(stage, site, start(stage, site, new, interval).run_id)
        return finish(made.pipeline, site, interval)

    def requests(self, stage: str, *, on: int = 20, site: Site | None = None) -> int:
        """What a stage asked on a night."""
        run = run_of(site or self.site(), stage, night(on))
        assert run is not None
        return int(run.facts["requests"])

    def page(self, name: str = "evals/evals/latest.html") -> str:
        return (self.store / name).read_text(encoding="utf-8")
