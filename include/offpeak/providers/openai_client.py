"""OpenAI's account, spoken to: files, batches, results and the realtime route."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from offpeak.blocks import Block
from offpeak.errors import ProviderBusy, ProviderRefused, SpecError
from offpeak.providers.credentials import client_options, look_seconds
from offpeak.providers.download import downloaded
from offpeak.providers.fields import mapping, moment, text
from offpeak.providers.openai import endpoint_url
from offpeak.providers.openai_batch import read_batch
from offpeak.providers.openai_reply import parse_answer, parse_failure
from offpeak.providers.provider import Account, Ask, Batch, Found, Listed, Reply, Submission, Upload
from offpeak.providers.session import LOOK_SECONDS, TRANSFER_SECONDS, Answer, Call, Session
from offpeak.requests import is_tag

MARGIN = timedelta(minutes=5)
"""How far the provider's clock may be from ours when batches are looked for."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_ENDING = ".jsonl"
_METADATA_LIMIT = 512
_BATCHES_A_PAGE = 100
_FILES_A_PAGE = 10_000


class OpenAIClient:
    """See `Client`."""

    def __init__(self, account: Account, *, wait: Callable[[float], None] = time.sleep) -> None:
        """`wait` is called between tries of a broken download. SpecError when the SDK is missing or the
        connection holds options that it does not know."""
        self._session = _session(account)
        self._look_seconds = look_seconds(account, LOOK_SECONDS)
        self._wait = wait

    def upload(self, submission: Submission) -> str:
        with submission.path.open("rb") as file:
            call = Call(
                what=f"uploading {_name(submission)}",
                method="post",
                path="/files",
                effect="changes",
                body={"purpose": "batch"},
                file=(_filename(submission), file),
                seconds=TRANSFER_SECONDS,
            )
            answer = self._session.send(call).body
        file_id = text(answer.get("id"))
        if not file_id:
            raise self._session.unreadable(call, answer)
        return file_id

    def create(self, submission: Submission) -> Batch:
        if not submission.upload_id:
            raise ProviderRefused(
                f"OpenAI: {_name(submission)} has not been uploaded. Nothing was started. Upload it first.",
                code="not_uploaded",
            )
        call = Call(
            what=f"creating the batch of {_name(submission)}",
            method="post",
            path="/batches",
            effect="starts",
            body={
                "input_file_id": submission.upload_id,
                "endpoint": endpoint_url(submission.ask),
                "completion_window": "24h",
                "metadata": _metadata(submission),
            },
            seconds=TRANSFER_SECONDS,
        )
        return self._batch(call, self._session.send(call).body)

    def find(self, submission: Submission, *, since: datetime, owned: frozenset[str]) -> Found:
        what = f"looking for the batch of {_name(submission)}"
        call = Call(what=what, method="get", path="/batches", seconds=self._look_seconds)
        proven = [
            self._batch(call, answer)
            for answer in self._listed(call, since - MARGIN, _BATCHES_A_PAGE)
            if _is_of(answer, submission) and answer["id"] not in owned
        ]
        return Found(proven=tuple(proven))

    def ours(self, *, since: datetime, owned: frozenset[str]) -> Iterator[Listed]:
        call = Call(what="looking for our batches", method="get", path="/batches", seconds=self._look_seconds)
        for answer in self._listed(call, since - MARGIN, _BATCHES_A_PAGE):
            metadata = mapping(answer.get("metadata"))
            tag = text(metadata.get("tag"))
            if is_tag(tag) and "run_id" in metadata and answer["id"] not in owned:
                yield Listed(batch=self._batch(call, answer), tag=tag)

    def uploads(self) -> Iterator[Upload]:
        call = Call(
            what="looking for our files",
            method="get",
            path="/files",
            query={"purpose": "batch", "order": "desc"},
            seconds=self._look_seconds,
        )
        for answer in self._listed(call, _EPOCH, _FILES_A_PAGE):
            tag, dot, ending = text(answer.get("filename")).partition(".")
            created_at = moment(answer.get("created_at"))
            if is_tag(tag) and dot + ending == _ENDING and created_at is not None:
                yield Upload(id=text(answer.get("id")), tag=tag, created_at=created_at)

    def find_upload(self, submission: Submission, *, since: datetime) -> str | None:
        call = Call(
            what=f"looking for the file of {_name(submission)}",
            method="get",
            path="/files",
            query={"purpose": "batch", "order": "desc"},
            seconds=self._look_seconds,
        )
        for answer in self._listed(call, since - MARGIN, _FILES_A_PAGE):
            # a file of another size was cut on its way up, and would be a batch of fewer rows
            if (
                answer.get("filename") == _filename(submission)
                and answer.get("bytes") == submission.size_bytes
            ):
                return text(answer.get("id"))
        return None

    def discard_upload(self, upload_id: str) -> None:
        call = Call(
            what=f"deleting {upload_id}",
            method="delete",
            path=f"/files/{upload_id}",
            seconds=self._look_seconds,
            names_something=True,
        )
        try:
            self._session.send(call)
        except ProviderBusy as error:
            if error.code != "not_found":
                raise

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
            path=f"/batches/{batch_id}/cancel",
            effect="changes",
            seconds=self._look_seconds,
            names_something=True,
        )
        try:
            return self._batch(call, self._session.send(call).body)
        except ProviderBusy as error:
            if error.code != "conflict":  # that is a batch which has ended already
                raise
        return self.look(batch_id)

    def blocks(self, batch: Batch) -> Iterator[Block]:
        # output first, then errors; a batch that has one file only has all its results in it
        counts = (batch.completed, batch.failed)
        leasts = counts if len(batch.result_files) > 1 else (sum(counts),)
        for file_id, least in zip(batch.result_files, leasts, strict=False):
            call = Call(
                what=f"reading the results {file_id} of {batch.id}",
                method="get",
                path=f"/files/{file_id}/content",
                headers={"Accept": "application/binary"},
                seconds=TRANSFER_SECONDS,
                names_something=True,
            )
            yield from downloaded(partial(self._session.stream, call), least=least, wait=self._wait)

    def ask(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> Reply:
        return _reply(custom_id, self._session.send(_asking(ask, custom_id, body)))

    async def aask(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> Reply:
        return _reply(custom_id, await self._session.asend(_asking(ask, custom_id, body)))

    def close(self) -> None:
        self._session.close()

    async def aclose(self) -> None:
        await self._session.aclose()

    def _look(self, batch_id: str) -> Call:
        return Call(
            what=f"looking at {batch_id}",
            method="get",
            path=f"/batches/{batch_id}",
            seconds=self._look_seconds,
            names_something=True,
        )

    def _batch(self, call: Call, answer: Mapping[str, Any]) -> Batch:
        batch = read_batch(answer)
        if batch is None:
            raise self._session.unreadable(call, answer)
        return batch

    def _listed(self, call: Call, until: datetime, limit: int) -> Iterator[Mapping[str, Any]]:
        """The account's objects, newest first, back to `until`. Raises rather than stop early."""
        after: str | None = None
        seen: set[str] = set()
        while True:
            query = {**call.query, "limit": limit, **({"after": after} if after else {})}
            page = replace(call, query=query)
            answer = self._session.send(page).body
            data = answer.get("data")
            if not isinstance(data, list):
                raise self._session.unreadable(page, answer)
            for item in data:
                created_at = moment(mapping(item).get("created_at"))
                if created_at is None or not text(mapping(item).get("id")):
                    raise self._session.unreadable(page, item)
                if created_at < until:
                    return
                yield item
            more = answer.get("has_more")
            if not data or not (more if isinstance(more, bool) else len(data) >= limit):
                return
            after = data[-1]["id"]
            if after in seen:
                raise self._session.unreadable(page, {"the listing does not advance": after})
            seen.add(after)


def _session(account: Account) -> Session:
    try:
        import openai
    except ImportError:
        raise SpecError("The OpenAI SDK is not installed. Run: pip install 'openai>=3.54'") from None
    options = client_options(account)
    return Session(
        "OpenAI",
        openai,
        make=partial(openai.OpenAI, **options),
        amake=partial(openai.AsyncOpenAI, **options),
        account=account,
    )


def _asking(ask: Ask, custom_id: str, body: Mapping[str, Any]) -> Call:
    return Call(
        what=f"asking {custom_id} in realtime",
        method="post",
        path=endpoint_url(ask).removeprefix("/v1"),  # the SDK's base URL ends in /v1
        effect="asks",
        body=dict(body),
        seconds=TRANSFER_SECONDS,
    )


def _reply(custom_id: str, answer: Answer) -> Reply:
    if answer.status < 300:
        return parse_answer(custom_id, answer.body)
    return parse_failure(custom_id, answer.status, answer.body)


def _name(submission: Submission) -> str:
    return f"shard {submission.shard} of run {submission.run_id}, round {submission.round}"


def _filename(submission: Submission) -> str:
    return f"{submission.tag}{_ENDING}"


def _metadata(submission: Submission) -> dict[str, str]:
    run_id = submission.run_id
    if len(run_id) > _METADATA_LIMIT:
        digest = hashlib.sha256(run_id.encode()).hexdigest()[:16]
        run_id = f"{run_id[: _METADATA_LIMIT - 17]}-{digest}"
    return {
        "run_id": run_id,
        "shard": str(submission.shard),
        "round": str(submission.round),
        "tag": submission.tag,
    }


def _is_of(answer: Mapping[str, Any], submission: Submission) -> bool:
    """Whether a listed batch is this submission's: by our tag, or by the file that only it has."""
    if mapping(answer.get("metadata")).get("tag") == submission.tag:
        return True
    return bool(submission.upload_id) and answer.get("input_file_id") == submission.upload_id
