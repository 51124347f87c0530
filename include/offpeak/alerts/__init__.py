"""Alerts: who is told what went wrong, or will. Once per cause, again when it matters, and when it is over."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from offpeak.alerts.channels import mail, pagerduty, slack, webhook

if TYPE_CHECKING:
    from offpeak.alerts.heartbeat import ping
    from offpeak.alerts.look import Outlook
    from offpeak.alerts.raising import Raised, Seen, dismiss, raise_alerts

_LATER = {
    "Outlook": "offpeak.alerts.look",
    "Raised": "offpeak.alerts.raising",
    "Seen": "offpeak.alerts.raising",
    "dismiss": "offpeak.alerts.raising",
    "ping": "offpeak.alerts.heartbeat",
    "raise_alerts": "offpeak.alerts.raising",
}
"""What a DAG file does not need comes in when it is first used."""

__all__ = [
    "Outlook",
    "Raised",
    "Seen",
    "dismiss",
    "mail",
    "pagerduty",
    "ping",
    "raise_alerts",
    "slack",
    "webhook",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'offpeak.alerts' has no attribute {name!r}")
    value = getattr(import_module(_LATER[name]), name)
    globals()[name] = value
    return value
