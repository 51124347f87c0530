"""The site: where runs happen. Its store, its ledger, its connections, its clock and its polling pace."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from offpeak.connections import Connections, EnvConnections
from offpeak.errors import SpecError
from offpeak.ledger.holder import here
from offpeak.polling import Pace
from offpeak.store import Store

if TYPE_CHECKING:
    from offpeak.ledger import Ledger
    from offpeak.providers.provider import Account
    from offpeak.workload import Workload

DEFAULT_STORE = "offpeak-store"


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The data interval of a run. `key` is its name in the ledger and in paths: start of the interval in UTC.

    Both ends are aware; a naive datetime raises SpecError. They may be equal (a run of "now").
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise SpecError(f"The data interval {self.start} to {self.end} has no time zone; add one.")
        if self.end < self.start:
            raise SpecError(f"The data interval ends ({self.end}) before it starts ({self.start}).")

    @property
    def key(self) -> str:
        start = self.start.astimezone(UTC)
        text = start.strftime("%Y-%m-%dT%H%M%S")
        return f"{text}.{start.microsecond:06d}Z" if start.microsecond else f"{text}Z"


def worker_name() -> str:
    """Who holds a lease: host, process and a random part, so that a dead process is told from its heir."""
    return f"{here()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything a step of a run needs besides the workload. Cheap to make; hold one per process."""

    store: Store
    ledger: Ledger
    connections: Connections = field(default_factory=EnvConnections)
    pace: Pace = field(default_factory=Pace)
    now: Callable[[], datetime] = utc_now
    worker: str = field(default_factory=worker_name)
    env: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def open(
        cls,
        *,
        store: str | None = None,
        ledger: str | None = None,
        connections: Connections | None = None,
        pace: Pace | None = None,
    ) -> Site:
        """The site named by arguments, else by OFFPEAK_STORE and OFFPEAK_LEDGER, else under ./offpeak-store.

        The ledger defaults to SQLite inside a local store; a remote store needs a named ledger.
        """
        from offpeak.ledger import Ledger

        root = Store(store or os.environ.get("OFFPEAK_STORE") or DEFAULT_STORE)
        url = ledger or os.environ.get("OFFPEAK_LEDGER") or root.default_ledger_url()
        return cls(
            store=root,
            ledger=Ledger(url),
            connections=connections or EnvConnections(),
            pace=pace or Pace(),
        )


def account_of(workload: Workload, site: Site) -> Account:
    """The provider account that pays for the workload; SpecError when there are no credentials."""
    return workload.provider.account(workload.connection, site.connections, site.env)
