"""OpenAI's plain answers (see plain.py): the fast half of openai_reply.py, which decides what is one."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from offpeak.providers.plain import UNREADABLE, Count, Name, Plain, check_text, float_lists


class _Split(msgspec.Struct, gc=False):
    ttl_12h_tokens: Count = 0


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_tokens_details: _Split | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count = 0


class _Usage(msgspec.Struct, gc=False):
    """Of every endpoint: the responses' names first, then chat's and embeddings'."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    content: list[_Part] | None = None


class _Message(msgspec.Struct, gc=False):
    content: str
    refusal: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str | None = None


class _Embedding(msgspec.Struct, gc=False):
    embedding: msgspec.Raw


class _Body(msgspec.Struct, gc=False):
    model: str = ""
    object: str = ""
    status: str = ""
    output: list[_Item] | None = None
    choices: list[_Choice] | None = None
    data: list[_Embedding] | None = None
    usage: _Usage | None = None
    error: Any = None


class _Response(msgspec.Struct, gc=False):
    status_code: int
    body: _Body


class _Line(msgspec.Struct, gc=False):
    custom_id: Name
    response: _Response


_NO_INPUT, _NO_OUTPUT, _NO_USAGE = _InputDetails(), _OutputDetails(), _Usage()
_decode = msgspec.json.Decoder(_Line).decode


def plain_lines(lines: Sequence[bytes]) -> list[Plain | None]:
    """Each line as a plain answer, None where it is anything else."""
    found: list[Plain | None] = []
    lists: dict[int, tuple[_Line, bytes]] = {}
    for place, line in enumerate(lines):
        plain = None
        try:
            check_text(line)
            read = _decode(line)
            if read.response.status_code == 200:
                raw = _raw_vector(read.response.body)
                if raw is None:
                    plain = _text(read)
                elif raw[:1] == b"[":
                    lists[place] = read, raw
                else:
                    plain = _with_vector(read, binascii.a2b_base64(raw[1:-1], strict_mode=True))
        except (*UNREADABLE, binascii.Error):
            plain = None
        found.append(plain)
    vectors = float_lists([raw for _, raw in lists.values()])
    for (place, (read, _)), vector in zip(lists.items(), vectors, strict=True):
        found[place] = None if vector is None else _with_vector(read, vector)
    return found


def _raw_vector(body: _Body) -> bytes | None:
    """The JSON of the vector; None for a body that holds text."""
    if body.choices is not None or body.data is None:
        return None
    (one,) = body.data if len(body.data) == 1 else (_Embedding(msgspec.Raw(b"null")),)
    return bytes(one.embedding)


def _with_vector(read: _Line, vector: bytes) -> Plain | None:
    import numpy as np

    if not vector or len(vector) % 4 or not np.isfinite(np.frombuffer(vector, "<f4")).all():
        return None
    body = read.response.body
    usage = body.usage or _NO_USAGE
    return Plain(read.custom_id, body.model, (usage.prompt_tokens, 0, 0, 0, 0, 0), vector=vector)


def _text(read: _Line) -> Plain | None:
    body = read.response.body
    if body.choices is not None:
        return _chat(read.custom_id, body, body.choices)
    if body.output is None or body.error or body.status not in ("completed", ""):
        return None
    said = None
    for item in body.output:
        if item.type != "message":
            continue
        for part in item.content or ():
            if part.type == "output_text":
                said = part.text if said is None else said + part.text
            elif part.type == "refusal":
                return None
    if said is None:
        return None
    usage = body.usage or _NO_USAGE
    into, out = usage.input_tokens_details or _NO_INPUT, usage.output_tokens_details or _NO_OUTPUT
    counts = _counts(usage.input_tokens, into, usage.output_tokens, out)
    return Plain(read.custom_id, body.model, counts, said)


def _chat(custom_id: str, body: _Body, choices: list[_Choice]) -> Plain | None:
    if not choices or choices[0].finish_reason not in ("stop", None) or choices[0].message.refusal:
        return None
    usage = body.usage or _NO_USAGE
    into, out = usage.prompt_tokens_details or _NO_INPUT, usage.completion_tokens_details or _NO_OUTPUT
    counts = _counts(usage.prompt_tokens, into, usage.completion_tokens, out)
    return Plain(custom_id, body.model, counts, choices[0].message.content)


def _counts(
    went_in: int, into: _InputDetails, came_out: int, out: _OutputDetails
) -> tuple[int, int, int, int, int, int]:
    """In the order of the fields of Usage."""
    written, split = into.cache_write_tokens, into.cache_write_tokens_details
    long = 0 if split is None else min(split.ttl_12h_tokens, written)
    return went_in, into.cached_tokens, written - long, long, came_out, out.reasoning_tokens
