"""OpenAI's batch object in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offpeak.providers.failures import any_detail, file_not_visible, over_limit
from offpeak.providers.fields import count, mapping, moment, sequence, text
from offpeak.providers.provider import Batch
from offpeak.states import BatchStatus

_STATUS = {
    "validating": BatchStatus.VALIDATING,
    "in_progress": BatchStatus.RUNNING,
    "finalizing": BatchStatus.FINALIZING,
    "cancelling": BatchStatus.CANCELLING,
    "completed": BatchStatus.COMPLETED,
    "failed": BatchStatus.FAILED,
    "expired": BatchStatus.EXPIRED,
    "cancelled": BatchStatus.CANCELLED,
}
_SERVER_CODES = frozenset({"server_error", "internal_error", "internal_server_error"})


def read_batch(answer: Mapping[str, Any]) -> Batch | None:
    """The batch that `answer` shows; None when it lacks an id, a status or its time of creation."""
    word, created_at = text(answer.get("status")), moment(answer.get("created_at"))
    if not text(answer.get("id")) or not word or created_at is None:
        return None
    status = _STATUS.get(word, BatchStatus.UNKNOWN)
    counts = mapping(answer.get("request_counts"))
    errors = [mapping(error) for error in sequence(mapping(answer.get("errors")).get("data"))]
    files = (text(answer.get("output_file_id")), text(answer.get("error_file_id")))
    return Batch(
        id=text(answer.get("id")),
        status=status,
        provider_status=word,
        created_at=created_at,
        ended_at=moment(answer.get(f"{word}_at")) if status.ended else None,
        expires_at=moment(answer.get("expires_at")),
        total=count(counts.get("total")),
        completed=count(counts.get("completed")),
        failed=count(counts.get("failed")),
        result_files=tuple(file for file in files if file),  # an empty id has been seen where null is meant
        code=text(errors[0].get("code")) if errors else "",
        message=_told(errors, status),
        transient=status is BatchStatus.FAILED and bool(errors) and all(map(_passes, errors)),
    )


def _passes(error: Mapping[str, Any]) -> bool:
    """Whether the same file may be accepted later: the queue was full, or the file not visible yet."""
    code, message = text(error.get("code")), text(error.get("message"))
    if over_limit(code, message) or code in _SERVER_CODES:
        return True
    return file_not_visible(message) or (code == "invalid_request" and error.get("param") == "file_id")


def _told(errors: list[Mapping[str, Any]], status: BatchStatus) -> str:
    if not errors:
        return "The provider gave no reason." if status is BatchStatus.FAILED else ""
    return any_detail([_one(error) for error in errors])


def _one(error: Mapping[str, Any]) -> str:
    line = error.get("line")
    place = f"line {line}: " if type(line) is int else ""
    param = f" ({text(error.get('param'))})" if text(error.get("param")) else ""
    return (
        f"{place}{text(error.get('code')) or 'no code'}{param}: {text(error.get('message')) or 'no message'}"
    )
