"""A provider's desk in memory: it takes shards as batches, lets time pass, and answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from offpeak.blocks import Block
from offpeak.providers.provider import Batch, Found, Submission
from offpeak.states import BatchStatus

Answer = Callable[[str, int], dict[str, Any]]
"""From the user's text and the round to the body of an answer (see `said`, `refused`, `cut_off`)."""


class Clock:
    """Time that passes when the test says so."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, **span: float) -> None:
        self.at += timedelta(**span)


def body(model: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    return {
        "object": "response",
        "status": status,
        "model": model,
        "output": [{"type": "message", "role": "assistant", "content": content}],
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 40},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
        },
    }


def said(text: str, *, model: str = "gpt-5-mini-2025-08-07") -> dict[str, Any]:
    return body(model, [{"type": "output_text", "text": text}])


def refused(text: str) -> dict[str, Any]:
    return body("gpt-5-mini-2025-08-07", [{"type": "refusal", "refusal": text}])


def cut_off(text: str) -> dict[str, Any]:
    made = body("gpt-5-mini-2025-08-07", [{"type": "output_text", "text": text}], "incomplete")
    return {**made, "incomplete_details": {"reason": "max_output_tokens"}}


@dataclass
class Desk:
    """The client of one account. A batch ends as soon as it is looked at, unless `slow`."""

    clock: Clock
    answer: Answer
    slow: bool = False
    extra_lines: tuple[bytes, ...] = ()
    """Further lines in every result file."""
    sent: dict[str, tuple[Submission, list[dict[str, Any]]]] = field(default_factory=dict)
    begun: dict[str, datetime] = field(default_factory=dict)

    def upload(self, submission: Submission) -> str:
        return f"file-{submission.tag}"

    def create(self, submission: Submission) -> Batch:
        batch_id = f"batch_{submission.tag}"
        lines = [json.loads(line) for line in submission.path.read_bytes().splitlines()]
        self.sent[batch_id] = (submission, lines)
        self.begun[batch_id] = self.clock()
        return self._batch(batch_id, BatchStatus.VALIDATING)

    def look(self, batch_id: str) -> Batch:
        return self._batch(batch_id, BatchStatus.RUNNING if self.slow else BatchStatus.COMPLETED)

    def blocks(self, batch: Batch) -> Iterator[Block]:
        submission, lines = self.sent[batch.id]
        given = []
        for line in lines:
            made = self.answer(line["body"]["input"], submission.round)
            response = {"status_code": 200, "body": made}
            given.append(json.dumps({"custom_id": line["custom_id"], "response": response}).encode())
        yield Block.of([*given, *self.extra_lines])

    def find(self, submission: Submission, *, since: datetime, owned: frozenset[str]) -> Found:
        return Found()

    def close(self) -> None: ...

    def _batch(self, batch_id: str, status: BatchStatus) -> Batch:
        total = len(self.sent[batch_id][1])
        batch = Batch(
            id=batch_id,
            status=status,
            provider_status="in_progress" if status is BatchStatus.RUNNING else str(status),
            created_at=self.begun[batch_id].astimezone(UTC),
            total=total,
            completed=total // 2,
        )
        if status is not BatchStatus.COMPLETED:
            return batch
        return replace(batch, ended_at=self.clock(), completed=total, result_files=("file-out",))
