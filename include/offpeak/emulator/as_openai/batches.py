"""The batches endpoints of OpenAI."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from offpeak.emulator.answers import json_response
from offpeak.emulator.as_openai.asking import bad
from offpeak.emulator.as_openai.envelope import check_create
from offpeak.emulator.as_openai.lines import OpenAILines
from offpeak.emulator.as_openai.paging import page, page_size
from offpeak.emulator.as_openai.shown import shown_batch
from offpeak.emulator.as_openai.validation import check_input
from offpeak.emulator.batch import Asked, Batch
from offpeak.emulator.journal import SAMPLE_IDS
from offpeak.emulator.life import Stage
from offpeak.emulator.quirks import Failure
from offpeak.emulator.wire import ApiError, JsonObject
from offpeak.emulator.work import Work, processing_order
from offpeak.emulator.world import World

PATH = "/v1/batches"


class BatchEndpoints:
    """Starlette endpoints over the world's OpenAI batches."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create(self, request: Request) -> Response:
        try:
            body = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            raise bad("We could not parse the JSON body of your request.", "body", "invalid_json") from None
        check_create(body)
        source = self._world.files.get(body["input_file_id"], now=self._world.now())
        batch = self._open(body, source.path if source else None)
        self._world.start_batch(batch, self._prepare, _sample(batch.source))
        return json_response(shown_batch(batch, Stage.VALIDATING, self._world))

    async def retrieve(self, request: Request) -> Response:
        return await self._show(self._found(request))

    async def cancel(self, request: Request) -> Response:
        batch = self._found(request)
        stage = await self._world.settle(batch)
        if stage is not Stage.CANCELLED:
            if stage.terminal:
                message = f"Cannot cancel a batch with status '{stage.value}'."
                raise ApiError(status=409, message=message)
            batch.cancel(self._world.now())
        return await self._show(batch)

    async def list(self, request: Request) -> Response:
        limit = page_size(request.query_params.get("limit"), default=20, most=100)
        after = request.query_params.get("after")
        found, more = page(self._world.listed("openai"), after=after, limit=limit)
        shown = [shown_batch(batch, await self._world.settle(batch), self._world) for batch in found]
        return json_response(
            {
                "object": "list",
                "data": shown,
                "first_id": found[0].id if found else None,
                "last_id": found[-1].id if found else None,
                "has_more": more,
            }
        )

    def _open(self, body: JsonObject, source: Path | None) -> Batch:
        expires = body.get("output_expires_after")
        asked = Asked(
            provider="openai",
            endpoint=body["endpoint"],
            requests=_count_lines(source) if source else 0,
            input_file_id=body["input_file_id"],
            metadata=body.get("metadata"),
            output_life_seconds=float(expires["seconds"]) if expires else None,
        )
        lines = OpenAILines(self._world, body["endpoint"])
        batch = self._world.open_batch(asked, prefix="batch_", path=PATH, wire=lines)
        lines.quirks = batch.quirks
        if source is not None:
            os.link(source, batch.source)  # deleting the file later does not take it from the batch
        return batch

    def _prepare(self, batch: Batch) -> None:
        """Runs in a thread: validates the input file and lays out the work."""
        failure = batch.quirks.failure
        if failure is None and not batch.source.exists():
            failure = _missing_file(batch.asked.input_file_id)
        if failure is not None:
            message = failure.message.replace("{file}", batch.asked.input_file_id)
            batch.fail([Failure(code=failure.code, message=message, param=failure.param)])
            return
        options = self._world.options
        checked = check_input(batch.source, batch.asked.endpoint, options)
        if checked.failures:
            batch.fail(checked.failures)
            return
        batch.model = checked.model
        if limit := self._over_limit(batch, checked.queued_tokens):
            batch.fail([limit])
            return
        batch.queued_tokens = checked.queued_tokens
        batch.work = Work(
            folder=batch.folder,
            source=batch.source,
            offsets=checked.offsets,
            order=processing_order(
                len(checked.offsets),
                seed=options.seed,
                number=batch.number,
                shuffle=options.shuffle and not batch.quirks.input_order,
            ),
        )

    def _over_limit(self, batch: Batch, queued_tokens: int) -> Failure | None:
        model = batch.model or ""
        limit = self._world.options.enqueued_tokens.get(model)
        over = limit is not None and self._world.enqueued_tokens(model) + queued_tokens > limit
        if not over and not batch.quirks.token_limit:
            return None
        message = (
            f"Enqueued token limit reached for {model} in organization org-emulated. Limit: "
            f"{limit or 2_000_000:,} enqueued tokens. Please try again once some in_progress batches "
            "have been completed."
        )
        return Failure(code="token_limit_exceeded", message=message)

    async def _show(self, batch: Batch) -> Response:
        stage = await self._world.settle(batch)
        return json_response(shown_batch(batch, stage, self._world))

    def _found(self, request: Request) -> Batch:
        batch_id = request.path_params["batch_id"]
        batch = self._world.find(batch_id, "openai")
        if batch is None:
            raise ApiError(status=404, message=f"No batch found with id '{batch_id}'.")
        return batch


def _missing_file(file_id: str) -> Failure:
    message = f"Cannot find file {file_id}, or organization org-emulated does not have access to it."
    return Failure(code="invalid_request", param="file_id", message=message)


def _count_lines(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def _sample(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    with path.open("rb") as lines:
        return tuple(filter(None, map(_custom_id, itertools.islice(lines, SAMPLE_IDS))))


def _custom_id(raw: bytes) -> str:
    try:
        line: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    return str(line.get("custom_id", "")) if isinstance(line, dict) else ""
