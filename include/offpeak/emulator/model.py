"""The stand-in model: deterministic answers that are useful, never random."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import orjson

from offpeak.emulator import text as reading
from offpeak.emulator import tokens
from offpeak.emulator.schema import Fit, Source, compile_schema
from offpeak.emulator.wire import ApiError, JsonObject

Finish = Literal["stop", "length", "refusal"]
SUMMARY_SENTENCES = 3
SCHEMAS_KEPT = 64
MISREAD: Mapping[str, float] = {"nano": 0.08, "lite": 0.05}
"""By a part of the model's name: the share of texts of which it reads only the first words."""
WORDS_MISREAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question, whichever wire it came over."""

    model: str
    system: str
    user: str
    schema: JsonObject | None = None
    max_tokens: int | None = None
    effort: str | None = None  # reasoning effort as asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model said. `output_tokens` includes `reasoning_tokens`, as providers bill it."""

    text: str
    finish: Finish
    output_tokens: int
    reasoning_tokens: int = 0


class StandIn:
    """Answers prompts. Compiled schemas are kept, so a batch pays for its schema once."""

    def __init__(self) -> None:
        self._fits: OrderedDict[bytes, Fit] = OrderedDict()

    def answer(self, prompt: Prompt) -> Answer:
        """The answer, cut (finish `length`) when it costs more than the prompt's max_tokens."""
        full = self._structured(prompt) if prompt.schema is not None else summary(prompt)
        thinking = reasoning_tokens(prompt)
        answer = Answer(
            text=full,
            finish="stop",
            output_tokens=tokens.count(full) + thinking,
            reasoning_tokens=thinking,
        )
        if prompt.max_tokens is None or answer.output_tokens <= prompt.max_tokens:
            return answer
        left = max(prompt.max_tokens - thinking, 0)
        return replace(answer, text=tokens.cut(full, left), finish="length", output_tokens=thinking + left)

    def _structured(self, prompt: Prompt) -> str:
        # Keyed by the schema and the system text: the labels' descriptions are read from the latter.
        key = orjson.dumps(prompt.schema) + b"\0" + prompt.system.encode("utf-8", "surrogatepass")
        fit = self._fits.get(key)
        if fit is None:
            fit = self._fits[key] = _compiled(prompt)
            if len(self._fits) > SCHEMAS_KEPT:
                self._fits.popitem(last=False)
        text = _beginning(prompt.user) if misreads(prompt) else prompt.user
        return orjson.dumps(fit(Source(text))).decode()


def _compiled(prompt: Prompt) -> Fit:
    try:
        return compile_schema(prompt.schema or {}, system=prompt.system)
    except (TypeError, ValueError, AttributeError) as error:
        # A schema that is none, such as `minItems: "two"`, is the caller's mistake and not ours.
        raise ApiError(status=400, message=f"Invalid schema: {error}", code="invalid_json_schema") from error


def misreads(prompt: Prompt) -> bool:
    """Whether this model, a small one by its name, gets this text wrong: the same texts at every call."""
    share = max((MISREAD.get(part, 0.0) for part in prompt.model.split("-")), default=0.0)
    drawn = zlib.crc32(f"{prompt.model} {prompt.user}".encode("utf-8", "surrogatepass"))
    return drawn % 10_000 < 10_000 * share


def _beginning(text: str) -> str:
    return " ".join(text.split()[:WORDS_MISREAD])


def summary(prompt: Prompt) -> str:
    """The sentences of the user text that say most, in order; never longer than max_tokens if one fits."""
    parts = reading.sentences(prompt.user)
    if not parts:
        return "There is no text to answer."
    for limit in range(SUMMARY_SENTENCES, 0, -1):
        chosen = " ".join(reading.best_sentences(parts, limit))
        if prompt.max_tokens is None or tokens.count(chosen) <= prompt.max_tokens:
            return chosen
    return chosen


def is_reasoning_model(model: str) -> bool:
    """Whether the provider bills hidden reasoning for this model name."""
    name = model.removeprefix("emulated/")
    return name.startswith(("gpt-5", "gpt-6")) or (name[:1] == "o" and name[1:2].isdigit())


def reasoning_tokens(prompt: Prompt) -> int:
    """Hidden tokens: a few, stable per text, and at most half of what the caller allows."""
    if not is_reasoning_model(prompt.model) or prompt.effort in ("none", "minimal"):
        return 0
    spent = 16 * (1 + zlib.crc32(prompt.user.encode("utf-8", "surrogatepass")) % 4)
    return spent if prompt.max_tokens is None else min(spent, prompt.max_tokens // 2)
