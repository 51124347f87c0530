"""Faults in force: which one strikes a call, a new batch, or a line."""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from offpeak.emulator.fault_table import DOWNLOADS, FAULTS, FaultKind, Strikes
from offpeak.emulator.wire import JsonObject

Once = Literal["", "custom_id", "body"]
ALWAYS = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a fault may strike: a call, a batch at its creation, or one line of it."""

    method: str
    path: str
    custom_id: str = ""
    body: bytes = b""

    @property
    def row(self) -> str:
        """The custom_id after its first '-': the same row in another round, shard or run."""
        return self.custom_id.split("-", 1)[-1]


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault in force. It strikes `times` times (-1 always) among the targets it matches."""

    kind: FaultKind
    params: dict[str, Any] = field(default_factory=dict)
    times: int = 1
    method: str = ""  # any method if empty
    path: str = ""  # prefix; the kind's own paths if empty
    custom_id: str = ""  # regular expression, searched in a line's custom_id
    share: float = 1.0  # of the lines, by hash
    once: Once = ""  # a line already struck, seen again by row or by body, is spared
    struck: int = 0
    _seen: set[str | bytes] = field(default_factory=set)

    @property
    def left(self) -> bool:
        return self.times == ALWAYS or self.struck < self.times

    def take(self, target: Target, *, seed: int) -> bool:
        """Whether the fault strikes this target; if so it is counted. Not safe without a lock."""
        if not self.left or "key" in self.params:
            return False
        if not self._matches(target) or not self._in_share(target, seed):
            return False
        if self.once:
            key = target.row if self.once == "custom_id" and target.custom_id else target.body
            if key in self._seen:
                return False
            self._seen.add(key)
        self.struck += 1
        return True

    def as_json(self) -> JsonObject:
        shown = {name: "***" if name == "key" else value for name, value in self.params.items()}
        return {
            "name": self.kind.name,
            "params": shown,
            "times": self.times,
            "method": self.method,
            "path": self.path,
            "custom_id": self.custom_id,
            "share": self.share,
            "once": self.once,
            "struck": self.struck,
        }

    def _matches(self, target: Target) -> bool:
        method = self.method or self.kind.method
        if method and method != target.method:
            return False
        prefixes = (self.path,) if self.path else self.kind.paths
        if prefixes and not target.path.startswith(prefixes):
            return False
        if self.kind.paths is DOWNLOADS and not target.path.endswith(("/content", "/results")):
            return False
        if self.kind.name == "list_fails" and not target.path.endswith("/batches"):
            return False
        if self.kind.name in ("unknown_status", "not_found") and target.path.endswith(
            ("/batches", "/results")
        ):
            return False
        return not self.custom_id or re.search(self.custom_id, target.custom_id) is not None

    def _in_share(self, target: Target, seed: int) -> bool:
        if self.share >= 1.0:
            return True
        key = f"{seed}\0{self.kind.name}\0{target.row}".encode() if target.custom_id else target.body
        return zlib.crc32(key) / 2**32 < self.share


class FaultBook:
    """All faults in force. The oldest that matches strikes first."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self, name: str | None = None) -> None:
        with self._lock:
            self._faults = [fault for fault in self._faults if name not in (None, fault.kind.name)]

    def all(self) -> list[Fault]:
        return list(self._faults)

    def refuses(self, key: str) -> bool:
        """Whether a bad_key fault names this key. Unlike other faults it names whom it strikes."""
        with self._lock:
            for fault in self._faults:
                if fault.kind.name == "bad_key" and fault.params.get("key") == key and fault.left:
                    fault.struck += 1
                    return True
        return False

    def any_lines(self) -> bool:
        """Whether a line may be struck at all: asked once per line, so it takes no lock."""
        return any(fault.kind.strikes is Strikes.LINE for fault in self._faults)

    def strike(self, target: Target, strikes: Strikes) -> Fault | None:
        """The first fault that strikes this target."""
        with self._lock:
            candidates = (fault for fault in self._faults if fault.kind.strikes is strikes)
            return next((fault for fault in candidates if fault.take(target, seed=self._seed)), None)

    def strike_all(self, target: Target, strikes: Strikes) -> Iterable[Fault]:
        """Every fault that strikes this target: a batch can be unlucky in several ways."""
        with self._lock:
            candidates = [fault for fault in self._faults if fault.kind.strikes is strikes]
            return [fault for fault in candidates if fault.take(target, seed=self._seed)]


def parse_fault(body: JsonObject) -> Fault:
    """A fault as the control endpoint takes it. ValueError says what is wrong with it."""
    known = {"name", "params", "times", "method", "path", "custom_id", "share", "once"}
    if unknown := body.keys() - known:
        raise ValueError(f"a fault has no field {sorted(unknown)[0]!r}; it has {', '.join(sorted(known))}")
    name = str(body.get("name", ""))
    if name not in FAULTS:
        raise ValueError(f"there is no fault {name!r}; GET /_emulator/faults lists them")
    kind, params = FAULTS[name], dict(body.get("params") or {})
    if unknown := params.keys() - set(kind.params):
        raise ValueError(
            f"fault {name} takes no parameter {sorted(unknown)[0]!r}; it takes {kind.params or 'none'}"
        )
    once = body.get("once", "")
    if once not in ("", "custom_id", "body"):
        raise ValueError(f"once must be 'custom_id' or 'body', not {once!r}")
    re.compile(str(body.get("custom_id", "")))
    return Fault(
        kind=kind,
        params=params,
        times=int(body.get("times", 1)),
        method=str(body.get("method", "")).upper(),
        path=str(body.get("path", "")),
        custom_id=str(body.get("custom_id", "")),
        share=float(body.get("share", 1.0)),
        once=once,
    )
