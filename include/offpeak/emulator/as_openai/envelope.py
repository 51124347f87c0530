"""What OpenAI refuses with a 400 when a batch is created."""

from __future__ import annotations

from typing import Any

from offpeak.emulator.as_openai.asking import bad
from offpeak.emulator.as_openai.files import MAX_LIFE_SECONDS, MIN_LIFE_SECONDS
from offpeak.emulator.as_openai.lines import ENDPOINTS

MAX_METADATA, MAX_KEY, MAX_VALUE = 16, 64, 512


def check_create(body: Any) -> None:
    """Raises the ApiError of the first thing that is wrong with a create body."""
    if not isinstance(body, dict):
        raise bad("The body must be a JSON object.", "body", "invalid_type")
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(body.get(name), str):
            raise bad(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    if body["endpoint"] not in ENDPOINTS:
        supported = ", ".join(f"'{endpoint}'" for endpoint in ENDPOINTS)
        message = f"Invalid value: '{body['endpoint']}'. Supported values are: {supported}."
        raise bad(message, "endpoint")
    if body["completion_window"] != "24h":
        message = f"Invalid value: '{body['completion_window']}'. Value must be '24h'."
        raise bad(message, "completion_window")
    _check_metadata(body.get("metadata"))
    _check_expiry(body.get("output_expires_after"))


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise bad("Invalid type for 'metadata': expected a map of strings.", "metadata", "invalid_type")
    if len(metadata) > MAX_METADATA:
        raise bad(
            f"Invalid 'metadata': at most {MAX_METADATA} pairs.", "metadata", "object_above_max_properties"
        )
    for key, value in metadata.items():
        param = f"metadata.{key}"
        if not isinstance(value, str):
            raise bad(f"Invalid type for '{param}': expected a string.", param, "invalid_type")
        if len(key) > MAX_KEY or len(value) > MAX_VALUE:
            message = f"Invalid '{param}': keys up to {MAX_KEY} and values up to {MAX_VALUE} characters."
            raise bad(message, param, "string_above_max_length")


def _check_expiry(expiry: Any) -> None:
    if expiry is None:
        return
    name = "output_expires_after"
    if not isinstance(expiry, dict) or expiry.get("anchor") != "created_at":
        raise bad(f"Invalid value: '{name}.anchor' must be 'created_at'.", f"{name}.anchor")
    seconds = expiry.get("seconds")
    if not isinstance(seconds, int) or not MIN_LIFE_SECONDS <= seconds <= MAX_LIFE_SECONDS:
        raise bad(f"Invalid '{name}.seconds': {MIN_LIFE_SECONDS} to {MAX_LIFE_SECONDS}.", f"{name}.seconds")
