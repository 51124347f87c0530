"""Shards: files of requests, cut to the provider's limits by count and by the very bytes written."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING

from offpeak.arrays import offsets_of
from offpeak.overlap import behind
from offpeak.providers.provider import Limits
from offpeak.quota import Quota
from offpeak.requests import TAG_BYTES
from offpeak.store import Store

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ENVELOPE_BYTES = 64
"""Kept free in every shard for what a provider puts around the lines (`{"requests":[ ... ]}`)."""


BYTES_PER_TOKEN = 4
"""Of requests, about, as long as nothing is known of a workload."""


def new_tag() -> str:
    """10 random hex digits; recorded with the shard before anything is sent."""
    return secrets.token_hex(TAG_BYTES // 2)


def shard_file(folder: str, round_number: int, number: int, tag: str) -> str:
    """The shard's name in the store."""
    return f"{folder}/shards/r{round_number}-{number:05d}-{tag}.jsonl"


def index_of(shard_file: str) -> str:
    """The name of the index beside a shard: its fingerprints and where their lines end (see sent.py)."""
    return f"{shard_file}.index"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    """A shard as written. Never changed afterwards."""

    number: int
    tag: str
    file: str
    request_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where shards end."""

    requests: int
    size_bytes: int
    first: int | None = None
    """Requests of the first shard, where it is to be a canary."""

    @classmethod
    def of(cls, limits: Limits, requests: int, *, first: int | None = None) -> Cut:
        room = limits.size_bytes - ENVELOPE_BYTES
        return cls(requests=min(requests, limits.requests), size_bytes=room, first=first)

    def within(self, quota: Quota, model: str) -> Cut:
        """No shard larger than what the account may have at the provider at once: it would never be taken."""
        tokens = quota.tokens_of(model)
        return replace(
            self,
            requests=min(self.requests, quota.requests or self.requests),
            size_bytes=self.size_bytes if tokens is None else min(self.size_bytes, BYTES_PER_TOKEN * tokens),
        )


class ShardWriter:
    """Writes requests in the order given into as many shards as the cut asks for.

    `fit` says how many of the next lines go into the open shard, whose `tag` their custom_ids are then made
    with; `write` writes them. A line longer than a whole shard may be is the caller's to refuse.
    """

    def __init__(self, store: Store, folder: str, cut: Cut, *, round_number: int = 1) -> None:
        self._store = store
        self._folder = folder
        self._cut = cut
        self._round = round_number
        self._stack = ExitStack()
        self._out: Callable[[memoryview], None] | None = None
        self._count = self._bytes = 0
        self._index: list[tuple[np.ndarray, np.ndarray]] = []
        self.tag = new_tag()
        self.written: list[ShardFile] = []

    def fit(self, ends: np.ndarray) -> int:
        """How many of the next lines the open shard takes, at least one: a shard that takes none is closed,
        and the next one has another tag. `ends` are the lines' sizes in bytes, added up, int64."""
        if self._count and not self._room(ends):
            self._close()
        return max(1, self._room(ends))

    def _room(self, ends: np.ndarray) -> int:
        free = self._cut.size_bytes - self._bytes
        return min(int(ends.searchsorted(free, "right")), self._most() - self._count)

    def write(self, lines: bytes | memoryview | pa.Buffer, prints: pa.Array, ends: np.ndarray) -> None:
        """Write the lines of these fingerprints, as many as `fit` allowed. `ends` are as for `fit`."""
        count = len(prints)
        if self._out is None:
            path = self._stack.enter_context(self._store.writing(self._file()))
            out = self._stack.enter_context(path.open("wb", buffering=0))
            self._out = partial(self._stack.enter_context(behind()).call, _write_all, out)
        data = memoryview(lines)
        self._index.append((_packed(prints), ends + self._bytes))
        self._count += count
        self._bytes += len(data)
        self._out(data)

    def _most(self) -> int:
        """Requests that the open shard may hold."""
        first = self._cut.first if not self.written else None
        return self._cut.requests if first is None else min(first, self._cut.requests)

    def finish(self) -> list[ShardFile]:
        """End the last shard; all shards written."""
        if self._count:
            self._close()
        return self.written

    def abandon(self, error: BaseException) -> None:
        """Leave no unfinished file behind after `error`."""
        self._stack.__exit__(type(error), error, error.__traceback__)

    def _file(self) -> str:
        return shard_file(self._folder, self._round, len(self.written) + 1, self.tag)

    def _close(self) -> None:
        file = self._file()
        self._write_index(file)
        self._stack.close()
        self.written.append(
            ShardFile(
                number=len(self.written) + 1,
                tag=self.tag,
                file=file,
                request_count=self._count,
                size_bytes=self._bytes,
            )
        )
        self._out, self._count, self._bytes = None, 0, 0
        self._index = []
        self._stack = ExitStack()
        self.tag = new_tag()

    def _write_index(self, file: str) -> None:
        import numpy as np

        prints, ends = zip(*self._index, strict=True)
        index = np.empty(self._count, [("fingerprint", prints[0].dtype), ("end", "<i8")])
        index["fingerprint"], index["end"] = np.concatenate(prints), np.concatenate(ends)
        with self._store.writing(index_of(file)) as path, path.open("wb") as out:
            np.save(out, index, allow_pickle=False)


def _write_all(out: IO[bytes], data: memoryview) -> None:
    while data:  # an unbuffered write may take only a part
        data = data[out.write(data) :]


def _packed(prints: pa.Array) -> np.ndarray:
    """Fingerprints, all as long as the first one, as an array of that many bytes each."""
    import numpy as np

    first, *_, last = offsets_of(prints)
    width = (last - first) // len(prints)
    return np.frombuffer(prints.buffers()[2], np.dtype((np.bytes_, width)), len(prints), offset=first)


def estimated_tokens(size_bytes: int) -> int:
    """Tokens in that many bytes of requests, before anything is known."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def total(files: Iterable[ShardFile]) -> int:
    return sum(file.request_count for file in files)
