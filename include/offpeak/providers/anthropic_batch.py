"""Anthropic's batch object in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offpeak.providers.fields import count, mapping, moment, text
from offpeak.providers.provider import Batch
from offpeak.states import BatchStatus

_LIVE = {"in_progress": BatchStatus.RUNNING, "canceling": BatchStatus.CANCELLING}


def results_path(batch_id: str) -> str:
    return f"/v1/messages/batches/{batch_id}/results"


def read_batch(answer: Mapping[str, Any]) -> Batch | None:
    """The batch that `answer` shows; None when it lacks an id, a status or its time of creation."""
    word, created_at = text(answer.get("processing_status")), moment(answer.get("created_at"))
    batch_id = text(answer.get("id"))
    if not batch_id or not word or created_at is None:
        return None
    counts = {name: count(value) for name, value in mapping(answer.get("request_counts")).items()}
    status = _ended(counts) if word == "ended" else _LIVE.get(word, BatchStatus.UNKNOWN)
    completed = counts.get("succeeded", 0)
    readable = status.ended and bool(text(answer.get("results_url")))
    return Batch(
        id=batch_id,
        status=status,
        provider_status=word,
        created_at=created_at,
        ended_at=moment(answer.get("ended_at")),
        expires_at=moment(answer.get("expires_at")),
        total=sum(counts.values()),
        completed=completed,
        failed=sum(counts.values()) - completed - counts.get("processing", 0),
        # our own path, not the address the answer names: a key is only sent where the connection says
        result_files=(results_path(batch_id),) if readable else (),
        message=_told(answer, status, readable),
    )


def _ended(counts: Mapping[str, int]) -> BatchStatus:
    """It has one word for every end; which end it was, the counts tell."""
    if counts.get("canceled"):
        return BatchStatus.CANCELLED
    return BatchStatus.EXPIRED if counts.get("expired") else BatchStatus.COMPLETED


def _told(answer: Mapping[str, Any], status: BatchStatus, readable: bool) -> str:
    if not status.ended or readable:
        return ""
    if answer.get("archived_at"):
        return "Its results are no longer kept: the provider deletes them 29 days after the creation."
    return "It has ended but names no results."
