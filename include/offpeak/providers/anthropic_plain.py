"""Anthropic's plain answers (see plain.py): the fast half of anthropic_reply.py, which decides what is one."""

from __future__ import annotations

import msgspec

from offpeak.providers.plain import Count, Name, Plain, one_by_one


class _Split(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Count = 0
    ephemeral_1h_input_tokens: Count = 0


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Count = 0


class _Usage(msgspec.Struct, gc=False):
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count | None = 0
    cache_creation_input_tokens: Count | None = 0
    cache_creation: _Split | None = None
    output_tokens_details: _OutputDetails | None = None


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""


class _Message(msgspec.Struct, gc=False):
    content: list[_Block]
    model: str = ""
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Result(msgspec.Struct, gc=False):
    type: str
    message: _Message


class _Line(msgspec.Struct, gc=False):
    custom_id: Name
    result: _Result


_NO_USAGE, _NO_SPLIT, _NO_OUTPUT = _Usage(), _Split(), _OutputDetails()
_decode = msgspec.json.Decoder(_Line).decode


def _plain(line: bytes) -> Plain | None:
    read = _decode(line)
    message = read.result.message
    if read.result.type != "succeeded" or message.stop_reason not in ("end_turn", "stop_sequence"):
        return None
    parts = [block.text for block in message.content if block.type == "text"]
    if not parts:
        return None
    said = parts[0] if len(parts) == 1 else "".join(parts)
    return Plain(read.custom_id, message.model, _counts(message.usage or _NO_USAGE), said)


def _counts(usage: _Usage) -> tuple[int, int, int, int, int, int]:
    """In the order of the fields of Usage."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    split, out = usage.cache_creation or _NO_SPLIT, usage.output_tokens_details or _NO_OUTPUT
    long = split.ephemeral_1h_input_tokens
    short = max(split.ephemeral_5m_input_tokens, written - long)
    went_in = usage.input_tokens + read + short + long
    return went_in, read, short, long, usage.output_tokens, out.thinking_tokens


plain_lines = one_by_one(_plain)
"""Each line as a plain answer, None where it is anything else."""
