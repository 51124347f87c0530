"""OpenAI's plain answers for the compiled reader (see compiled), and their token counts.

Fewer lines are taken here than in openai_plain.py: a response has one message with one text, as nearly all have.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

from offpeak.blocks import Block
from offpeak.compiled.nodes import Constant, Node, Object, Pick, Text, Vector, Whole
from offpeak.compiled.reading import Reader, reader
from offpeak.providers.columns import Counts, count, counts_of, plains
from offpeak.providers.plain import Plains, usage_of

if TYPE_CHECKING:
    import numpy as np

_NULL = Constant(nullable=True, required=False)
_MODEL = Text(name="model", required=False)


def compiled_lines(lines: Block, dimensions: int | None) -> Plains | None:
    """The plain answers among the lines as the compiled reader takes them; None where there is none."""
    if dimensions is not None:
        made = plains(_reader("embedding", dimensions), lines, lambda one: embedding_counts(one["input"]))
    else:
        # which endpoint they are of is only guessed: a line of another one is not taken
        chat = len(lines) > 0 and b'"choices"' in lines[0]
        made = plains(_reader("chat" if chat else "response"), lines, counts)
    return made


def counts(found: Counts) -> np.ndarray:
    """Tokens by the names of the fields as Usage has them: those kept for long are among those written."""
    import numpy as np

    written = found["cache_write_tokens"]
    long = np.minimum(written, found["ttl_12h_tokens"])
    return usage_of(
        *(found["input"], found["cached_tokens"], written - long, long),
        *(found["output"], found["reasoning_tokens"]),
    )


def embedding_counts(went_in: np.ndarray) -> np.ndarray:
    """The same of embeddings, which only have an input."""
    import numpy as np

    return usage_of(went_in, *[np.zeros_like(went_in)] * 5)


@cache
def _reader(kind: Literal["chat", "response", "embedding"], dimensions: int = 0) -> Reader | None:
    body = _embedding(dimensions) if kind == "embedding" else {"chat": _chat, "response": _response}[kind]()
    response = Object(fields={"status_code": Whole(among=(200,)), "body": Object(fields=body)})
    return reader(Object(fields={"custom_id": Text(name="custom_id", low=1), "response": response}))


def _chat() -> dict[str, Node]:
    message = Object(
        fields={
            "content": Text(name="value"),
            "refusal": Constant(among=("",), nullable=True, required=False),
        }
    )
    finish = Constant(among=("stop",), nullable=True, required=False)
    choice = Object(fields={"message": message, "finish_reason": finish})
    return {
        "model": _MODEL,
        "choices": Pick(of=choice, which="first"),
        "usage": _usage("prompt_tokens", "completion_tokens"),
    }


def _response() -> dict[str, Node]:
    part = Object(fields={"type": Constant(among=("output_text",)), "text": Text(name="value")})
    message = Object(fields={"type": Constant(among=("message",)), "content": Pick(of=part, which="only")})
    return {
        "status": Constant(among=("completed", ""), required=False),
        "error": _NULL,
        "model": _MODEL,
        "output": Pick(of=message, which="kind"),
        "usage": _usage("input_tokens", "output_tokens"),
        "choices": _NULL,
        "data": _NULL,
    }


def _embedding(dimensions: int) -> dict[str, Node]:
    embedding = Object(fields={"embedding": Vector(name="value", dimensions=dimensions)})
    usage = Object(fields={"prompt_tokens": count("input")}, required=False, nullable=True)
    return {"data": Pick(of=embedding, which="only"), "model": _MODEL, "usage": usage, "choices": _NULL}


def _usage(went_in: str, came_out: str) -> Object:
    written = {"cache_write_tokens_details": counts_of("ttl_12h_tokens")}
    fields = {
        went_in: count("input"),
        f"{went_in}_details": counts_of("cached_tokens", "cache_write_tokens", **written),
        came_out: count("output"),
        f"{came_out}_details": counts_of("reasoning_tokens"),
    }
    return Object(fields=fields, required=False, nullable=True)
