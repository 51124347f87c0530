"""The company: plays scenes, knows how each goes when nobody dies, and adds up what they came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from tests.chaos.boundaries import Boundary
from tests.chaos.proof import Evidence, Truth, findings
from tests.chaos.scene import ALONE, Scene, Stage

Totals = Counter[str]
COLUMNS = ("scenarios", "crashes", "created", "needed", "rows", "billed", "asked", "failed")


class Company:
    """Plays on one stage. Rehearsals are remembered for the length of the process."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._rehearsed: dict[str, tuple[Truth, tuple[Boundary, ...]]] = {}

    def rehearsed(self, scene: Scene) -> tuple[Truth, tuple[Boundary, ...]]:
        """How the scene ends, and what its process crosses, when nobody dies."""
        quiet = replace(scene, attempts=(ALONE,), lanes=1)
        if str(quiet) not in self._rehearsed:
            with self._stage.played(quiet) as played:
                seen = Evidence.of(played)
                found = findings(seen, None)
                assert not found, f"{quiet}\n" + "\n".join(found)
                self._rehearsed[str(quiet)] = (seen.truth(), played.crossed)
        return self._rehearsed[str(quiet)]

    def play(self, scenes: Iterable[Scene], totals: Totals, *, exactly: bool) -> list[str]:
        """What was found wrong, scene by scene. `exactly`: every kill is reached, and everything comes to
        what the rehearsal came to."""
        wrong = []
        for scene in scenes:
            truth = self.rehearsed(scene)[0] if exactly else None
            with self._stage.played(scene) as played:
                seen = Evidence.of(played)
                found = findings(seen, truth)
            kills = sum(kill is not None for attempt in scene.attempts for kill in attempt)
            if exactly and played.crashes != kills:
                found.append(f"{played.crashes} processes died, {kills} should have")
            totals.update(_counted(seen, truth), failed=bool(found), crashes=played.crashes)
            if found:
                wrong.append(f"{scene}\n  " + "\n  ".join(found))
        return wrong


def _counted(seen: Evidence, truth: Truth | None) -> dict[str, int]:
    return {
        "scenarios": 1,
        "created": len(seen.created),
        "needed": truth.creates if truth else sum(shard.attempt > 0 for shard in seen.shards),
        "rows": sum(shard.outcomes.get("answered", 0) for shard in seen.shards),
        "billed": seen.billed,
        "asked": sum(requests for _, requests in seen.created),
    }


def table(by_test: dict[str, Totals], seed: int) -> list[str]:
    """The totals as lines of text."""
    width = max(map(len, by_test))
    lines = [f"seed {seed}", " " * width + "".join(f"{column:>11}" for column in COLUMNS)]
    summed: Totals = Counter()
    for name, totals in sorted(by_test.items()):
        summed.update(totals)
        lines.append(name.ljust(width) + "".join(f"{totals[column]:>11,}" for column in COLUMNS))
    return [*lines, "in all".ljust(width) + "".join(f"{summed[column]:>11,}" for column in COLUMNS)]
