"""What of a workload its alerts need, also where its DAG file is not read: a deadline's callback is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

from offpeak.alerts.channels import Channel, Mail, PagerDuty, Slack, Webhook
from offpeak.errors import SpecError


class Watched(Protocol):
    """A workload, or a watch."""

    @property
    def name(self) -> str: ...

    @property
    def due(self) -> timedelta | str | None: ...

    @property
    def budget_usd(self) -> Decimal | None: ...

    @property
    def alerts(self) -> Sequence[Channel]: ...


_KINDS: Mapping[str, type[Any]] = {
    "slack": Slack,
    "mail": Mail,
    "pagerduty": PagerDuty,
    "webhook": Webhook,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A workload's name, due time, budget and channels, as JSON and back."""

    name: str
    due: timedelta | str | None
    budget_usd: Decimal | None
    alerts: tuple[Channel, ...]

    @classmethod
    def of(cls, workload: Watched) -> Watch:
        return cls(
            name=workload.name,
            due=workload.due,
            budget_usd=None if workload.budget_usd is None else Decimal(workload.budget_usd),
            alerts=tuple(workload.alerts),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values. A webhook that is given as a URL is in it; one given as a connection is not."""
        return {
            "name": self.name,
            "due": due_as_json(self.due),
            "budget_usd": None if self.budget_usd is None else format(self.budget_usd, "f"),
            "alerts": [_as_json(channel) for channel in self.alerts],
        }

    @classmethod
    def read(cls, made: Mapping[str, Any]) -> Watch:
        """What `as_dict` made."""
        budget = made["budget_usd"]
        return cls(
            name=made["name"],
            due=due_of_json(made["due"]),
            budget_usd=None if budget is None else Decimal(budget),
            alerts=tuple(_channel(one) for one in made["alerts"]),
        )


def due_as_json(due: timedelta | str | None) -> float | str | None:
    """A duration as seconds, a time of day as its text."""
    return due.total_seconds() if isinstance(due, timedelta) else due


def due_of_json(made: float | str | None) -> timedelta | str | None:
    return timedelta(seconds=made) if isinstance(made, int | float) else made


def _as_json(channel: Any) -> dict[str, Any]:
    kind = next((name for name, made in _KINDS.items() if isinstance(channel, made)), None)
    if kind is None:
        raise SpecError(f"alerts: {channel!r} is no channel that can be kept.")
    return {"kind": kind, **asdict(channel)}


def _channel(made: Mapping[str, Any]) -> Channel:
    values = {
        name: tuple(one) if isinstance(one, list) else one for name, one in made.items() if name != "kind"
    }
    channel: Channel = _KINDS[made["kind"]](**values)
    return channel
