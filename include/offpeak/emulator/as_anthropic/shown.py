"""The message batch object as Anthropic shows it."""

from __future__ import annotations

from starlette.requests import Request

from offpeak.emulator.batch import Batch
from offpeak.emulator.life import Stage
from offpeak.emulator.wire import JsonObject, rfc3339
from offpeak.emulator.world import World


def shown_batch(batch: Batch, stage: Stage, world: World, request: Request) -> JsonObject:
    """The batch at this stage. Its results live on the host the client asked."""
    ended, life = stage.terminal, batch.life
    gone = archived(batch, world)
    results = f"{request.base_url}v1/messages/batches/{batch.id}/results"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": _status(stage),
        "request_counts": _counts(batch, stage),
        "created_at": rfc3339(life.created_at),
        "expires_at": rfc3339(life.expires_at),
        "ended_at": rfc3339(life.ended_at) if ended else None,
        "cancel_initiated_at": rfc3339(life.cancelled_at),
        "archived_at": rfc3339(life.created_at + world.options.results_life_seconds) if gone else None,
        "results_url": results if ended and not gone else None,
    }


def archived(batch: Batch, world: World) -> bool:
    return world.now() >= batch.life.created_at + world.options.results_life_seconds


def _status(stage: Stage) -> str:
    if stage.terminal:
        return "ended"
    return "canceling" if stage is Stage.CANCELLING else "in_progress"


def _counts(batch: Batch, stage: Stage) -> JsonObject:
    """All lines are `processing` until the whole batch has ended."""
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    if not stage.terminal or batch.work is None:
        return {**counts, "processing": batch.asked.requests}
    finished = batch.finished(batch.life.ended_at)
    succeeded = batch.work.succeeded(finished)
    left = batch.asked.requests - finished
    return {
        **counts,
        "succeeded": succeeded,
        "errored": finished - succeeded,
        "canceled": left if stage is Stage.CANCELLED else 0,
        "expired": left if stage is Stage.EXPIRED else 0,
    }
