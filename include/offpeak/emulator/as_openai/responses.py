"""POST /v1/responses, alone or as a line of a batch."""

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
from offpeak.emulator.as_openai.chat import JSON_OBJECT
from offpeak.emulator.model import Answer, Prompt
from offpeak.emulator.twists import Twist
from offpeak.emulator.wire import JsonObject, emulated
from offpeak.emulator.world import World


def complete(body: JsonObject, world: World, twist: Twist | None) -> Completed:
    """The response for a request body; raises ApiError as the endpoint would refuse it."""
    prompt = _prompt(body)
    answered = ask(prompt, world, twist)
    answer = answered.answer
    cut = answer.finish == "length"
    response: JsonObject = {
        "id": world.ids.new("resp_"),
        "object": "response",
        "created_at": int(world.now()),
        "status": "incomplete" if cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": prompt.max_tokens,
        "model": emulated(prompt.model),
        "output": _output(answer, world),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": prompt.effort, "summary": None},
        "service_tier": "default",
        "store": bool(body.get("store", True)),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": _usage(answered),
        "user": None,
        "metadata": body.get("metadata") or {},
    }
    return Completed(body=response, tally=answered.tally, reasoning_tokens=answer.reasoning_tokens)


def _output(answer: Answer, world: World) -> list[JsonObject]:
    part: JsonObject = (
        {"type": "refusal", "refusal": answer.text}
        if answer.finish == "refusal"
        else {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    )
    status = "incomplete" if answer.finish == "length" else "completed"
    message: JsonObject = {
        "id": world.ids.new("msg_"),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part],
    }
    if not answer.reasoning_tokens:
        return [message]
    return [{"id": world.ids.new("rs_"), "type": "reasoning", "summary": []}, message]


def _prompt(body: JsonObject) -> Prompt:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    check_sampling(body, model)
    system, user = _texts(body.get("input"))
    reasoning = body.get("reasoning")
    return Prompt(
        model=model,
        system="\n".join(part for part in (str(body.get("instructions") or ""), system) if part),
        user=user,
        schema=_schema(body.get("text")),
        max_tokens=positive(body, "max_output_tokens"),
        effort=reasoning.get("effort") if isinstance(reasoning, dict) else None,
    )


def _texts(found: Any) -> tuple[str, str]:
    if isinstance(found, str):
        return "", found
    if not isinstance(found, list) or not found:
        raise bad("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    system, user = [], []
    for index, item in enumerate(found):
        if not isinstance(item, dict):
            raise bad(f"Invalid type for 'input[{index}]'.", f"input[{index}]", "invalid_type")
        content = text_of(item.get("content"), f"input[{index}].content")
        if item.get("role") in ("system", "developer"):
            system.append(content)
        elif item.get("role") == "user":
            user.append(content)
    return "\n".join(system), "\n".join(user)


def _schema(found: Any) -> JsonObject | None:
    if found is None or not isinstance(found, dict) or not isinstance(found.get("format"), dict):
        return None
    form = found["format"]
    if form.get("type") == "json_object":
        return JSON_OBJECT
    if form.get("type") != "json_schema":
        return None
    return json_format(form, "text.format")


def _usage(answered: Answered) -> JsonObject:
    answer = answered.answer
    return {
        "input_tokens": answered.input_tokens,
        "input_tokens_details": {
            "cached_tokens": answered.cached_tokens,
            "cache_write_tokens": answered.written_tokens,
        },
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": answered.input_tokens + answer.output_tokens,
    }
