"""What a shard holds: its fingerprints in order, and its lines by fingerprint, without reading the whole file.

Beside each shard that the plan writes lies an index of it, since a shard of 200 MB has 2 MB of fingerprints. A shard
without one (of a later round) is read line by line.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import orjson

from offpeak.arrays import fixed_texts, mask_of, texts
from offpeak.blocks import lines_of
from offpeak.requests import read_custom_id
from offpeak.shards import index_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from offpeak.providers.provider import Provider
    from offpeak.store import Store


class Line(NamedTuple):
    """One request as it was sent, without its line feed."""

    fingerprint: str
    raw: bytes


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The requests of one shard. Close it: a remote shard's file is fetched when a line is wanted."""

    store: Store
    file: str
    tag: str
    provider: Provider
    _stack: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    def __enter__(self) -> Sent:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def fingerprints(self) -> pa.Array:
        """In the order of the file, one for each request, as strings."""
        index = self._index
        if index is None:
            return texts(line.fingerprint for line in self._all())
        prints = index["fingerprint"]
        return fixed_texts(prints.tobytes(), prints.dtype.itemsize)

    def lines(self, wanted: Collection[str]) -> Iterator[Line]:
        """The lines of these fingerprints, in the order of the file."""
        import numpy as np
        import pyarrow.compute as pc

        index = self._index
        if index is None:
            yield from (line for line in self._all() if line.fingerprint in wanted)
            return
        ends = index["end"]
        prints = self.fingerprints()
        places = np.flatnonzero(mask_of(pc.is_in(prints, texts(wanted)))).tolist()
        path = self._stack.enter_context(self.store.reading(self.file))
        with path.open("rb", buffering=0) as file:
            for place in places:
                start = int(ends[place - 1]) if place else 0
                raw = os.pread(file.fileno(), int(ends[place]) - start, start)
                yield Line(prints[place].as_py(), raw.removesuffix(b"\n"))

    @cached_property
    def _index(self) -> np.ndarray | None:
        import numpy as np

        name = index_of(self.file)
        if not self.store.exists(name):
            return None
        with self.store.reading(name) as path:
            found: np.ndarray = np.load(path, allow_pickle=False)
        return found

    def _all(self) -> Iterator[Line]:
        path = self._stack.enter_context(self.store.reading(self.file))
        for raw in lines_of(path):
            fingerprint = read_custom_id(self.provider.custom_id(orjson.loads(raw)), self.tag)
            assert fingerprint is not None, "a shard file holds only its own requests"
            yield Line(fingerprint, raw)
