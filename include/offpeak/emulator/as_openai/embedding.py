"""POST /v1/embeddings, alone or as a line of a batch."""

from __future__ import annotations

import base64
from typing import Any

from offpeak.emulator import embeddings, tokens
from offpeak.emulator.as_openai.asking import Completed, bad, positive
from offpeak.emulator.journal import Tally
from offpeak.emulator.twists import Twist
from offpeak.emulator.wire import ApiError, JsonObject, emulated
from offpeak.emulator.world import World

MAX_INPUTS = 2_048
MAX_INPUT_TOKENS = 8_192


def complete(body: JsonObject, world: World, twist: Twist | None) -> Completed:
    """One vector for each input, in order; raises ApiError as the endpoint would refuse it."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad("you must provide a model parameter", "model", "missing_required_parameter")
    if model in world.options.unknown_models:
        message = f"The model '{model}' does not exist or you do not have access to it."
        raise ApiError(status=404, message=message, code="model_not_found", param="model")
    if twist is not None:
        twist.raise_error()
    texts = inputs_of(body)
    used = sum(tokens.count(text) for text in texts)
    form = body.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise bad("Invalid value for 'encoding_format': expected 'float' or 'base64'.", "encoding_format")
    size = _dimensions(body, model)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(embeddings.vector(text, size), form)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": used, "total_tokens": used}
    answer = {"object": "list", "data": data, "model": emulated(model), "usage": usage}
    return Completed(body=answer, tally=Tally(requests=1, input_tokens=used))


def inputs_of(body: JsonObject) -> list[str]:
    """The texts to embed. Token arrays are taken as the text of their numbers."""
    found = body.get("input")
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list) or not found:
        raise bad("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if all(isinstance(item, int) for item in found):
        found = [found]
    if len(found) > MAX_INPUTS:
        raise bad(f"Invalid 'input': at most {MAX_INPUTS} items in the array.", "input")
    texts = [" ".join(map(str, item)) if isinstance(item, list) else item for item in found]
    for text in texts:
        if not isinstance(text, str) or not text:
            raise bad("'$.input' is invalid: every item must be a string that is not empty.", "input")
        if tokens.count(text) > MAX_INPUT_TOKENS:
            raise bad(f"Invalid 'input': maximum context length is {MAX_INPUT_TOKENS} tokens.", "input")
    return texts


def _dimensions(body: JsonObject, model: str) -> int:
    full = embeddings.DIMENSIONS.get(model, embeddings.DEFAULT_DIMENSIONS)
    asked = positive(body, "dimensions")
    if asked is not None and asked > full:
        raise bad(f"Invalid value for 'dimensions': at most {full} for this model.", "dimensions")
    return asked or full


def _encoded(vector: Any, form: str) -> Any:
    # orjson writes the array itself: turning it into Python floats would cost more than computing it.
    return base64.b64encode(vector.tobytes()).decode() if form == "base64" else vector
