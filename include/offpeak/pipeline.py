"""A pipeline: several workloads whose runs feed each other, and one last step over what they published.

A digest of several levels and an evaluation suite are pipelines. Each stage is a workload of its own, so all that
holds for one holds for it: it is paid once, asked once, checked and published. Its rows come from the tables of the
stages before it, in the same data interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from offpeak.errors import SpecError

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Finishing:
    """What the last step is given: every stage's run of this interval, published."""

    site: Site
    interval: Interval
    runs: Mapping[str, Run]
    """By the name of the stage's workload, in the order of the pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What the last step made."""

    said: tuple[str, ...] = ()
    """Lines for people: on the command line, in the task's log."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values: kept with the last stage's run, sent with the asset event, printed by --json."""
    exit_code: int = 0
    """Of `offpeak run`: 0, or what a release that waits on it should see. The dag run stays green."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Stages in order. SpecError when two of them have one name."""

    name: str
    layers: tuple[tuple[Workload, ...], ...]
    """The stages of one layer run side by side, a layer begins when the one before it is published."""
    finish: Callable[[Finishing], Finished]
    """Safe to call again: it replaces what it made before."""
    budget_usd: Decimal | None = None
    """Of all stages together: a stage is not sent when its estimate and what the others have cost are above it."""
    again: frozenset[str] = frozenset()
    """Names of stages that ask every row in every interval, also what was answered before."""

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SpecError(f"{self.name}: two stages are called {', '.join(twice)}; give each its own name.")
        if not names:
            raise SpecError(f"{self.name}: a pipeline needs at least one stage.")

    def stages(self) -> Iterator[Workload]:
        """Every stage, in order."""
        for layer in self.layers:
            yield from layer

    @property
    def last(self) -> Workload:
        """The stage that ends the pipeline: its due time is the pipeline's."""
        return self.layers[-1][-1]


@runtime_checkable
class Pipelined(Protocol):
    """What a DAG file may declare beside a Workload: a spec that is carried out as a pipeline."""

    @property
    def name(self) -> str: ...

    @property
    def pipeline(self) -> Pipeline: ...
