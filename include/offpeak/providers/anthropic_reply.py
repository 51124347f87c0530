"""Anthropic's result lines and messages, read. Facts: its API reference and SDK types of 2026-11-22."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offpeak.providers.failures import money_problem
from offpeak.providers.fields import (
    count,
    excerpt,
    mapping,
    read_object,
    salvaged_custom_id,
    sequence,
    text,
)
from offpeak.providers.provider import Reply, Usage
from offpeak.states import Outcome

_LASTING = frozenset(
    {
        "invalid_request_error",
        "request_too_large",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "billing_error",
    }
)
"""Error types that the very same request meets again; all others may pass the next time."""


def parse_line(line: bytes) -> Reply:
    """One line of the results. Only `succeeded` is billed; whether it is an answer is another matter."""
    record = read_object(line)
    if record is None:
        return Reply(
            custom_id=salvaged_custom_id(line),
            outcome=Outcome.ERRORED,
            code="unreadable_line",
            message=excerpt(line),
            transient=True,
        )
    custom_id, result = text(record.get("custom_id")), mapping(record.get("result"))
    kind = result.get("type")
    if kind == "succeeded" and isinstance(result.get("message"), dict):
        return parse_answer(custom_id, result["message"])
    if kind == "errored":
        return parse_failure(custom_id, mapping(result.get("error")))
    if kind == "expired":
        return _not_run(
            custom_id, Outcome.EXPIRED, "expired", "The batch expired before this request was run."
        )
    if kind == "canceled":
        return _not_run(
            custom_id, Outcome.CANCELLED, "canceled", "The batch was cancelled before this was run."
        )
    return _unknown(custom_id, record)


def parse_answer(custom_id: str, body: Mapping[str, Any]) -> Reply:
    """A message. The stop reason says what the text is worth."""
    reason = body.get("stop_reason")
    said = _text(body)
    outcome, message, transient = Outcome.ANSWERED, "", False
    code = text(reason)
    if reason in ("end_turn", "stop_sequence"):
        code = ""
        if said is None:
            outcome, code, message, transient = (
                Outcome.ERRORED,
                "no_answer",
                "The answer holds no text.",
                True,
            )
    elif reason == "max_tokens":
        outcome, message = Outcome.TRUNCATED, "The answer reached the output limit."
    elif reason == "refusal":
        outcome, message = Outcome.REFUSED, _why_refused(body)
    elif reason == "model_context_window_exceeded":
        outcome, message = (
            Outcome.ERRORED,
            "Prompt and answer are longer than the model can hold. Shorten the row.",
        )
    elif reason in ("tool_use", "pause_turn"):
        outcome, message = Outcome.ERRORED, "The model turned to a tool instead of answering."
    else:
        outcome, code, message = Outcome.ERRORED, "unknown_result", excerpt(dict(body))
    return Reply(
        custom_id=custom_id,
        outcome=outcome,
        text=said,
        model=text(body.get("model")),
        usage=_usage(mapping(body.get("usage"))),
        code=code,
        message=message,
        transient=transient,
    )


def parse_failure(custom_id: str, envelope: Mapping[str, Any]) -> Reply:
    """An error envelope. Within results it is nested: the outer `type` only says that it is an error."""
    inner = envelope.get("error")
    error = mapping(inner) if isinstance(inner, dict) else envelope
    code, message = text(error.get("type")), text(error.get("message"))
    spent = money_problem(text(mapping(error.get("details")).get("error_code")) or code, message)
    return Reply(
        custom_id=custom_id,
        outcome=Outcome.ERRORED,
        code=code or "errored",
        message=message or excerpt(dict(envelope)),
        transient=code not in _LASTING and not spent,
    )


def _text(body: Mapping[str, Any]) -> str | None:
    blocks = map(mapping, sequence(body.get("content")))
    parts = [text(block.get("text")) for block in blocks if block.get("type") == "text"]
    return "".join(parts) if parts else None


def _why_refused(body: Mapping[str, Any]) -> str:
    details = mapping(body.get("stop_details"))
    told = [text(details.get("category")), text(details.get("explanation"))]
    return ": ".join(filter(None, told)) or "The model declined."


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Anthropic's input tokens leave out what was read from or written to the cache; ours do not."""
    read, written = (
        count(usage.get("cache_read_input_tokens")),
        count(usage.get("cache_creation_input_tokens")),
    )
    split = mapping(usage.get("cache_creation"))
    long = count(split.get("ephemeral_1h_input_tokens"))
    short = max(count(split.get("ephemeral_5m_input_tokens")), written - long)
    return Usage(
        input_tokens=count(usage.get("input_tokens")) + read + short + long,
        cached_tokens=read,
        cache_write_tokens=short,
        cache_write_long_tokens=long,
        output_tokens=count(usage.get("output_tokens")),
        reasoning_tokens=count(mapping(usage.get("output_tokens_details")).get("thinking_tokens")),
    )


def _not_run(custom_id: str, outcome: Outcome, code: str, message: str) -> Reply:
    return Reply(custom_id=custom_id, outcome=outcome, code=code, message=message, transient=True)


def _unknown(custom_id: str, record: Mapping[str, Any]) -> Reply:
    return Reply(
        custom_id=custom_id, outcome=Outcome.ERRORED, code="unknown_result", message=excerpt(dict(record))
    )
