"""A candidate: the model, prompt and parameters that are compared with others on the same cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from offpeak.errors import SpecError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from offpeak.prices import Price
    from offpeak.prompt import Prompt
    from offpeak.workload import Workload

_OF_WORKLOAD = (
    "model", "prompt", "answer", "endpoint", "params", "max_output_tokens", "connection", "price"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is asked of every case: `Candidate("nano", model="openai:gpt-5-nano", prompt=..., answer=Triage)`."""

    name: str
    """Lower-case letters, digits and `_`; one meaning over the years: results are followed by it."""
    model: str = field(kw_only=True)
    prompt: Prompt = field(kw_only=True)
    answer: type[BaseModel] | type[str] = field(kw_only=True)
    endpoint: str = field(default="", kw_only=True)
    params: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    max_output_tokens: int = field(default=4096, kw_only=True)
    connection: str | None = field(default=None, kw_only=True)
    price: Price | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, name: str, workload: Workload, **changes: Any) -> Candidate:
        """What `workload` asks, with some of it changed. Unchanged it asks just what the workload asks.

        SpecError for a change that a candidate does not have.
        """
        if strange := sorted(set(changes) - set(_OF_WORKLOAD)):
            raise SpecError(
                f"Candidate.of({name!r}): {', '.join(strange)} is nothing that a candidate has; there are "
                f"{', '.join(_OF_WORKLOAD)}."
            )
        from offpeak.asked import asking

        asked = asking(workload, **changes)
        return cls(name, **{one: getattr(asked, one) for one in _OF_WORKLOAD})
