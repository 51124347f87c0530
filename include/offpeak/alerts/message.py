"""Messages: an alert as people and programs read it. Foreign text in it is cut, cleaned and never markup."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from offpeak.ledger.records import Alert

Kind = Literal["opened", "updated", "resolved"]
Severity = Literal["warning", "error", "critical"]

TEXT_CHARACTERS = 400
"""So much of a foreign text is in a message."""
_SECRETS = re.compile(
    r"(?i)\b(sk|pk|rk|xox[a-z])-[\w-]{8,}|\b(bearer|basic|api[-_]?key[=:]|token[=:]|password[=:])\s*[^\s,;\"']{6,}"
    r"|(?<=://)[^/@\s]+@"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing that can be done: its command, what it costs and when it would be done."""

    name: str
    command: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One version of an alert, ready for any channel."""

    alert: Alert
    kind: Kind
    severity: Severity
    title: str
    lines: tuple[tuple[str, str], ...]
    """Label and text, in the order of their weight."""
    options: tuple[Option, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """Label and address, or path where no base address is known."""

    @property
    def id(self) -> str:
        """The same whenever this version is told, so that a receiver can tell a repetition."""
        return f"offpeak-{self.alert.sequence}-{self.alert.version}"

    @property
    def incident(self) -> str:
        """The same for every version of one alert."""
        return f"offpeak:{self.alert.sequence}:{self.alert.key}"

    def as_text(self) -> str:
        """Plain text, for chat and for mail readers without HTML."""
        parts = [self.title, "", *(f"{label}: {text}" for label, text in self.lines)]
        if self.options:
            parts += ["", "What can be done:"]
            parts += [f"- {one.name}: {one.what}\n  {one.command}".rstrip() for one in self.options]
        if self.links:
            parts += ["", *(f"{label}: {address}" for label, address in self.links)]
        return "\n".join(parts)

    def as_html(self) -> str:
        """A mail's HTML. Every text is escaped; nothing is loaded from anywhere."""
        rows = "".join(f"<tr><th align='left'>{_e(a)}</th><td>{_e(b)}</td></tr>" for a, b in self.lines)
        options = "".join(
            f"<li><b>{_e(one.name)}</b>: {_e(one.what)}"
            f"{f'<br><code>{_e(one.command)}</code>' if one.command else ''}</li>"
            for one in self.options
        )
        links = "".join(f"<li>{_e(label)}: {_link(address)}</li>" for label, address in self.links)
        return (
            f"<html><body><h2>{_e(self.title)}</h2><table cellpadding='4'>{rows}</table>"
            + (f"<h3>What can be done</h3><ul>{options}</ul>" if options else "")
            + (f"<ul>{links}</ul>" if links else "")
            + "</body></html>"
        )

    def as_json(self) -> dict[str, Any]:
        """What a webhook gets. Keys are added without notice, never renamed or removed."""
        alert = self.alert
        return {
            "id": self.id,
            "incident": self.incident,
            "kind": self.kind,
            "cause": str(alert.cause),
            "severity": self.severity,
            "workload": alert.workload,
            "run_id": alert.run_id or None,
            "title": self.title,
            "text": self.as_text(),
            "opened_at": alert.opened_at.isoformat(),
            "updated_at": alert.updated_at.isoformat(),
            "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
            "facts": clean_facts(alert.facts),
            "options": [{"name": o.name, "command": o.command, "what": o.what} for o in self.options],
            "links": dict(self.links),
        }


def foreign(text: object, characters: int = TEXT_CHARACTERS) -> str:
    """A text from a provider, a model or an error: without secrets and control characters, and not longer."""
    from offpeak.report.wording import shown

    said = _SECRETS.sub("(hidden)", " ".join(str(text).split()))
    return str(
        shown(said if len(said) <= characters else f"{said[:characters]} … ({len(said):,} characters)")
    )


def clean_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with every text in them as `foreign` gives it."""
    return {name: _clean(value) for name, value in facts.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return foreign(value)
    if isinstance(value, Mapping):
        return clean_facts(value)
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    return value


def _e(text: str) -> str:
    return html.escape(text, quote=True)


def _link(address: str) -> str:
    if not address.startswith(("https://", "http://")):
        return f"<code>{_e(address)}</code>"
    return f'<a href="{_e(address)}">{_e(address)}</a>'
