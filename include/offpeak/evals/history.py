"""Earlier evaluations, from the facts that each leaves beside its page: the last good one, and the nights before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from offpeak.evals.suite import LAST_GOOD

if TYPE_CHECKING:
    from offpeak.evals.candidate import Candidate
    from offpeak.evals.suite import EvalSuite
    from offpeak.store import Store

NIGHTS_SHOWN = 30


class Baseline(NamedTuple):
    """Who everybody is compared with, and why, in a sentence."""

    candidate: Candidate
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The facts of one earlier evaluation (see facts.py)."""

    interval: str
    facts: dict[str, Any]

    def of(self, candidate: str, asks: str) -> dict[str, Any] | None:
        """What it says of a candidate, if it asked the same then."""
        for one in self.facts.get("candidates", ()):
            if one["name"] == candidate and one["asks"] == asks:
                return dict(one)
        return None


def folder(suite: EvalSuite) -> str:
    """Where pages and facts lie in the store."""
    return f"evals/{suite.name}"


def earlier(suite: EvalSuite, store: Store, before: str, *, most: int = NIGHTS_SHOWN) -> list[Earlier]:
    """The evaluations of the intervals before this one, the latest first."""
    names = [name for name in store.names(f"{folder(suite)}/*.json") if _interval(name) < before]
    return [
        Earlier(interval=_interval(name), facts=orjson.loads(store.read_bytes(name)))
        for name in sorted(names, reverse=True)[:most]
    ]


def is_latest(suite: EvalSuite, store: Store, interval_key: str) -> bool:
    """Whether no evaluation of a later interval is there: a backfill must not become the latest."""
    return all(_interval(name) <= interval_key for name in store.names(f"{folder(suite)}/*.json"))


def _interval(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".json")


def night_of(key: str) -> str:
    """`2026-11-22` of an interval's key; with its time when it does not begin at midnight."""
    day, _, time = key.partition("T")
    return day if time.startswith("000000") else f"{day} {time[:2]}:{time[2:4]}"


def baseline_of(suite: EvalSuite, before: Sequence[Earlier]) -> Baseline:
    """The named baseline, or the last good one of the evaluations `before`, see `earlier`; else the first candidate."""
    if suite.baseline != LAST_GOOD:
        return Baseline(suite.candidate(suite.baseline), "named in the suite")
    first = suite.candidates[0]
    last = next((one for one in before if "last_good" in one.facts), None)
    if last is None:
        return Baseline(first, "the first candidate: nothing has passed yet")
    good = last.facts["last_good"]
    for candidate in suite.candidates:
        if suite.asks(candidate) == good["asks"]:
            return Baseline(candidate, f"the last good one, as of {night_of(good['since'])}")
    return Baseline(
        first,
        f"the first candidate: the last good one ({good['name']}, as of {night_of(good['since'])}) is not asked "
        "in this suite any more, in this form",
    )
