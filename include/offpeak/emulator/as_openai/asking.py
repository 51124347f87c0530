"""What chat completions and responses share: asking the stand-in, and what OpenAI refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offpeak.emulator import tokens
from offpeak.emulator.journal import Tally
from offpeak.emulator.model import Answer, Prompt, is_reasoning_model
from offpeak.emulator.twists import Twist
from offpeak.emulator.wire import ApiError, JsonObject
from offpeak.emulator.world import World

FIXED_TEMPERATURE = ("o1", "o3", "o4", "gpt-5-", "gpt-5")
CACHE_WRITE_FAMILIES = ("gpt-5.6", "gpt-6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer with its bill. Cached and written tokens are part of the input tokens."""

    answer: Answer
    input_tokens: int
    cached_tokens: int
    written_tokens: int

    @property
    def tally(self) -> Tally:
        return Tally(
            requests=1,
            input_tokens=self.input_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.answer.output_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The body of a 200 answer, with its bill."""

    body: JsonObject
    tally: Tally
    reasoning_tokens: int = 0


def ask(prompt: Prompt, world: World, twist: Twist | None) -> Answered:
    """Asks the stand-in. Raises ApiError where the model or the line's fault refuses."""
    if prompt.model in world.options.unknown_models:
        message = f"The model '{prompt.model}' does not exist or you do not have access to it."
        raise ApiError(status=404, message=message, code="model_not_found", param="model")
    if twist is not None:
        twist.raise_error()
    answer = world.stand_in.answer(prompt)
    if twist is not None:
        answer = twist.bend(answer, prompt)
    whole = prompt.system + "\n" + prompt.user
    cached, written = world.cache.implicit(prompt.model, whole)
    writes = prompt.model.startswith(CACHE_WRITE_FAMILIES)
    return Answered(
        answer=answer,
        input_tokens=tokens.count(whole),
        cached_tokens=cached,
        written_tokens=written if writes else 0,
    )


def bad(message: str, param: str, code: str = "invalid_value") -> ApiError:
    return ApiError(status=400, message=message, param=param, code=code)


def text_of(content: Any, param: str) -> str:
    """The text of a message's content, a string or a list of parts; pictures are passed over."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise bad(
            f"Invalid type for '{param}': expected a string or an array of parts.", param, "invalid_type"
        )
    return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)


def positive(body: JsonObject, name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise bad(f"Invalid value for '{name}': expected an integer of at least 1.", name)
    return value


def check_sampling(body: JsonObject, model: str) -> None:
    """Raises for a temperature or top_p out of range, or one the model does not take."""
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise bad(f"Invalid '{name}': expected a number between 0 and {most}.", name)
        if value != 1 and is_reasoning_model(model) and _fixed(model):
            message = f"Unsupported value: '{name}' does not support {value} with this model."
            raise bad(message, name, "unsupported_value")
    if body.get("stream"):
        raise bad("The emulator does not stream answers.", "stream", "unsupported_value")


def _fixed(model: str) -> bool:
    return model.startswith(FIXED_TEMPERATURE) and not model.startswith("gpt-5.")


def json_format(found: Any, param: str) -> JsonObject | None:
    """The schema of a json_schema format (its inner object), checked as strict mode demands."""
    if not isinstance(found, dict) or not isinstance(found.get("schema"), dict):
        raise bad(
            f"Missing required parameter: '{param}.schema'.", f"{param}.schema", "missing_required_parameter"
        )
    name = found.get("name")
    if not isinstance(name, str) or not name or len(name) > 64 or not name.replace("-", "_").isidentifier():
        raise bad(f"Invalid '{param}.name': 1 to 64 letters, digits, _ or -.", f"{param}.name")
    schema: JsonObject = found["schema"]
    if found.get("strict"):
        _check_strict(schema, name, param, ())
    return schema


def _check_strict(schema: Any, name: str, param: str, where: tuple[str, ...]) -> None:
    if not isinstance(schema, dict):
        return
    context = f"Invalid schema for response_format '{name}': In context={where!r}, "
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        required = schema.get("required", ())
        missing = [key for key in properties or {} if key not in required]
        told = ""
        if schema.get("additionalProperties") is not False:
            told = "'additionalProperties' is required to be supplied and to be false."
        elif missing:
            told = (
                "'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{missing[0]}'."
            )
        if told:
            raise bad(context + told, param, "invalid_json_schema")
    for key in ("properties", "$defs", "definitions"):
        for inner, value in (schema.get(key) or {}).items():
            _check_strict(value, name, param, (*where, key, inner))
    _check_strict(schema.get("items"), name, param, (*where, "items"))
    for key in ("anyOf", "oneOf", "allOf"):
        for value in schema.get(key) or ():
            _check_strict(value, name, param, (*where, key))
