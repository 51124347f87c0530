"""What was asked of the emulator: calls by path, creates, and what was billed in real time."""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from offpeak.emulator.wire import JsonObject

CREATES_KEPT = 10_000
SAMPLE_IDS = 5

_ID = re.compile(r"^(/v1/(?:files|batches|messages/batches|models)/)[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """One batch that was accepted. It stays in the journal whatever became of the answer."""

    provider: str
    batch_id: str
    created_at: float
    requests: int
    custom_ids: tuple[str, ...]  # a sample: the first few
    metadata: dict[str, str] | None = None

    def as_json(self) -> JsonObject:
        return {
            "provider": self.provider,
            "batch_id": self.batch_id,
            "created_at": self.created_at,
            "requests": self.requests,
            "custom_ids": list(self.custom_ids),
            "metadata": self.metadata,
        }


@dataclass(slots=True)
class Tally:
    """Requests and tokens that were billed."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def add(self, *, input_tokens: int, cached_tokens: int, output_tokens: int, requests: int = 1) -> None:
        self.requests += requests
        self.input_tokens += input_tokens
        self.cached_tokens += cached_tokens
        self.output_tokens += output_tokens

    def as_json(self) -> JsonObject:
        return {
            "requests": self.requests,
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens": self.output_tokens,
        }


@dataclass(slots=True)
class _Seen:
    by_retry: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)


class Journal:
    """Counts only: no header, no key and no prompt is ever kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], _Seen] = defaultdict(_Seen)
        self._creates: deque[Create] = deque(maxlen=CREATES_KEPT)
        self.realtime: dict[str, Tally] = {"openai": Tally(), "anthropic": Tally()}

    def saw(self, method: str, path: str, *, retry: str) -> None:
        with self._lock:
            self._seen[method, template(path)].by_retry[retry] += 1

    def answered(self, method: str, path: str, *, status: int | None) -> None:
        """Records the status sent, or `none` where the connection was reset instead."""
        with self._lock:
            self._seen[method, template(path)].by_status["none" if status is None else str(status)] += 1

    def created(self, create: Create) -> None:
        with self._lock:
            self._creates.append(create)

    def creates(self) -> list[Create]:
        with self._lock:
            return list(self._creates)

    def creates_since(self, provider: str, moment: float) -> int:
        return sum(1 for c in self.creates() if c.provider == provider and c.created_at > moment)

    def requests(self) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {
                    "method": method,
                    "path": path,
                    "count": seen.by_retry.total(),
                    "by_retry": dict(seen.by_retry),
                    "by_status": dict(seen.by_status),
                }
                for (method, path), seen in sorted(self._seen.items())
            ]

    def bill_realtime(self, provider: str, usage: Tally) -> None:
        with self._lock:
            self.realtime[provider].add(
                requests=usage.requests,
                input_tokens=usage.input_tokens,
                cached_tokens=usage.cached_tokens,
                output_tokens=usage.output_tokens,
            )


def template(path: str) -> str:
    """The path with its ids taken out, so that calls can be counted together."""
    return _ID.sub(r"\1{id}", path)
