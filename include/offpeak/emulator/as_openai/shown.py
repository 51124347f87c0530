"""The batch object as OpenAI shows it, with every key present."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from offpeak.emulator.batch import Batch
from offpeak.emulator.files import StoredFile
from offpeak.emulator.life import Stage
from offpeak.emulator.wire import JsonObject, emulated, unix
from offpeak.emulator.world import World

RAN = (Stage.IN_PROGRESS, Stage.FINALIZING, Stage.COMPLETED, Stage.EXPIRED, Stage.CANCELLING, Stage.CANCELLED)


def shown_batch(batch: Batch, stage: Stage, world: World) -> JsonObject:
    """The batch at this stage; result files get their ids the first time a finished batch is shown."""
    ids = _result_ids(batch, stage, world)
    error_file_id = ids["error_file_id"]
    if error_file_id is None and batch.quirks.empty_error_file_id:
        error_file_id = ""
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.asked.endpoint,
        "model": emulated(batch.model) if batch.model and stage in RAN else None,
        "errors": _errors(batch, stage),
        "input_file_id": batch.asked.input_file_id,
        "completion_window": "24h",
        "status": stage.value,
        "output_file_id": ids["output_file_id"],
        "error_file_id": error_file_id,
        **_moments(batch, stage, world.now()),
        "request_counts": _counts(batch, stage, world.now()),
        "usage": _usage(batch, stage, world.now()),
        "metadata": batch.asked.metadata,
    }


def _moments(batch: Batch, stage: Stage, now: float) -> JsonObject:
    life = batch.life
    ran = stage in RAN and now >= life.in_progress_at and life.ended_at >= life.in_progress_at
    finalized = stage in (Stage.FINALIZING, Stage.COMPLETED)
    ended = life.ended_at
    return {
        "created_at": unix(life.created_at),
        "in_progress_at": unix(life.in_progress_at) if ran and not life.invalid else None,
        "expires_at": unix(life.expires_at),
        "finalizing_at": unix(life.finalizing_at) if finalized else None,
        "completed_at": unix(ended) if stage is Stage.COMPLETED else None,
        "failed_at": unix(ended) if stage is Stage.FAILED else None,
        "expired_at": unix(ended) if stage is Stage.EXPIRED else None,
        "cancelling_at": unix(life.cancelled_at),
        "cancelled_at": unix(ended) if stage is Stage.CANCELLED else None,
    }


def _errors(batch: Batch, stage: Stage) -> JsonObject | None:
    if stage is not Stage.FAILED:
        return None
    return {"object": "list", "data": [asdict(failure) for failure in batch.failures]}


def _counts(batch: Batch, stage: Stage, now: float) -> JsonObject:
    if batch.work is None or stage in (Stage.VALIDATING, Stage.FAILED):
        return {"total": 0, "completed": 0, "failed": 0}
    finished = batch.finished(now)
    completed = batch.work.succeeded(finished)
    files = batch.result_files()
    never_run = files.unfinished if files else 0
    return {"total": batch.asked.requests, "completed": completed, "failed": finished - completed + never_run}


def _usage(batch: Batch, stage: Stage, now: float) -> JsonObject | None:
    if batch.work is None or not stage.terminal:
        return None
    spent = batch.billed(now)
    return {
        "input_tokens": spent.input_tokens,
        "input_tokens_details": {"cached_tokens": spent.cached_tokens},
        "output_tokens": spent.output_tokens,
        "output_tokens_details": {"reasoning_tokens": batch.work.reasoning_tokens(batch.finished(now))},
        "total_tokens": spent.input_tokens + spent.output_tokens,
    }


def _result_ids(batch: Batch, stage: Stage, world: World) -> JsonObject:
    files = batch.result_files()
    if not stage.terminal or files is None:
        return {"output_file_id": None, "error_file_id": None}
    if batch.shown_files is None:
        batch.shown_files = {
            "output_file_id": _add(batch, files.output, "output", world),
            "error_file_id": _add(batch, files.errors, "error", world),
        }
    return batch.shown_files


def _add(batch: Batch, path: Path | None, kind: str, world: World) -> str | None:
    if path is None:
        return None
    life = batch.asked.output_life_seconds or world.options.file_life_seconds
    created = batch.life.ended_at
    file = StoredFile(
        id=world.ids.new("file-"),
        path=path,
        size_bytes=path.stat().st_size,
        filename=f"{batch.id}_{kind}.jsonl",
        purpose="batch_output",
        created_at=created,
        expires_at=created + life,
    )
    world.files.add(file)
    return file.id
