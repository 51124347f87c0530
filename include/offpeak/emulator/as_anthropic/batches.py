"""The message batches endpoints of Anthropic."""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from offpeak.emulator.answers import json_response
from offpeak.emulator.as_anthropic.envelope import receive_body, unpack
from offpeak.emulator.as_anthropic.lines import AnthropicLines
from offpeak.emulator.as_anthropic.shown import archived, shown_batch
from offpeak.emulator.batch import Asked, Batch
from offpeak.emulator.life import Stage
from offpeak.emulator.wire import ApiError, not_found
from offpeak.emulator.work import Work, processing_order
from offpeak.emulator.world import World

PATH = "/v1/messages/batches"
MAX_PAGE = 1_000


class BatchEndpoints:
    """Starlette endpoints over the world's Anthropic batches."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create(self, request: Request) -> Response:
        options, path = self._world.options, self._world.new_path()
        try:
            await receive_body(request, path, options.anthropic_max_bytes)
            envelope = await asyncio.to_thread(unpack, path, options)
        except ApiError:
            path.unlink(missing_ok=True)
            raise
        version = request.headers.get("anthropic-version", "")
        asked = Asked(provider="anthropic", endpoint=PATH, requests=envelope.requests, version=version)
        lines = AnthropicLines(self._world, version)
        batch = self._world.open_batch(asked, prefix="msgbatch_", path=PATH, wire=lines)
        lines.quirks = batch.quirks
        path.rename(batch.source)
        self._world.start_batch(batch, self._prepare, envelope.sample)
        return json_response(shown_batch(batch, Stage.IN_PROGRESS, self._world, request))

    async def retrieve(self, request: Request) -> Response:
        return await self._show(self._found(request), request)

    async def cancel(self, request: Request) -> Response:
        batch = self._found(request)
        stage = await self._world.settle(batch)
        if stage.terminal and stage is not Stage.CANCELLED:
            message = f"Message batch {batch.id} cannot be canceled: processing has ended."
            raise ApiError(status=409, message=message, type="conflict_error")
        batch.cancel(self._world.now())
        return await self._show(batch, request)

    async def delete(self, request: Request) -> Response:
        batch = self._found(request)
        if not (await self._world.settle(batch)).terminal:
            message = f"Message batch {batch.id} cannot be deleted while it is in progress; cancel it first."
            raise ApiError(status=409, message=message, type="conflict_error")
        del self._world.batches[batch.id]
        return json_response({"id": batch.id, "type": "message_batch_deleted"})

    async def results(self, request: Request) -> Response:
        batch = self._found(request)
        stage = await self._world.settle(batch)
        files = batch.result_files()
        if not stage.terminal or archived(batch, self._world):
            raise not_found(f"Results of message batch {batch.id} are not available.")
        if files is None or files.output is None:
            return Response(b"", media_type="application/x-jsonl")
        return FileResponse(files.output, media_type="application/x-jsonl")

    async def list(self, request: Request) -> Response:
        query = request.query_params
        chosen = _page(
            self._world.listed("anthropic"), query.get("after_id"), query.get("before_id"), query.get("limit")
        )
        data = [
            shown_batch(batch, await self._world.settle(batch), self._world, request)
            for batch in chosen.batches
        ]
        return json_response(
            {
                "data": data,
                "has_more": chosen.more,
                "first_id": data[0]["id"] if data else None,
                "last_id": data[-1]["id"] if data else None,
            }
        )

    def _prepare(self, batch: Batch) -> None:
        """Runs in a thread: lays out the work. The envelope was checked at the create."""
        if batch.quirks.failure is not None or batch.quirks.token_limit:
            batch.quirks.all_failed = True  # there is no failed state here: every line is errored
        options = self._world.options
        offsets = _offsets(batch.source)
        batch.work = Work(
            folder=batch.folder,
            source=batch.source,
            offsets=offsets,
            order=processing_order(
                len(offsets),
                seed=options.seed,
                number=batch.number,
                shuffle=options.shuffle and not batch.quirks.input_order,
            ),
        )

    async def _show(self, batch: Batch, request: Request) -> Response:
        stage = await self._world.settle(batch)
        return json_response(shown_batch(batch, stage, self._world, request))

    def _found(self, request: Request) -> Batch:
        batch_id = request.path_params["batch_id"]
        batch = self._world.find(batch_id, "anthropic")
        if batch is None:
            raise not_found(f"Message batch {batch_id} not found.")
        return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a listing, and whether more lies beyond it in the direction asked for."""

    batches: list[Batch]
    more: bool


def _page(found: list[Batch], after: str | None, before: str | None, limit: str | None) -> Page:
    """Newest first: what comes after an id is older, what comes before it is newer."""
    if limit is not None and (not limit.isdigit() or not 1 <= int(limit) <= MAX_PAGE):
        raise ApiError(status=400, message=f"limit: Input should be from 1 to {MAX_PAGE}")
    size = int(limit or 20)
    ids = [batch.id for batch in found]
    for cursor in (after, before):
        if cursor and cursor not in ids:
            raise ApiError(status=400, message=f"Message batch {cursor} not found.")
    if before:
        end = ids.index(before)
        return Page(batches=found[max(0, end - size) : end], more=end > size)
    start = ids.index(after) + 1 if after else 0
    return Page(batches=found[start : start + size], more=start + size < len(found))


def _offsets(path: Path) -> array[int]:
    offsets, at = array("Q"), 0
    with path.open("rb") as lines:
        for line in lines:
            offsets.append(at)
            at += len(line)
    return offsets
