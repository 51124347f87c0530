"""Anthropic's plain answers (see plain.py): the fast half of anthropic_reply.py, which decides what is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from offpeak.providers.plain import Count, Name, Plains, decoded, having, usage_of

if TYPE_CHECKING:
    import numpy as np


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
    stop_reason: Literal["end_turn", "stop_sequence"]
    model: str = ""
    usage: _Usage | None = None


class _Result(msgspec.Struct, gc=False):
    type: Literal["succeeded"]
    message: _Message


class _Line(msgspec.Struct, gc=False):
    """What the types do not allow here is no plain answer, or one that the slow reader knows better."""

    custom_id: Name
    result: _Result


_NO_USAGE, _NO_SPLIT, _NO_OUTPUT = _Usage(), _Split(), _OutputDetails()
_decode = msgspec.json.Decoder(_Line).decode


def plain_lines(lines: Sequence[bytes]) -> Plains:
    """The plain answers among the lines."""
    found = decoded(_decode, lines)
    texts = [None if one is None else _said(one.result.message.content) for one in found]
    places, read = having(found, texts)
    messages = [one.result.message for one in read]
    return Plains(
        places=places,
        custom_ids=[one.custom_id for one in read],
        models=[message.model for message in messages],
        usage=_counts([message.usage or _NO_USAGE for message in messages]),
        texts=[text for text in texts if text is not None],
    )


def _said(content: Sequence[_Block]) -> str | None:
    """All texts of a message, None when there is none."""
    parts = [block.text for block in content if block.type == "text"]
    return "".join(parts) if parts else None


def _counts(usages: Sequence[_Usage]) -> np.ndarray:
    import numpy as np

    read = [one.cache_read_input_tokens or 0 for one in usages]
    written = [one.cache_creation_input_tokens or 0 for one in usages]
    splits = [one.cache_creation or _NO_SPLIT for one in usages]
    long = [split.ephemeral_1h_input_tokens for split in splits]
    short = np.maximum([split.ephemeral_5m_input_tokens for split in splits], np.subtract(written, long))
    went_in = np.array([one.input_tokens for one in usages], np.int64) + read + short + long
    out = [one.output_tokens_details or _NO_OUTPUT for one in usages]
    return usage_of(
        went_in,
        read,
        short,
        long,
        [one.output_tokens for one in usages],
        [one.thinking_tokens for one in out],
    )
