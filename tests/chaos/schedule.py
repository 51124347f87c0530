"""Schedules: which scenes are played. The matrix is every boundary; random ones are drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tests.chaos.boundaries import ANY, SIDES, Boundary
from tests.chaos.scene import ALONE, TOGETHER, Attempt, Scene
from tests.chaos.weather import ANOTHER_ROUND, LEDGERS, PROVIDERS, Fault, Weather, real_seconds

CRASHES_IN_A_ROW = 3
EACH = 7
"""Odd, as `before` and `after` take turns."""
LATE_SECONDS = 0.1
"""So long a new batch stays out of the list, or cannot be found, in a random schedule."""
PATIENT_SECONDS = 0.8
"""`settle` in a random schedule: longer than that by more than a busy machine is late."""


def matrix(scene: Scene, crossed: Iterable[Boundary]) -> list[Scene]:
    """One scene for each of the boundaries: the process dies there, and is followed by one heir, at every
    third boundary by two at once."""
    return [
        replace(scene, attempts=((boundary,), TOGETHER if number % 3 == 0 else ALONE))
        for number, boundary in enumerate(crossed)
    ]


def peculiar(crossed: Sequence[Boundary], familiar: Iterable[Boundary], *, offset: int) -> list[Boundary]:
    """What a weather adds: every boundary of a verb that the clear one never crosses, and of the others,
    which are played there one by one, every `EACH`th from `offset`."""
    known = {boundary.verb for boundary in familiar}
    return [
        boundary
        for number, boundary in enumerate(crossed)
        if boundary.verb not in known or number % EACH == offset
    ]


def _on_create(name: str, **match: object) -> Fault:
    return Fault(name=name, match={"method": "POST", "path": "{creates}", **match})


FAULTS: tuple[Fault, ...] = (
    _on_create("lost_response"),
    _on_create("html_success"),
    _on_create("bad_gateway"),
    _on_create("unreachable"),
    _on_create("rate_limited", params={"retry_after": 0.1}),
    Fault(name="lost_response", match={"method": "POST", "path": "/v1/files"}),
    Fault(name="html_success", match={"method": "POST", "path": "/v1/files"}),
    Fault(name="bad_gateway", match={"method": "POST", "path": "/v1/files"}),
    Fault(name="unreachable", times=2),
    Fault(name="rate_limited", times=2, match={"params": {"retry_after": 0.1}}),
    Fault(name="list_fails", times=2),
    Fault(name="late_in_list", times=-1, match={"params": real_seconds(LATE_SECONDS)}),
    Fault(name="not_found_early", times=-1, match={"params": real_seconds(LATE_SECONDS)}),
    Fault(name="reset_download"),
    Fault(name="truncated_results", times=2),
    Fault(name="missing_line", match={"params": {"lines": 1}}, loses=1),
    Fault(name="duplicated_line", times=2, match={"params": {"lines": 2}}),
    Fault(name="server_error", times=2, match={"method": "GET", "path": "{creates}"}),
    Fault(name="html_success", match={"method": "GET", "path": "{creates}"}),
    Fault(name="unknown_status", times=2),
)


def random_scene(seed: int, number: int, crossed: dict[str, tuple[Boundary, ...]]) -> Scene:
    """Scene `number` of the schedule `seed`: one to three crashes in a row in some weather of its own.

    `crossed` holds what a run crosses by itself, by provider. The same two numbers always give the same
    scene while the code crosses the same boundaries.
    """
    draw = random.Random(f"{seed}/{number}")
    provider = draw.choice(PROVIDERS)
    weather = Weather(
        name=f"random {seed}/{number}",
        faults=(ANOTHER_ROUND, *draw.sample(FAULTS, draw.randint(0, 3))),
        settle_seconds=PATIENT_SECONDS,
    )
    crashes = [_attempt(draw, crossed[provider]) for _ in range(draw.choice((1, 1, 2, 2, CRASHES_IN_A_ROW)))]
    return Scene(
        weather=weather,
        provider=provider,
        ledger=draw.choice(LEDGERS),
        attempts=(*crashes, draw.choice((ALONE, ALONE, TOGETHER))),
        lanes=draw.choice((1, 4)),
    )


def _attempt(draw: random.Random, crossed: tuple[Boundary, ...]) -> Attempt:
    """One process that dies, or two at once of which one or both do."""
    first = _kill(draw, crossed)
    if draw.random() < 0.8:
        return (first,)
    return (first, _kill(draw, crossed) if draw.random() < 0.5 else None)


def _kill(draw: random.Random, crossed: tuple[Boundary, ...]) -> Boundary:
    """One that a run crosses by itself, one of looking for what a dead one made, or the nth of any."""
    match draw.randint(1, 10):
        case 1 | 2 | 3 | 4:
            return draw.choice(crossed)
        case 5:
            return Boundary(draw.choice(("client.find", "ledger.owned_batch_ids")), 1, draw.choice(SIDES))
        case _:  # counted small, because an heir has less left to do
            return Boundary(ANY, draw.randint(1, len(crossed) // 2), draw.choice(SIDES))
