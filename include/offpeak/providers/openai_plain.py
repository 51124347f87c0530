"""OpenAI's plain answers (see plain.py): the fast half of openai_reply.py, which decides what is one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import msgspec

from offpeak.arrays import float_vectors, texts
from offpeak.blocks import Block
from offpeak.providers.openai_columns import compiled_lines, counts, embedding_counts
from offpeak.providers.plain import Count, Name, Plains, decoded, having, one_after_the_other
from offpeak.providers.vectors import float_lists

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Vector = TypeVar("Vector")


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


class _Embedding(msgspec.Struct, Generic[Vector], gc=False):
    embedding: Vector


class _Body(msgspec.Struct, Generic[Vector], gc=False):
    model: str = ""
    status: Literal["completed", ""] = ""
    output: list[_Item] | None = None
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)] | None = None
    data: Annotated[list[_Embedding[Vector]], msgspec.Meta(min_length=1, max_length=1)] | None = None
    usage: _Usage | None = None
    error: None = None


class _Response(msgspec.Struct, Generic[Vector], gc=False):
    status_code: Literal[200]
    body: _Body[Vector]


class _Line(msgspec.Struct, Generic[Vector], gc=False):
    """What the types do not allow here is no plain answer, or one that the slow reader knows better."""

    custom_id: Name
    response: _Response[Vector]


_NO_INPUT, _NO_OUTPUT, _NO_USAGE, _NO_SPLIT = _InputDetails(), _OutputDetails(), _Usage(), _Split()
_decode = msgspec.json.Decoder(_Line[bytes]).decode
"""With vectors in base64, which is what is asked for."""
_decode_listed = msgspec.json.Decoder(_Line[msgspec.Raw]).decode
Kind = Literal["chat", "embedding", "response"]


def plain_lines(lines: Block, dimensions: int | None) -> Plains:
    """The plain answers among the lines: vectors of so many dimensions, or the texts of the first one's endpoint."""
    return one_after_the_other(lines, compiled_lines(lines, dimensions), partial(_decoded, dimensions))


def _decoded(dimensions: int | None, lines: Sequence[bytes]) -> Plains:
    """The same without the compiled reader, and what that one leaves."""
    found: list[_Line[Any] | None] = [*decoded(_decode, lines)]
    if dimensions is not None:
        refused = [place for place, one in enumerate(found) if one is None]
        lists = decoded(_decode_listed, [lines[at] for at in refused])
        for place, one in zip(refused, lists, strict=True):
            found[place] = one if one is not None and _is_list(one.response.body) else None
        return _vector_plains(found, dimensions)
    kinds = (_kind(one.response.body) for one in found if one is not None)
    kind: Kind = next((kind for kind in kinds if kind != "embedding"), "chat")
    said = _chat_texts(found) if kind == "chat" else _response_texts(found)
    values = texts(text for text in said if text is not None)
    return _plains(kind, *having(found, said), values)


def _vector_plains(found: Sequence[_Line[Any] | None], dimensions: int) -> Plains:
    vectors = [
        vector if vector is not None and len(vector) == 4 * dimensions else None for vector in _vectors(found)
    ]
    data = b"".join(vector for vector in vectors if vector is not None)
    return _plains("embedding", *having(found, vectors), float_vectors(data, dimensions))


def _plains(kind: Kind, places: np.ndarray, read: Sequence[_Line[Any]], values: pa.Array) -> Plains:
    bodies = [one.response.body for one in read]
    return Plains(
        places=places,
        custom_ids=texts(one.custom_id for one in read),
        models=texts(body.model for body in bodies),
        usage=_counts(kind, [body.usage or _NO_USAGE for body in bodies]),
        values=values,
    )


def _kind(body: _Body[Any]) -> Kind:
    return "chat" if body.choices is not None else "embedding" if body.data is not None else "response"


def _chat_texts(found: Sequence[_Line[Any] | None]) -> list[str | None]:
    return [
        None
        if one is None or one.response.body.choices is None
        else one.response.body.choices[0].message.content
        for one in found
    ]


def _response_texts(found: Sequence[_Line[Any] | None]) -> list[str | None]:
    return [
        None if one is None or _kind(one.response.body) != "response" else _said(one.response.body.output)
        for one in found
    ]


def _said(output: Sequence[_Item] | None) -> str | None:
    """All texts of a response; None when there is none, or a refusal."""
    parts = [part for item in output or () if item.type == "message" for part in item.content or ()]
    said = [part.text for part in parts if part.type == "output_text"]
    return "".join(said) if said and all(part.type != "refusal" for part in parts) else None


def _vectors(found: Sequence[_Line[Any] | None]) -> list[bytes | None]:
    given = [None if one is None else _vector(one.response.body) for one in found]
    lists = [place for place, one in enumerate(given) if isinstance(one, msgspec.Raw)]
    for place, vector in zip(
        lists, float_lists([bytes(given[place] or b"") for place in lists]), strict=True
    ):
        given[place] = vector
    vectors = [one for one in given if isinstance(one, bytes)]
    sizes = {len(vector) % 4 for vector in vectors}
    if (
        sizes <= {0} and all(vectors) and _are_finite(b"".join(vectors))
    ):  # many at once, since most often they are
        return given
    return [one if one and not len(one) % 4 and _are_finite(one) else None for one in given]


def _is_list(body: _Body[msgspec.Raw]) -> bool:
    vector = _vector(body)
    return vector is not None and bytes(memoryview(vector)[:1]) == b"["


def _vector(body: _Body[Vector]) -> Vector | None:
    """None for a body that holds text."""
    return None if body.choices is not None or body.data is None else body.data[0].embedding


def _are_finite(vectors: bytes) -> bool:
    import numpy as np

    return bool(np.isfinite(np.frombuffer(vectors, "<f4")).all())


def _counts(kind: Kind, usages: Sequence[_Usage]) -> np.ndarray:
    import numpy as np

    def whole(values: list[int]) -> np.ndarray:
        return np.fromiter(values, np.int64, len(values))

    if kind == "response":
        into = [one.input_tokens_details or _NO_INPUT for one in usages]
        out = [one.output_tokens_details or _NO_OUTPUT for one in usages]
        went_in, came_out = [one.input_tokens for one in usages], [one.output_tokens for one in usages]
    else:
        into = [one.prompt_tokens_details or _NO_INPUT for one in usages]
        out = [one.completion_tokens_details or _NO_OUTPUT for one in usages]
        went_in, came_out = [one.prompt_tokens for one in usages], [one.completion_tokens for one in usages]
    if kind == "embedding":
        return embedding_counts(whole(went_in))
    splits = [one.cache_write_tokens_details or _NO_SPLIT for one in into]
    return counts(
        {
            "input": whole(went_in),
            "output": whole(came_out),
            "cached_tokens": whole([one.cached_tokens for one in into]),
            "cache_write_tokens": whole([one.cache_write_tokens for one in into]),
            "ttl_12h_tokens": whole([split.ttl_12h_tokens for split in splits]),
            "reasoning_tokens": whole([one.reasoning_tokens for one in out]),
        }
    )
