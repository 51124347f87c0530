"""Anthropic's account, spoken to: message batches, results and the realtime route."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, Any

from offpeak.blocks import Block
from offpeak.errors import ProviderBusy, ProviderRefused, SpecError
from offpeak.providers.anthropic_batch import read_batch
from offpeak.providers.anthropic_reply import parse_answer, parse_failure
from offpeak.providers.credentials import client_options, look_seconds
from offpeak.providers.download import downloaded, first_line
from offpeak.providers.fields import read_object, text
from offpeak.providers.provider import Account, Ask, Batch, Found, Listed, Reply, Submission, Upload
from offpeak.providers.session import LOOK_SECONDS, TRANSFER_SECONDS, Answer, Call, Session
from offpeak.requests import tag_of

MARGIN = timedelta(minutes=5)
"""How far the provider's clock may be from ours when batches are looked for."""
_BATCHES = "/v1/messages/batches"
_A_PAGE = 100
_PIECE_BYTES = 1024 * 1024
_OPENING, _CLOSING = b'{"requests":[', b"]}"


class AnthropicClient:
    """See `Client`."""

    def __init__(self, account: Account, *, wait: Callable[[float], None] = time.sleep) -> None:
        """`wait` is called between tries of a broken download. SpecError when the SDK is missing or the
        connection holds options that it does not know."""
        self._session = _session(account)
        self._look_seconds = look_seconds(account, LOOK_SECONDS)
        self._wait = wait

    def upload(self, submission: Submission) -> None:
        """Nothing is sent ahead: the requests go with `create`."""

    def create(self, submission: Submission) -> Batch:
        with submission.path.open("rb") as file:
            call = Call(
                what=f"creating the batch of {_name(submission)}",
                method="post",
                path=_BATCHES,
                effect="starts",
                content=create_body(file),
                headers={
                    "Content-Type": "application/json",
                    "Content-Length": str(create_body_bytes(submission.path)),
                },
                seconds=TRANSFER_SECONDS,
            )
            return self._batch(call, self._session.send(call).body)

    def find(self, submission: Submission, *, since: datetime, owned: frozenset[str]) -> Found:
        """Nothing in a live batch is ours to read, so it is only `possible`, by its time and its size. One
        that has ended is proven or excluded by the custom_id of its first result."""
        proven, possible = [], []
        for batch in self._listed(f"looking for the batch of {_name(submission)}", since - MARGIN):
            counted = batch.total or batch.status.ended  # a young one might show no counts yet
            if batch.id in owned or (counted and batch.total != submission.request_count):
                continue
            if not batch.result_files:
                possible.append(batch)
            elif self._first_custom_id(batch).startswith(f"{submission.tag}-"):
                proven.append(batch)
        return Found(proven=tuple(proven), possible=tuple(possible))

    def ours(self, *, since: datetime, owned: frozenset[str]) -> Iterator[Listed]:
        """A live batch names nobody: it is given without a tag. An ended one is known by its first result."""
        for batch in self._listed("looking for our batches", since - MARGIN):
            if batch.id in owned:
                continue
            if not batch.status.ended:
                yield Listed(batch=batch, tag="")
            elif batch.result_files and (tag := tag_of(self._first_custom_id(batch))):
                yield Listed(batch=batch, tag=tag)

    def uploads(self) -> Iterator[Upload]:
        """There are no uploads."""
        return iter(())

    def find_upload(self, submission: Submission, *, since: datetime) -> None:
        """There are no uploads."""

    def discard_upload(self, upload_id: str) -> None:
        """There are no uploads."""

    def look(self, batch_id: str) -> Batch:
        call = self._look(batch_id)
        return self._batch(call, self._session.send(call).body)

    async def alook(self, batch_id: str) -> Batch:
        call = self._look(batch_id)
        return self._batch(call, (await self._session.alook(call)).body)

    def cancel(self, batch_id: str) -> Batch:
        call = Call(
            what=f"cancelling {batch_id}",
            method="post",
            path=f"{_BATCHES}/{batch_id}/cancel",
            effect="changes",
            seconds=self._look_seconds,
            names_something=True,
        )
        try:
            return self._batch(call, self._session.send(call).body)
        except ProviderBusy as error:
            if error.code != "conflict":
                raise
        except ProviderRefused:
            # one that has ended is refused; whether that is the reason, a look tells
            batch = self.look(batch_id)
            if batch.status.ended:
                return batch
            raise
        return self.look(batch_id)

    def blocks(self, batch: Batch) -> Iterator[Block]:
        for path in batch.result_files:
            stream = partial(self._session.stream, _results(batch.id, path))
            yield from downloaded(stream, least=batch.total, wait=self._wait)

    def ask(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> Reply:
        return _reply(custom_id, self._session.send(_asking(custom_id, body)))

    async def aask(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> Reply:
        return _reply(custom_id, await self._session.asend(_asking(custom_id, body)))

    def close(self) -> None:
        self._session.close()

    async def aclose(self) -> None:
        await self._session.aclose()

    def _look(self, batch_id: str) -> Call:
        return Call(
            what=f"looking at {batch_id}",
            method="get",
            path=f"{_BATCHES}/{batch_id}",
            seconds=self._look_seconds,
            names_something=True,
        )

    def _batch(self, call: Call, answer: Mapping[str, Any]) -> Batch:
        batch = read_batch(answer)
        if batch is None:
            raise self._session.unreadable(call, answer)
        return batch

    def _listed(self, what: str, until: datetime) -> Iterator[Batch]:
        """The account's batches, newest first, back to `until`. Raises rather than stop early."""
        call = Call(what=what, method="get", path=_BATCHES, seconds=self._look_seconds)
        seen: set[str] = set()
        query: dict[str, object] = {"limit": _A_PAGE}
        while True:
            call = replace(call, query=query)
            answer = self._session.send(call).body
            data = answer.get("data")
            if not isinstance(data, list):
                raise self._session.unreadable(call, answer)
            for item in data:
                batch = self._batch(call, item if isinstance(item, dict) else {})
                if batch.created_at < until:
                    return
                if batch.id not in seen:
                    yield batch
            more = answer.get("has_more")
            if not data or not (more if isinstance(more, bool) else len(data) >= _A_PAGE):
                return
            if data[-1]["id"] in seen:
                raise self._session.unreadable(call, {"the listing does not advance": data[-1]["id"]})
            seen.update(item["id"] for item in data)
            query = {"limit": _A_PAGE, "after_id": data[-1]["id"]}

    def _first_custom_id(self, batch: Batch) -> str:
        """Of an ended batch's first result. Raises when it could not be read."""
        call = _results(batch.id, batch.result_files[0])
        with self._session.stream(call) as chunks:
            line = first_line(chunks)
        record = read_object(line or b"")
        if record is None:
            raise self._session.unreadable(
                call, {"first line": text((line or b"")[:100].decode("utf-8", "replace"))}
            )
        return text(record.get("custom_id"))


def create_body(file: IO[bytes]) -> Iterator[bytes]:
    """The body of a create call out of a shard file, a piece at a time: its lines, joined by commas.

    A line of JSON holds no raw line feed, so each one is a border between two requests. The file is
    never held whole, and never parsed.
    """
    yield _OPENING
    held = b""
    while piece := file.read(_PIECE_BYTES):
        piece = held + piece
        held = b"\n" if piece.endswith(b"\n") else b""  # whether it is the last one is not known yet
        yield piece.removesuffix(b"\n").replace(b"\n", b",")
    yield _CLOSING


def create_body_bytes(path: Path) -> int:
    """The length of what `create_body` yields for this file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 1))
        ended = file.read(1) == b"\n"
    return len(_OPENING) + size - ended + len(_CLOSING)


def _session(account: Account) -> Session:
    try:
        import anthropic
    except ImportError:
        raise SpecError("The Anthropic SDK is not installed. Run: pip install 'anthropic>=2.12'") from None
    options = client_options(account)
    return Session(
        "Anthropic",
        anthropic,
        make=partial(anthropic.Anthropic, **options),
        amake=partial(anthropic.AsyncAnthropic, **options),
        account=account,
    )


def _results(batch_id: str, path: str) -> Call:
    return Call(
        what=f"reading the results of {batch_id}",
        method="get",
        path=path,
        headers={"Accept": "application/binary"},
        seconds=TRANSFER_SECONDS,
        names_something=True,
    )


def _asking(custom_id: str, body: Mapping[str, Any]) -> Call:
    return Call(
        what=f"asking {custom_id} in realtime",
        method="post",
        path="/v1/messages",
        effect="asks",
        body=dict(body),
        seconds=TRANSFER_SECONDS,
    )


def _reply(custom_id: str, answer: Answer) -> Reply:
    return (parse_answer if answer.status < 300 else parse_failure)(custom_id, answer.body)


def _name(submission: Submission) -> str:
    return f"shard {submission.shard} of run {submission.run_id}, round {submission.round}"
