"""Anthropic's plain answers for the compiled reader (see compiled), and their token counts.

Fewer lines are taken here than in anthropic_plain.py: a message has one text among its blocks, as nearly all have.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from offpeak.blocks import Block
from offpeak.compiled.nodes import Constant, Object, Pick, Text
from offpeak.compiled.reading import Reader, reader
from offpeak.providers.columns import Counts, count, counts_of, plains
from offpeak.providers.plain import Plains, usage_of

if TYPE_CHECKING:
    import numpy as np


def compiled_lines(lines: Block) -> Plains | None:
    """The plain answers among the lines as the compiled reader takes them; None where there is none."""
    return plains(_reader(), lines, counts)


def counts(found: Counts) -> np.ndarray:
    """Tokens by the names of the fields as Usage has them: its input holds what the cache gave and was given."""
    import numpy as np

    read, long = found["cache_read_input_tokens"], found["ephemeral_1h_input_tokens"]
    short = np.maximum(found["ephemeral_5m_input_tokens"], found["cache_creation_input_tokens"] - long)
    went_in = found["input_tokens"] + read + short + long
    return usage_of(went_in, read, short, long, found["output_tokens"], found["thinking_tokens"])


@cache
def _reader() -> Reader | None:
    block = Object(fields={"type": Constant(among=("text",)), "text": Text(name="value")})
    usage = Object(
        fields={
            "input_tokens": count("input_tokens"),
            "output_tokens": count("output_tokens"),
            "cache_read_input_tokens": count("cache_read_input_tokens", nullable=True),
            "cache_creation_input_tokens": count("cache_creation_input_tokens", nullable=True),
            "cache_creation": counts_of("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),
            "output_tokens_details": counts_of("thinking_tokens"),
        },
        required=False,
        nullable=True,
    )
    message = Object(
        fields={
            "model": Text(name="model", required=False),
            "content": Pick(of=block, which="kind"),
            "stop_reason": Constant(among=("end_turn", "stop_sequence")),
            "usage": usage,
        }
    )
    result = Object(fields={"type": Constant(among=("succeeded",)), "message": message})
    return reader(Object(fields={"custom_id": Text(name="custom_id", low=1), "result": result}))
