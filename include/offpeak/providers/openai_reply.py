"""OpenAI's result lines and answers, read. Facts: the batch guide and the SDK's types, as of 2026-11-22."""

from __future__ import annotations

import base64
import binascii
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

_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
_NEVER_BETTER = ("invalid", "missing", "unsupported", "unknown", "model_not_found", "content_policy")
"""Beginnings of codes of a line that was not run and would not run the next time either."""
_TRANSIENT_CODES = frozenset(
    {
        "server_error",
        "rate_limit_exceeded",
        "internal_error",
        "timeout",
        "request_timeout",
        "vector_store_timeout",
    }
)


def parse_line(line: bytes) -> Reply:
    """One line of an output or error file. Success is `response.status_code == 200`, nothing else."""
    record = read_object(line)
    if record is None:
        return Reply(
            custom_id=salvaged_custom_id(line),
            outcome=Outcome.ERRORED,
            code="unreadable_line",
            message=excerpt(line),
            transient=True,
        )
    custom_id = text(record.get("custom_id"))
    response, error = record.get("response"), record.get("error")
    if isinstance(response, dict):
        status = response.get("status_code")
        if type(status) is int and status == 200:
            return parse_answer(custom_id, mapping(response.get("body")))
        if type(status) is int and status >= 300:
            return parse_failure(custom_id, status, mapping(response.get("body")))
    elif isinstance(error, dict):
        return _never_run(custom_id, error)
    return _unknown(custom_id, record)


def parse_answer(custom_id: str, body: Mapping[str, Any]) -> Reply:
    """The body of a successful answer; which endpoint it is of is read from the body itself."""
    if isinstance(body.get("choices"), list):
        return _chat(custom_id, body)
    if isinstance(body.get("data"), list):
        return _embedding(custom_id, body)
    if isinstance(body.get("output"), list) or body.get("object") == "response":
        return _response(custom_id, body)
    return _unknown(custom_id, body)


def parse_failure(custom_id: str, status: int, body: Mapping[str, Any]) -> Reply:
    """The model's endpoint answered 4xx or 5xx for this request."""
    error = mapping(body.get("error"))
    code = text(error.get("code")) or text(error.get("type")) or f"http_{status}"
    lasting = money_problem(code) or money_problem(text(error.get("type")))
    return Reply(
        custom_id=custom_id,
        outcome=Outcome.ERRORED,
        code=code,
        message=text(error.get("message")) or excerpt(body),
        transient=not lasting and (status in _TRANSIENT_STATUS or status >= 500),
    )


def _never_run(custom_id: str, error: Mapping[str, Any]) -> Reply:
    """The line was not executed. Expired ones have also been seen under a general server error."""
    code, message = text(error.get("code")), text(error.get("message")) or excerpt(error)
    if code == "batch_expired":
        outcome = Outcome.EXPIRED
    elif code in ("batch_cancelled", "batch_canceled"):
        outcome = Outcome.CANCELLED
    else:
        outcome = Outcome.ERRORED
    lasting = code.startswith(_NEVER_BETTER) or bool(money_problem(code))
    return Reply(
        custom_id=custom_id, outcome=outcome, code=code or "not_run", message=message, transient=not lasting
    )


def _response(custom_id: str, body: Mapping[str, Any]) -> Reply:
    said, refusal, called = _response_parts(body)
    usage, model, status = _response_usage(body), text(body.get("model")), text(body.get("status"))

    def reply(outcome: Outcome, code: str = "", message: str = "", transient: bool = False) -> Reply:
        return Reply(
            custom_id=custom_id,
            outcome=outcome,
            text=refusal if outcome is Outcome.REFUSED and refusal is not None else said,
            model=model,
            usage=usage,
            code=code,
            message=message,
            transient=transient,
        )

    error = mapping(body.get("error"))
    if status == "failed" or error:
        code = text(error.get("code")) or "failed"
        return reply(Outcome.ERRORED, code, text(error.get("message")), code in _TRANSIENT_CODES)
    if status == "incomplete":
        reason = text(mapping(body.get("incomplete_details")).get("reason"))
        if reason == "content_filter":
            return reply(Outcome.REFUSED, reason, "The provider's content filter stopped the answer.")
        return reply(Outcome.TRUNCATED, reason or status, "The answer reached the output limit.")
    if status == "cancelled":
        return reply(Outcome.CANCELLED, status, "The answer was cancelled.", True)
    if status not in ("completed", ""):
        return reply(Outcome.ERRORED, "unknown_result", excerpt(body))
    if refusal is not None:
        return reply(Outcome.REFUSED, "refusal", refusal)
    if called and said is None:
        return reply(Outcome.ERRORED, "tool_calls", "The model called a tool instead of answering.")
    if said is None:
        return reply(Outcome.ERRORED, "no_answer", "The answer holds no text.", True)
    return reply(Outcome.ANSWERED)


def _response_parts(body: Mapping[str, Any]) -> tuple[str | None, str | None, bool]:
    """The text, the refusal, and whether a tool was called."""
    said: list[str] = []
    refusals: list[str] = []
    called = False
    for item in map(mapping, sequence(body.get("output"))):
        called = called or text(item.get("type")).endswith("_call")
        for part in map(mapping, sequence(item.get("content")) if item.get("type") == "message" else []):
            if part.get("type") == "refusal":
                refusals.append(text(part.get("refusal")))
            elif part.get("type") == "output_text":
                said.append(text(part.get("text")))
    return "".join(said) if said else None, "".join(refusals) if refusals else None, called


def _chat(custom_id: str, body: Mapping[str, Any]) -> Reply:
    choice = mapping(next(iter(sequence(body.get("choices"))), None))
    message, reason = mapping(choice.get("message")), choice.get("finish_reason")
    said, refusal = _chat_text(message), text(message.get("refusal"))
    outcome, code, told, transient = Outcome.ANSWERED, "", "", False
    if refusal or reason == "content_filter":
        outcome, code, told = Outcome.REFUSED, "refusal" if refusal else "content_filter", refusal
    elif reason == "length":
        outcome, code, told = Outcome.TRUNCATED, "length", "The answer reached the output limit."
    elif reason in ("tool_calls", "function_call"):
        outcome, code = Outcome.ERRORED, "tool_calls"
        told = "The model called a tool instead of answering."
    elif reason not in ("stop", None):
        outcome, code, told = Outcome.ERRORED, "unknown_result", excerpt(body)
    elif said is None:
        outcome, code, told, transient = Outcome.ERRORED, "no_answer", "The answer holds no text.", True
    return Reply(
        custom_id=custom_id,
        outcome=outcome,
        text=refusal or said,
        model=text(body.get("model")),
        usage=_chat_usage(body),
        code=code,
        message=told,
        transient=transient,
    )


def _chat_text(message: Mapping[str, Any]) -> str | None:
    content = message.get("content")
    if isinstance(content, list):
        parts = [text(mapping(part).get("text")) for part in content if mapping(part).get("type") == "text"]
        return "".join(parts) if parts else None
    return content if isinstance(content, str) else None


def _embedding(custom_id: str, body: Mapping[str, Any]) -> Reply:
    data = sequence(body.get("data"))
    vector = _vector(mapping(data[0]).get("embedding")) if len(data) == 1 else None
    if vector is None:
        return _unknown(custom_id, body)
    usage = mapping(body.get("usage"))
    return Reply(
        custom_id=custom_id,
        outcome=Outcome.ANSWERED,
        vector=vector,
        model=text(body.get("model")),
        usage=Usage(input_tokens=count(usage.get("prompt_tokens"))),
    )


def _vector(embedding: object) -> bytes | None:
    """float32, little-endian, from base64 or from a list of numbers; None when it is no finite vector."""
    import numpy as np

    try:
        if isinstance(embedding, str):
            numbers = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        elif isinstance(embedding, list) and all(type(value) in (int, float) for value in embedding):
            with np.errstate(over="ignore"):
                numbers = np.array(embedding, dtype="<f4")
        else:
            return None
    except (binascii.Error, ValueError, OverflowError):
        return None
    return numbers.tobytes() if numbers.size and np.isfinite(numbers).all() else None


def _response_usage(body: Mapping[str, Any]) -> Usage:
    usage = mapping(body.get("usage"))
    details = mapping(usage.get("input_tokens_details"))
    return _usage(usage, details, ("input_tokens", "output_tokens", "output_tokens_details"))


def _chat_usage(body: Mapping[str, Any]) -> Usage:
    usage = mapping(body.get("usage"))
    details = mapping(usage.get("prompt_tokens_details"))
    return _usage(usage, details, ("prompt_tokens", "completion_tokens", "completion_tokens_details"))


def _usage(usage: Mapping[str, Any], details: Mapping[str, Any], names: tuple[str, str, str]) -> Usage:
    """OpenAI counts cached and written tokens within the input, and reasoning within the output."""
    written = count(details.get("cache_write_tokens"))
    split = mapping(details.get("cache_write_tokens_details"))
    long = min(count(split.get("ttl_12h_tokens")), written)
    return Usage(
        input_tokens=count(usage.get(names[0])),
        cached_tokens=count(details.get("cached_tokens")),
        cache_write_tokens=written - long,
        cache_write_long_tokens=long,
        output_tokens=count(usage.get(names[1])),
        reasoning_tokens=count(mapping(usage.get(names[2])).get("reasoning_tokens")),
    )


def _unknown(custom_id: str, record: Mapping[str, Any]) -> Reply:
    return Reply(
        custom_id=custom_id, outcome=Outcome.ERRORED, code="unknown_result", message=excerpt(dict(record))
    )
