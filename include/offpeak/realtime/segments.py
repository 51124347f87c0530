"""Segments: the answers of a shard, written down as they come. What is in them is never asked again.

A segment is a file of JSON lines, one reply each, that appears in the store whole. Every writer has names of
its own, so that two workers can never overwrite each other's paid answers; a reply that two of them
recorded counts once, the one in the earlier name.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from offpeak.blocks import lines_of
from offpeak.providers.provider import Reply, Usage
from offpeak.requests import read_custom_id
from offpeak.states import Outcome

if TYPE_CHECKING:
    from offpeak.ledger.records import Shard
    from offpeak.site import Site
    from offpeak.store import Store

FLUSH_ANSWERS = 64
FLUSH_SECONDS = 1.0
"""An answer waits for at most so many others, and so long, before it is written down."""
MERGED_SEGMENTS = 64
"""So many small segments become one."""
_MERGED_BYTES = 16 * 1024 * 1024
_RECORDED = re.compile(r"realtime: ([\d,]+) of [\d,]+ recorded")
_TEXTS = ("custom_id", "text", "model", "code", "message")


def segment_folder(run_folder: str, round_number: int, number: int) -> str:
    """Where the answers of one shard in one round lie in the store."""
    return f"{run_folder}/realtime/r{round_number}-{number:05d}"


def recorded_note(answered: int, requests: int) -> str:
    """The note of a shard that is asked: how far it is, for people and for `recorded_of`."""
    return f"realtime: {answered:,} of {requests:,} recorded"


def recorded_of(note: str) -> int:
    """How many replies a shard's note tells of, 0 for another note. Some seconds old; the segments know better."""
    found = _RECORDED.match(note)
    return int(found[1].replace(",", "")) if found else 0


def replies(site: Site, shard: Shard) -> Iterator[Reply]:
    """Every recorded reply to a request of `shard`, each exactly once, in no order of the requests.

    Holds only the ids of what it has given. A line that cannot be read (the end of a file that was cut off)
    is left out: its request counts as not answered.
    """
    folder = segment_folder(
        str(site.ledger.run(shard.key.run_id).facts["folder"]), shard.key.round, shard.key.number
    )
    given: set[str] = set()
    for line in _lines(site.store, folder):
        reply = read_reply(line)
        if reply is None or reply.custom_id in given or read_custom_id(reply.custom_id, shard.tag) is None:
            continue
        given.add(reply.custom_id)
        yield reply


def _lines(store: Store, folder: str) -> Iterator[bytes]:
    """The lines of all segments. A small one may be merged into a larger one meanwhile: then it is looked again."""
    seen: set[str] = set()
    while new := [name for name in store.names(f"{folder}/*.jsonl") if name not in seen]:
        for name in new:
            seen.add(name)
            try:
                with store.reading(name) as path:
                    yield from lines_of(path)
            except FileNotFoundError:
                continue  # what was in it is in a file that the next look finds


def write_reply(reply: Reply) -> bytes:
    """One line of a segment; `read_reply` gives the very same reply back."""
    record: dict[str, Any] = {"outcome": reply.outcome.value}
    raw: dict[str, str] = {}
    for name in _TEXTS:
        value = getattr(reply, name)
        try:
            value is None or value.encode()
            record[name] = value
        except UnicodeEncodeError:  # half a character: JSON would make a whole one of two halves
            raw[name] = _base64(value.encode("utf-8", "surrogatepass"))
    if raw:
        record["raw"] = raw
    record["vector"] = None if reply.vector is None else _base64(reply.vector)
    record["usage"] = reply.usage.as_dict()
    record["transient"] = reply.transient
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_reply(line: bytes) -> Reply | None:
    """The reply in a segment's line; None when the line is not whole."""
    try:
        record: dict[str, Any] = json.loads(line)
        for name, text in record.pop("raw", {}).items():
            record[name] = base64.b64decode(text).decode("utf-8", "surrogatepass")
        vector = record.pop("vector")
        return Reply(
            **{
                **record,
                "outcome": Outcome(record["outcome"]),
                "vector": None if vector is None else base64.b64decode(vector),
                "usage": Usage(**record["usage"]),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


class Recorder:
    """Writes replies down. Until `add` returns, the request counts as under way.

    At most FLUSH_ANSWERS replies are ever held that are not in the store. Lives in one event loop.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder, self._token = store, folder, secrets.token_hex(3)
        self._next = len(store.names(f"{folder}/*.jsonl"))
        self._held: list[bytes] = []
        self._small: dict[str, bytes] = {}
        self._turn = asyncio.Lock()
        self._merging: asyncio.Task[None] | None = None

    async def add(self, reply: Reply) -> None:
        async with self._turn:
            self._held.append(write_reply(reply))
            if len(self._held) >= FLUSH_ANSWERS:
                await self._flush()

    async def keep_flushing(self) -> None:
        """Write down what is held, every FLUSH_SECONDS, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            async with self._turn:
                await self._flush()

    async def finish(self) -> None:
        """Write down the rest. What could not be is held, and tried again by the next call."""
        async with self._turn:
            await self._flush()
        if self._merging is not None:
            await self._merging

    async def _flush(self) -> None:
        if not self._held:
            return
        content = b"".join(self._held)
        name = self._name()
        # shielded: a cancelled worker must not leave the replies in doubt
        writing = asyncio.ensure_future(asyncio.to_thread(self._store.write_bytes, name, content))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            self._written(name, content)
            raise
        self._written(name, content)

    def _written(self, name: str, content: bytes) -> None:
        self._held.clear()
        self._small[name] = content
        size = sum(map(len, self._small.values()))
        idle = self._merging is None or self._merging.done()
        if idle and (len(self._small) >= MERGED_SEGMENTS or size >= _MERGED_BYTES):
            small, self._small = self._small, {}
            if len(small) > 1:
                self._merging = asyncio.ensure_future(asyncio.to_thread(self._merge, self._name(), small))

    def _merge(self, name: str, small: dict[str, bytes]) -> None:
        """First the large one, then the small ones go: a reply may be there twice, never not at all."""
        self._store.write_bytes(name, b"".join(small.values()))
        for gone in small:
            self._store.delete(gone)

    def _name(self) -> str:
        self._next += 1
        return f"{self._folder}/{self._next:06d}-{self._token}.jsonl"
