"""Requests for the emulator's tests."""

from __future__ import annotations

import json
from typing import Any

START = 1_790_000_000.0
DONE_SECONDS = 11.0  # more than validating, running and finalizing take together
KEY = "key-of-this-test"


def chat_line(custom_id: str, text: str = "My card was stolen. Please help.", **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    body = {"model": "gpt-4.1-mini", "messages": messages, **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def chat_lines(count: int) -> list[dict[str, Any]]:
    return [chat_line(f"r1-{number}", f"Ticket number {number} is about a card.") for number in range(count)]


def jsonl(lines: list[Any]) -> bytes:
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )


def message(custom_id: str, text: str = "My card was stolen. Please help.", **params: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    params = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": messages, **params}
    return {"custom_id": custom_id, "params": params}


def messages(count: int) -> list[Any]:
    return [message(f"r1-{number}", f"Ticket number {number} is about a card.") for number in range(count)]
