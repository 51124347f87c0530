"""A client for the control endpoints; works against this process or any other."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """All calls of one method and path, with ids taken out of the path."""

    method: str
    path: str  # such as /v1/batches/{id}
    count: int
    by_retry: dict[str, int]  # x-stainless-retry-count, or "none" for a client that sends none
    by_status: dict[str, int]  # "none" where the connection was reset instead of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCreate:
    """One batch the emulator accepted, whether or not its answer arrived."""

    provider: str
    batch_id: str
    created_at: float  # unix seconds on the virtual clock
    requests: int
    custom_ids: tuple[str, ...]  # the first few
    metadata: dict[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What a provider would have charged for."""

    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBatch:
    """One batch as the emulator knows it, which may be more than it shows."""

    id: str
    provider: str
    stage: str
    requests: int
    finished: int
    billed: Billed


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The emulator at one moment. `billed` covers batches and realtime, by provider."""

    now: float  # unix seconds on the virtual clock
    speed: float
    frozen: bool
    batches: tuple[SeenBatch, ...]
    files: int
    billed: dict[str, Billed]
    realtime: dict[str, Billed]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """One row of the table of faults."""

    name: str
    strikes: str
    what: str
    params: tuple[str, ...]


class Control:
    """Turns the clock, sets faults, and tells what was asked. Raises ValueError on a bad wish."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def advance(self, seconds: float) -> float:
        """Moves the virtual clock ahead; returns its new time."""
        return float(self._call("POST", "clock", {"advance_seconds": seconds})["now"])

    def freeze(self, frozen: bool = True) -> None:
        self._call("POST", "clock", {"frozen": frozen})

    def set_speed(self, speed: float) -> None:
        self._call("POST", "clock", {"speed": speed})

    def set_latency(self, name: str) -> None:
        """Takes the latency profile of this name for batches that are created from now on."""
        self._call("POST", "latency", {"name": name})

    def add_fault(self, name: str, *, times: int = 1, **match: Any) -> None:
        """Adds a fault. `match` takes params, method, path, custom_id, share and once; times=-1 is always."""
        self._call("POST", "faults", {"name": name, "times": times, **match})

    def clear_faults(self, name: str | None = None) -> None:
        """Takes back the faults of this name, or all."""
        query = "" if name is None else "?" + urllib.parse.urlencode({"name": name})
        self._call("DELETE", "faults" + query)

    def faults(self) -> list[FaultRow]:
        """The table of all faults the emulator knows."""
        rows = self._call("GET", "faults")["known"]
        return [FaultRow(**{**row, "params": tuple(row["params"])}) for row in rows]

    def struck(self) -> dict[str, int]:
        """How often each fault in force has struck, by name."""
        counts: dict[str, int] = {}
        for fault in self._call("GET", "faults")["active"]:
            counts[fault["name"]] = counts.get(fault["name"], 0) + fault["struck"]
        return counts

    def requests(self, method: str | None = None, path: str | None = None) -> list[SeenRequest]:
        """The calls seen, of one method and path template if given."""
        seen = [SeenRequest(**row) for row in self._call("GET", "requests")["requests"]]
        return [r for r in seen if method in (None, r.method) and path in (None, r.path)]

    def count(self, method: str, path: str) -> int:
        """How many calls of this method and path template were seen."""
        return sum(seen.count for seen in self.requests(method, path))

    def creates(self) -> list[SeenCreate]:
        """Every batch that was accepted, oldest first."""
        rows = self._call("GET", "creates")["creates"]
        return [SeenCreate(**{**row, "custom_ids": tuple(row["custom_ids"])}) for row in rows]

    def state(self) -> State:
        found = self._call("GET", "state")
        batches = [SeenBatch(**{**row, "billed": Billed(**row["billed"])}) for row in found["batches"]]
        return State(
            **found["clock"],
            batches=tuple(batches),
            files=found["files"],
            billed={name: Billed(**spent) for name, spent in found["billed"].items()},
            realtime={name: Billed(**spent) for name, spent in found["realtime"].items()},
        )

    def reset(self) -> None:
        """Forgets everything, as after a fresh start with the same options."""
        self._call("POST", "reset")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the address is the emulator's own
            f"{self._url}/_emulator/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                told = json.load(error)
            raise ValueError(told["error"]["message"]) from None


# A proxy set in the environment is for the real providers, not for a server on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
