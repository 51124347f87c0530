"""Anthropic's plain answers (see plain.py): the fast half of anthropic_reply.py, which decides what is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from offpeak.arrays import texts
from offpeak.blocks import Block
from offpeak.providers.anthropic_columns import compiled_lines, counts
from offpeak.providers.plain import Count, Name, Plains, decoded, having, one_after_the_other

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


def plain_lines(lines: Block) -> Plains:
    """The plain answers among the lines."""
    return one_after_the_other(lines, compiled_lines(lines), _decoded)


def _decoded(lines: Sequence[bytes]) -> Plains:
    """The same without the compiled reader, and what that one leaves."""
    found = decoded(_decode, lines)
    said = [None if one is None else _said(one.result.message.content) for one in found]
    places, read = having(found, said)
    messages = [one.result.message for one in read]
    return Plains(
        places=places,
        custom_ids=texts(one.custom_id for one in read),
        models=texts(message.model for message in messages),
        usage=_counts([message.usage or _NO_USAGE for message in messages]),
        values=texts(text for text in said if text is not None),
    )


def _said(content: Sequence[_Block]) -> str | None:
    """All texts of a message, None when there is none."""
    parts = [block.text for block in content if block.type == "text"]
    return "".join(parts) if parts else None


def _counts(usages: Sequence[_Usage]) -> np.ndarray:
    import numpy as np

    def whole(values: list[int]) -> np.ndarray:
        return np.fromiter(values, np.int64, len(values))

    splits = [one.cache_creation or _NO_SPLIT for one in usages]
    out = [one.output_tokens_details or _NO_OUTPUT for one in usages]
    return counts(
        {
            "input_tokens": whole([one.input_tokens for one in usages]),
            "output_tokens": whole([one.output_tokens for one in usages]),
            "cache_read_input_tokens": whole([one.cache_read_input_tokens or 0 for one in usages]),
            "cache_creation_input_tokens": whole([one.cache_creation_input_tokens or 0 for one in usages]),
            "ephemeral_5m_input_tokens": whole([split.ephemeral_5m_input_tokens for split in splits]),
            "ephemeral_1h_input_tokens": whole([split.ephemeral_1h_input_tokens for split in splits]),
            "thinking_tokens": whole([one.thinking_tokens for one in out]),
        }
    )
