"""Channels: where alerts go. Plain values for a DAG file; nothing is looked up or sent when they are made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from offpeak.errors import SpecError


class Channel(Protocol):
    """A place that takes messages."""

    @property
    def name(self) -> str:
        """What the ledger calls it: the same for the same place in every workload, and without a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """An incoming webhook, or with `to` a channel of the workspace whose token the connection holds."""

    connection: str
    to: str = ""

    @property
    def name(self) -> str:
        return f"slack:{self.connection}{f':{self.to}' if self.to else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """An SMTP server. `sender` is the connection's `from_email` if empty."""

    connection: str
    to: tuple[str, ...]
    sender: str = ""

    @property
    def name(self) -> str:
        return f"mail:{self.connection}:{','.join(self.to)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PagerDuty:
    """PagerDuty's Events API; the connection's password is the integration key."""

    connection: str

    @property
    def name(self) -> str:
        return f"pagerduty:{self.connection}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that takes a POST with JSON: a URL, or the id of a connection that holds one."""

    address: str = field(repr=False)

    @property
    def name(self) -> str:
        if not is_url(self.address):
            return f"webhook:{self.address}"
        # the path of such a URL is often the secret itself
        told = hashlib.blake2b(self.address.encode(), digest_size=4).hexdigest()
        return f"webhook:{urlsplit(self.address).hostname}:{told}"


def slack(connection: str, *, to: str = "") -> Slack:
    """Slack, by an incoming webhook's connection; or into the channel `to` ("#ops") by a token's connection."""
    return Slack(connection=_id("slack", connection), to=to)


def mail(connection: str, *, to: str | Sequence[str], sender: str = "") -> Mail:
    """Mail through the SMTP server of a connection. SpecError for an address that is none."""
    addresses = (to,) if isinstance(to, str) else tuple(to)
    wrong = [one for one in (*addresses, *([sender] if sender else [])) if not _is_address(one)]
    if wrong or not addresses:
        raise SpecError(
            f"mail(to={list(addresses)!r}): {wrong[0] if wrong else 'nobody'!r} is no address; "
            'give to=["oncall@example.com"].'
        )
    return Mail(connection=_id("mail", connection), to=addresses, sender=sender)


def pagerduty(connection: str) -> PagerDuty:
    """PagerDuty, by the connection that holds the integration key of a service."""
    return PagerDuty(connection=_id("pagerduty", connection))


def webhook(address: str) -> Webhook:
    """A POST of JSON to a URL, or to the one that a connection holds (then its secrets stay out of the code)."""
    if isinstance(address, str) and "://" in address and not is_url(address):
        raise SpecError("webhook(...): give an http:// or https:// address with a host, or a connection id.")
    return Webhook(address=_id("webhook", address))


def is_url(address: str) -> bool:
    """Whether it is an http(s) address and not the id of a connection."""
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def problems(channels: Any) -> list[str]:
    """What is wrong with a workload's `alerts`, each with its cure."""
    if not isinstance(channels, (list, tuple)):
        return [f"alerts={channels!r}: give a list such as [slack('slack_ops')]."]
    known = (Slack, Mail, PagerDuty, Webhook)
    wrong = [one for one in channels if not isinstance(one, known)]
    if wrong:
        return [
            f"alerts: {wrong[0]!r} is no channel; give slack(...), mail(...), pagerduty(...) or webhook(...)."
        ]
    names = [one.name for one in channels]
    return [
        f"alerts: {name} is there twice; leave one out."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _id(kind: str, given: str) -> str:
    if not isinstance(given, str) or not given.strip():
        raise SpecError(f"{kind}({given!r}): give the id of a connection.")
    return given.strip()


def _is_address(text: object) -> bool:
    if not isinstance(text, str) or any(char in text for char in "\r\n\0, "):
        return False
    name, _, host = text.partition("@")
    return bool(name and host) and "@" not in host
