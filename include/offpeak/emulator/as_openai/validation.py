"""What OpenAI finds wrong with an input file: at the upload, and later when the batch is validated."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from offpeak.emulator.options import Options
from offpeak.emulator.quirks import Failure
from offpeak.emulator.tokens import BYTES_PER_TOKEN
from offpeak.emulator.wire import ApiError

MAX_FAILURES = 100  # entries in errors.data
MAX_EMBEDDING_INPUTS = 50_000
REQUIRED = ("custom_id", "method", "url", "body")
NEEDED_IN_BODY = {"/v1/chat/completions": "messages", "/v1/responses": "input", "/v1/embeddings": "input"}


@dataclass(slots=True, kw_only=True)
class Checked:
    """What validation learned from one file."""

    offsets: array[int] = field(default_factory=lambda: array("Q"))
    failures: list[Failure] = field(default_factory=list)
    model: str | None = None
    queued_tokens: int = 0
    embedding_inputs: int = 0
    custom_ids: set[str] = field(default_factory=set)


def check_upload(filename: str, first_line: bytes) -> None:
    """Raises the 400 of an upload; only the name and the first line are looked at."""
    if not filename.endswith(".jsonl"):
        raise ApiError(status=400, message="Invalid file format for Batch API. Must be .jsonl")
    try:
        orjson.loads(first_line)
    except orjson.JSONDecodeError:
        message = "Invalid file format. Input file must be in the jsonl format, with one JSON object a line."
        raise ApiError(status=400, message=message) from None


def check_input(path: Path, endpoint: str, options: Options) -> Checked:
    """Reads a whole input file. One bad line fails the batch, so every line is looked at first."""
    checked = Checked()
    offset = 0
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            if raw.strip():
                checked.offsets.append(offset)
                _check_line(checked, raw, number, endpoint, options)
            offset += len(raw)
            if len(checked.failures) >= MAX_FAILURES:
                break
    _check_size(checked, offset, options)
    checked.custom_ids.clear()
    return checked


def _check_size(checked: Checked, size_bytes: int, options: Options) -> None:
    message = ""
    if len(checked.offsets) > options.openai_max_requests:
        message = f"The batch has more than the {options.openai_max_requests} requests allowed."
    elif size_bytes > options.openai_max_bytes:
        message = f"The input file is larger than the {options.openai_max_bytes} bytes allowed."
    elif checked.embedding_inputs > MAX_EMBEDDING_INPUTS:
        message = f"The batch has more than the {MAX_EMBEDDING_INPUTS} embedding inputs allowed."
    if message:
        checked.failures.insert(0, Failure(code="invalid_request", message=message, param="file_id"))


def _check_line(checked: Checked, raw: bytes, number: int, endpoint: str, options: Options) -> None:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        line = None
    if not isinstance(line, dict):
        message = "This line is not parseable as valid JSON."
        checked.failures.append(Failure(code="invalid_json_line", line=number, message=message))
        return
    failure = _envelope_failure(checked, line, endpoint) or _body_failure(
        checked, line["body"], endpoint, options
    )
    if failure is not None:
        code, param, message = failure
        checked.failures.append(Failure(code=code, line=number, param=param, message=message))
    checked.queued_tokens += len(raw) // BYTES_PER_TOKEN


Found = tuple[str, str | None, str]  # code, param, message


def _envelope_failure(checked: Checked, line: dict[str, Any], endpoint: str) -> Found | None:
    for name in REQUIRED:
        if line.get(name) is None:
            return "missing_required_parameter", name, f"Missing required parameter: '{name}'."
    if not isinstance(line["custom_id"], str) or not isinstance(line["body"], dict):
        name = "body" if isinstance(line["custom_id"], str) else "custom_id"
        return "invalid_type", name, f"Invalid type for '{name}'."
    if line["method"] != "POST":
        return "invalid_method", "method", "The method of a batch request must be POST."
    if line["url"] != endpoint:
        message = "The URL provided for this request does not match the batch endpoint."
        return "invalid_url", "url", message
    custom_id = line["custom_id"]
    if custom_id in checked.custom_ids:
        message = (
            f"The custom_id '{custom_id}' for this request is a duplicate of another request. "
            "The custom_id parameter must be unique for each request in a batch."
        )
        return "duplicate_custom_id", "custom_id", message
    checked.custom_ids.add(custom_id)
    return None


def _body_failure(checked: Checked, body: dict[str, Any], endpoint: str, options: Options) -> Found | None:
    model, needed = body.get("model"), NEEDED_IN_BODY[endpoint]
    if not isinstance(model, str) or not model:
        return "invalid_request", "body.model", "Missing required parameter: 'body.model'."
    if needed not in body:
        return "invalid_request", f"body.{needed}", f"Missing required parameter: 'body.{needed}'."
    if body.get("stream"):
        return "streaming_unsupported", "body.stream", "Streaming is not supported in the Batch API."
    if model in options.unknown_models:
        message = f"The provided model '{model}' is not supported by the Batch API."
        return "model_not_found", "body.model", message
    if checked.model is None:
        checked.model = model
    elif model != checked.model:
        message = (
            f"The provided model '{model}' does not match the model '{checked.model}' of an earlier line. "
            "Each batch must contain requests for a single model."
        )
        return "mismatched_model", "body.model", message
    if endpoint == "/v1/embeddings":
        checked.embedding_inputs += len(body["input"]) if isinstance(body["input"], list) else 1
    return None
