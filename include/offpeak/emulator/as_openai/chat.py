"""POST /v1/chat/completions, alone or as a line of a batch."""

from __future__ import annotations

from typing import Any

from offpeak.emulator.as_openai.asking import (
    Answered,
    Completed,
    ask,
    bad,
    check_sampling,
    json_format,
    positive,
    text_of,
)
from offpeak.emulator.model import Prompt, is_reasoning_model
from offpeak.emulator.twists import Twist
from offpeak.emulator.wire import JsonObject, emulated
from offpeak.emulator.world import World

JSON_OBJECT: JsonObject = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}


def complete(body: JsonObject, world: World, twist: Twist | None) -> Completed:
    """The chat completion for a request body; raises ApiError as the endpoint would refuse it."""
    answered = ask(_prompt(body), world, twist)
    answer = answered.answer
    refused = answer.finish == "refusal"
    message: JsonObject = {
        "role": "assistant",
        "content": None if refused else answer.text,
        "refusal": answer.text if refused else None,
        "annotations": [],
    }
    finish = "length" if answer.finish == "length" else "stop"
    completion: JsonObject = {
        "id": world.ids.new("chatcmpl-"),
        "object": "chat.completion",
        "created": int(world.now()),
        "model": emulated(body["model"]),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": _usage(answered),
        "service_tier": "default",
        "system_fingerprint": "fp_emulated",
    }
    return Completed(body=completion, tally=answered.tally, reasoning_tokens=answer.reasoning_tokens)


def _prompt(body: JsonObject) -> Prompt:
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise bad("you must provide a model parameter", "model", "missing_required_parameter")
    if not isinstance(messages, list) or not messages:
        raise bad("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    check_sampling(body, model)
    if body.get("max_tokens") is not None and is_reasoning_model(model):
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        )
        raise bad(message, "max_tokens", "unsupported_parameter")
    system, user = _texts(messages)
    return Prompt(
        model=model,
        system=system,
        user=user,
        schema=_schema(body.get("response_format")),
        max_tokens=positive(body, "max_completion_tokens") or positive(body, "max_tokens"),
        effort=body.get("reasoning_effort"),
    )


def _texts(messages: list[Any]) -> tuple[str, str]:
    system, user = [], []
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or "role" not in message:
            param = f"messages[{index}].role"
            raise bad(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
        content = text_of(message.get("content"), f"messages[{index}].content")
        if message["role"] in ("system", "developer"):
            system.append(content)
        elif message["role"] == "user":
            user.append(content)
        elif message["role"] not in ("assistant", "tool", "function"):
            raise bad(f"Invalid value: '{message['role']}'.", f"messages[{index}].role")
    return "\n".join(system), "\n".join(user)


def _schema(found: Any) -> JsonObject | None:
    if found is None or found == {"type": "text"}:
        return None
    kind = found.get("type") if isinstance(found, dict) else None
    if kind == "json_object":
        return JSON_OBJECT
    if kind != "json_schema":
        raise bad(f"Invalid value: '{kind}'.", "response_format.type")
    return json_format(found.get("json_schema"), "response_format.json_schema")


def _usage(answered: Answered) -> JsonObject:
    answer = answered.answer
    return {
        "prompt_tokens": answered.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answered.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": answered.cached_tokens,
            "cache_write_tokens": answered.written_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
