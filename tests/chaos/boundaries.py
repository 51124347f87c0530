"""The boundaries of a run: every public verb through which it changes or learns something outside itself.

They are found in the classes, not listed, so that a new verb is crossed by the scenarios or reported by
a test. Only a child process that is about to be killed is ever wrapped.
"""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Literal, NamedTuple

Side = Literal["before", "after"]
SIDES: tuple[Side, ...] = ("before", "after")
ANY = "any"
"""In a kill: whatever verb it is; `call` then counts all of a process's calls together."""


class Boundary(NamedTuple):
    """One call of one verb by one process. `after`: it took effect, and its caller has not heard of it."""

    verb: str
    """`noun.verb`; a context manager has two, `noun.verb:enter` and `noun.verb:leave`."""
    call: int
    """Counts from 1 in each process."""
    side: Side

    def __str__(self) -> str:
        return f"{self.side} {self.verb}#{self.call}"


STORE_WRITES = frozenset({"writing", "put", "write_bytes", "delete"})
"""The other verbs of the store only read: dying there is dying at the next boundary."""


def nouns() -> dict[str, list[type]]:
    """The classes whose verbs are boundaries, by the noun that they implement."""
    from offpeak.ledger import Ledger
    from offpeak.providers.anthropic_client import AnthropicClient
    from offpeak.providers.openai_client import OpenAIClient
    from offpeak.store import Store
    from offpeak.tables.parquet import OpenParquet

    return {
        "ledger": [Ledger],
        "client": [OpenAIClient, AnthropicClient],
        "store": [Store],
        "table": [OpenParquet],
    }


def public_functions(owner: type) -> dict[str, Callable[..., Any]]:
    return {
        name: found
        for name, found in vars(owner).items()
        if not name.startswith("_") and inspect.isfunction(found)
    }


def verbs() -> set[str]:
    """Every boundary's verb, as the code has them now; those of a protocol whether implemented or not."""
    from offpeak.providers.provider import Client
    from offpeak.tables.table import OpenTable

    protocols: dict[str, type] = {"client": Client, "table": OpenTable}
    found = set()
    for noun, owners in nouns().items():
        for owner in (*owners, *([protocols[noun]] if noun in protocols else [])):
            for name, function in public_functions(owner).items():
                if noun != "store" or name in STORE_WRITES:
                    found |= _names(f"{noun}.{name}", function)
    return found


def _names(verb: str, function: Callable[..., Any]) -> set[str]:
    if _is_context(function):
        return {f"{verb}:enter", f"{verb}:leave"}
    return {verb}


def _is_context(function: Callable[..., Any]) -> bool:
    """Whether a function was made a context manager of by `contextmanager`."""
    inner = getattr(function, "__wrapped__", None)
    return inner is not None and inspect.isgeneratorfunction(inner)


class Crossings:
    """Counts the boundaries that this process crosses, writes each down, and dies at the one it is told.

    What is written is in the file before the process goes on, so that it outlives a kill.
    """

    def __init__(self, log: Path, kill: Boundary | None) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._kill = kill
        self._calls: Counter[str] = Counter()
        self._total: dict[Side, int] = {"before": 0, "after": 0}
        self._lock = threading.Lock()

    def begin(self, verb: str) -> int:
        """The number of this call, having crossed into it."""
        with self._lock:
            self._calls[verb] += 1
            call = self._calls[verb]
        self._cross(Boundary(verb, call, "before"))
        return call

    def end(self, verb: str, call: int) -> None:
        self._cross(Boundary(verb, call, "after"))

    def _cross(self, boundary: Boundary) -> None:
        with self._lock:
            self._total[boundary.side] += 1
            anywhere = Boundary(ANY, self._total[boundary.side], boundary.side)
        os.write(self._log, f"{boundary.verb} {boundary.call} {boundary.side}\n".encode())
        if self._kill in (boundary, anywhere):
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap_everything(self) -> None:
        """Intercept every verb, in this process and for good."""
        for noun, owners in nouns().items():
            for owner in owners:
                for name, function in public_functions(owner).items():
                    if noun != "store" or name in STORE_WRITES:
                        setattr(owner, name, self._wrapped(f"{noun}.{name}", function))

    def _wrapped(self, verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if _is_context(function):
            return self._around_context(verb, function)
        if inspect.isgeneratorfunction(function):
            return self._around_stream(verb, function)
        if inspect.iscoroutinefunction(function):
            return function  # nobody here awaits; the list of the uncrossed says so

        @wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            call = self.begin(verb)
            try:
                return function(*args, **kwargs)
            finally:  # a call that raised may have taken effect all the same
                self.end(verb, call)

        return plain

    def _around_stream(self, verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
            call = self.begin(verb)
            try:
                yield from function(*args, **kwargs)
            finally:
                self.end(verb, call)

        return stream

    def _around_context(self, verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def context(*args: Any, **kwargs: Any) -> Iterator[Any]:
            entering = self.begin(f"{verb}:enter")
            with function(*args, **kwargs) as value:
                self.end(f"{verb}:enter", entering)
                yield value
                leaving = self.begin(f"{verb}:leave")
            self.end(f"{verb}:leave", leaving)

        return context


def read_log(log: Path) -> list[Boundary]:
    """What a process crossed, in order, as far as it came."""
    if not log.exists():
        return []
    found = []
    for line in log.read_text().splitlines():
        verb, call, side = line.split(" ")
        found.append(Boundary(verb, int(call), "before" if side == "before" else "after"))
    return found
