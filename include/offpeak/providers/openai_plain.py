"""OpenAI's plain answers (see plain.py): the fast half of openai_reply.py, which decides what is one."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from offpeak.providers.plain import Count, Name, Plains, decoded, having, usage_of
from offpeak.providers.vectors import float_lists

if TYPE_CHECKING:
    import numpy as np


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
    refusal: Literal[""] | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: Literal["stop"] | None = None


class _Embedding(msgspec.Struct, gc=False):
    embedding: msgspec.Raw


class _Body(msgspec.Struct, gc=False):
    model: str = ""
    status: Literal["completed", ""] = ""
    output: list[_Item] | None = None
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)] | None = None
    data: Annotated[list[_Embedding], msgspec.Meta(min_length=1, max_length=1)] | None = None
    usage: _Usage | None = None
    error: None = None


class _Response(msgspec.Struct, gc=False):
    status_code: Literal[200]
    body: _Body


class _Line(msgspec.Struct, gc=False):
    """What the types do not allow here is no plain answer, or one that the slow reader knows better."""

    custom_id: Name
    response: _Response


_NO_INPUT, _NO_OUTPUT, _NO_USAGE = _InputDetails(), _OutputDetails(), _Usage()
_decode = msgspec.json.Decoder(_Line).decode
Kind = Literal["chat", "embedding", "response"]


def plain_lines(lines: Sequence[bytes]) -> Plains:
    """The plain answers among the lines, of the endpoint that the first one is of."""
    found = decoded(_decode, lines)
    kind: Kind = next((_kind(one.response.body) for one in found if one is not None), "chat")
    texts = {"chat": _chat_texts, "response": _response_texts, "embedding": _no_texts}[kind](found)
    vectors = _vectors(found) if kind == "embedding" else None
    places, read = having(found, vectors or texts)
    bodies = [one.response.body for one in read]
    return Plains(
        places=places,
        custom_ids=[one.custom_id for one in read],
        models=[body.model for body in bodies],
        usage=_counts(kind, [body.usage or _NO_USAGE for body in bodies]),
        texts=None if vectors else [text for text in texts if text is not None],
        vectors=[vector for vector in vectors if vector is not None] if vectors else None,
    )


def _kind(body: _Body) -> Kind:
    return "chat" if body.choices is not None else "embedding" if body.data is not None else "response"


def _chat_texts(found: Sequence[_Line | None]) -> list[str | None]:
    return [
        None
        if one is None or one.response.body.choices is None
        else one.response.body.choices[0].message.content
        for one in found
    ]


def _response_texts(found: Sequence[_Line | None]) -> list[str | None]:
    return [
        None if one is None or _kind(one.response.body) != "response" else _said(one.response.body.output)
        for one in found
    ]


def _said(output: Sequence[_Item] | None) -> str | None:
    """All texts of a response; None when there is none, or a refusal."""
    parts = [part for item in output or () if item.type == "message" for part in item.content or ()]
    said = [part.text for part in parts if part.type == "output_text"]
    return "".join(said) if said and all(part.type != "refusal" for part in parts) else None


def _no_texts(found: Sequence[_Line | None]) -> list[str | None]:
    return [None] * len(found)


def _vectors(found: Sequence[_Line | None]) -> list[bytes | None]:
    made = [None if one is None else _raw_vector(one.response.body) for one in found]
    lists = [place for place, raw in enumerate(made) if raw is not None and raw[:1] == b"["]
    listed = iter(float_lists([made[place] or b"" for place in lists]))
    is_list = set(lists)
    return [
        next(listed) if place in is_list else None if raw is None else _from_base64(raw)
        for place, raw in enumerate(made)
    ]


def _raw_vector(body: _Body) -> bytes | None:
    """The JSON of the vector; None for a body that holds text."""
    return None if body.choices is not None or body.data is None else bytes(body.data[0].embedding)


def _from_base64(raw: bytes) -> bytes | None:
    import numpy as np

    try:
        vector = binascii.a2b_base64(raw[1:-1], strict_mode=True)
    except binascii.Error:
        return None
    whole = vector and not len(vector) % 4 and np.isfinite(np.frombuffer(vector, "<f4")).all()
    return vector if whole else None


def _counts(kind: Kind, usages: Sequence[_Usage]) -> np.ndarray:
    if kind == "response":
        into = [one.input_tokens_details or _NO_INPUT for one in usages]
        out = [one.output_tokens_details or _NO_OUTPUT for one in usages]
        went_in, came_out = [one.input_tokens for one in usages], [one.output_tokens for one in usages]
    elif kind == "chat":
        into = [one.prompt_tokens_details or _NO_INPUT for one in usages]
        out = [one.completion_tokens_details or _NO_OUTPUT for one in usages]
        went_in, came_out = [one.prompt_tokens for one in usages], [one.completion_tokens for one in usages]
    else:
        return usage_of([one.prompt_tokens for one in usages], *[[0] * len(usages)] * 5)
    written, long = _written(into)
    return usage_of(
        went_in,
        [one.cached_tokens for one in into],
        written - long,
        long,
        came_out,
        [one.reasoning_tokens for one in out],
    )


def _written(into: Sequence[_InputDetails]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens written to the cache, and those of them that it keeps for long."""
    import numpy as np

    written = np.fromiter([one.cache_write_tokens for one in into], np.int64, len(into))
    if not written.any():
        return written, written
    splits = [one.cache_write_tokens_details for one in into]
    long = [0 if split is None else split.ttl_12h_tokens for split in splits]
    return written, np.minimum(written, long)
