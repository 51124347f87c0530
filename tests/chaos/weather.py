"""Weathers: how the provider behaves in a scenario. Each makes the run cross verbs that the others do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.job import Task
from tests.run.making import CREATE_PATHS

PROVIDERS = ("openai", "anthropic")
LEDGERS = ("sqlite", "postgres")
SPEED = 6000
"""Virtual seconds a real one: a batch is over in two milliseconds, so a look finds it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of the emulator, as `Control.add_fault` takes it. `path` may hold `{creates}`."""

    name: str
    times: int = 1
    match: Mapping[str, Any] = field(default_factory=dict)
    loses: int = 0
    """Answers that are billed and then lost for good by the provider, so that asking them again is right."""

    def details(self, provider: str) -> dict[str, Any]:
        path = str(self.match.get("path", "")).format(creates=CREATE_PATHS[provider])
        return {**self.match, "times": self.times} | ({"path": path} if path else {})


def real_seconds(seconds: float) -> dict[str, float]:
    """A fault's own duration."""
    return {"for_seconds": seconds * SPEED}


ANOTHER_ROUND = Fault(name="line_error_500", times=-1, match={"once": "custom_id", "share": 0.3})
NOT_YET_ENDED = Fault(name="unknown_status", times=2)
"""Two looks find a batch that goes on: exactly two, however fast the machine is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """A name, the faults in force from the start, and what the first process is to do."""

    name: str
    faults: tuple[Fault, ...]
    providers: tuple[str, ...] = PROVIDERS
    task: Task = "run"
    settle_seconds: float = 0.3
    """`Pace.settle`. Must exceed the time in which a batch may stay out of the list."""


WEATHERS = (
    Weather(name="clear", faults=(ANOTHER_ROUND, NOT_YET_ENDED)),
    Weather(
        name="busy",
        faults=(
            ANOTHER_ROUND,
            Fault(
                name="rate_limited",
                match={"method": "POST", "path": "{creates}", "params": {"retry_after": 0.1}},
            ),
        ),
    ),
    Weather(
        name="failed_whole",
        faults=(ANOTHER_ROUND, Fault(name="token_limit_exceeded")),
        providers=("openai",),
    ),
    Weather(
        name="lost_create",
        faults=(ANOTHER_ROUND, Fault(name="lost_response", match={"method": "POST", "path": "{creates}"})),
    ),
    Weather(
        name="lost_upload",
        faults=(ANOTHER_ROUND, Fault(name="lost_response", match={"method": "POST", "path": "/v1/files"})),
        providers=("openai",),
    ),
    Weather(name="cancelled", faults=(Fault(name="stuck", times=-1),), task="cancel"),
)
CLEAR = WEATHERS[0]
