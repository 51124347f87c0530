"""Token counts: a stable estimate of about four bytes a token, and what prompt caches would hold."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

BYTES_PER_TOKEN = 4
CACHE_FLOOR_TOKENS = 1_024  # shortest prefix a provider caches
CACHE_STEP_TOKENS = 128  # OpenAI counts cached tokens in these steps
CACHE_ENTRIES = 200_000


def count(text: str) -> int:
    """The tokens of a text; the same text always costs the same."""
    return (len(text.encode("utf-8", "surrogatepass")) + BYTES_PER_TOKEN - 1) // BYTES_PER_TOKEN


def cut(text: str, tokens: int) -> str:
    """The longest beginning of `text` that costs at most `tokens`, on a character border."""
    raw = text.encode("utf-8", "surrogatepass")[: max(tokens, 0) * BYTES_PER_TOKEN]
    return raw.decode("utf-8", "ignore")


class PromptCache:
    """Prefixes seen before, per model. Bounded: the oldest are forgotten first."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def implicit(self, model: str, prompt: str) -> tuple[int, int]:
        """(tokens read, tokens newly written) of an automatic cache, in steps of 128 from 1,024."""
        if count(prompt) < CACHE_FLOOR_TOKENS:
            return 0, 0
        digests = _step_digests(model, prompt)
        with self._lock:
            hit = max((tokens for tokens, key in digests if key in self._seen), default=0)
            for _, key in digests:
                self._remember(key)
        return hit, digests[-1][0] - hit

    def explicit(self, model: str, prefixes: list[str]) -> tuple[int, int]:
        """(tokens read, tokens written) for marked prefixes, shortest first."""
        marked = [(count(prefix), _digest(model, prefix)) for prefix in prefixes]
        marked = [(tokens, key) for tokens, key in marked if tokens >= CACHE_FLOOR_TOKENS]
        if not marked:
            return 0, 0
        with self._lock:
            hit = max((tokens for tokens, key in marked if key in self._seen), default=0)
            for _, key in marked:
                self._remember(key)
        return hit, marked[-1][0] - hit

    def _remember(self, key: bytes) -> None:
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > CACHE_ENTRIES:
            self._seen.popitem(last=False)


def _step_digests(model: str, prompt: str) -> list[tuple[int, bytes]]:
    raw = prompt.encode("utf-8", "surrogatepass")
    step, start = CACHE_STEP_TOKENS * BYTES_PER_TOKEN, CACHE_FLOOR_TOKENS * BYTES_PER_TOKEN
    running = hashlib.blake2b(model.encode() + raw[:start], digest_size=12)
    found = [(CACHE_FLOOR_TOKENS, running.digest())]
    for end in range(start + step, len(raw) + 1, step):
        running.update(raw[end - step : end])
        found.append((end // BYTES_PER_TOKEN, running.copy().digest()))
    return found


def _digest(model: str, prefix: str) -> bytes:
    return hashlib.blake2b((model + "\0" + prefix).encode("utf-8", "surrogatepass"), digest_size=12).digest()
