"""POST /v1/messages and its token count, alone or as a request of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from offpeak.emulator import tokens
from offpeak.emulator.as_anthropic.schemas import check_schema
from offpeak.emulator.journal import Tally
from offpeak.emulator.model import Answer, Prompt
from offpeak.emulator.twists import Twist
from offpeak.emulator.wire import ApiError, JsonObject, emulated
from offpeak.emulator.world import World

STRICT_VERSION = "2026-10-21"  # from here on sampling parameters are refused
SAMPLING = ("temperature", "top_p", "top_k")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A message with its bill."""

    body: JsonObject
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A Messages body, read: the prompt, the tool to fill if one is forced, and the cached prefixes."""

    prompt: Prompt
    tool: str | None
    whole: str
    prefixes: list[str]  # the text up to each cache_control mark, shortest first
    long_life: bool  # a mark asks for an hour


def complete(body: JsonObject, world: World, *, version: str, tier: str, twist: Twist | None) -> Completed:
    """The message for a body; raises ApiError as the endpoint would refuse it."""
    found = read(body, version=version)
    max_tokens = body.get("max_tokens")
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool):
        raise _bad("max_tokens: Field required")
    if max_tokens < 1:
        raise _bad("max_tokens: Input should be greater than or equal to 1")
    if found.prompt.model in world.options.unknown_models:
        raise ApiError(status=404, message=f"model: {found.prompt.model}", type="not_found_error")
    if twist is not None:
        twist.raise_error()
    answer = world.stand_in.answer(found.prompt)
    if twist is not None:
        answer = twist.bend(answer, found.prompt)
    usage, tally = _usage(found, answer, world, tier)
    message: JsonObject = {
        "id": world.ids.new("msg_"),
        "type": "message",
        "role": "assistant",
        "model": emulated(found.prompt.model),
        "content": _content(answer, found.tool, world),
        "stop_reason": _stop_reason(answer, found.tool),
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }
    if answer.finish == "refusal":
        message["stop_details"] = {"type": "refusal", "category": None, "explanation": answer.text}
    return Completed(body=message, tally=tally)


def read(body: JsonObject, *, version: str) -> Read:
    """Checks a body and takes its texts apart. Raises ApiError."""
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise _bad("model: Field required")
    if not isinstance(messages, list):
        raise _bad("messages: Field required")
    if not messages:
        raise _bad("messages: at least one message is required")
    if body.get("stream"):
        raise _bad("stream: the emulator does not stream messages")
    if version >= STRICT_VERSION:
        for name in SAMPLING:
            if name in body:
                raise _bad(f"{name}: not supported in API version {version}")
    if "output_format" in body:
        raise _bad("output_format: Extra inputs are not permitted; use output_config.format")
    marks = _Marks()
    tool, schema = _schema(body)
    marks.tools(body.get("tools"))
    system = marks.text(body.get("system"), "system")
    user = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise _bad(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = marks.text(message.get("content"), f"messages.{index}.content")
        if message["role"] == "user":
            user.append(content)
    limit = body.get("max_tokens")
    prompt = Prompt(
        model=model,
        system=system,
        user="\n".join(user),
        schema=schema,
        max_tokens=limit if isinstance(limit, int) else None,
    )
    return Read(
        prompt=prompt, tool=tool, whole=marks.so_far, prefixes=marks.prefixes, long_life=marks.long_life
    )


def count_tokens(body: JsonObject, *, version: str) -> JsonObject:
    return {"input_tokens": tokens.count(read(body, version=version).whole)}


class _Marks:
    """Collects the prompt in the provider's order (tools, system, messages) and its cache marks."""

    def __init__(self) -> None:
        self.so_far = ""
        self.prefixes: list[str] = []
        self.long_life = False

    def tools(self, found: Any) -> None:
        for tool in found or ():
            self.so_far += orjson.dumps(tool).decode()
            self._mark(tool)

    def text(self, content: Any, where: str) -> str:
        if content is None and where == "system":
            return ""
        if isinstance(content, str):
            self.so_far += content + "\n"
            return content
        if not isinstance(content, list):
            raise _bad(f"{where}: Input should be a string or a list of blocks")
        parts = []
        for block in content:
            text = str(block.get("text", "")) if isinstance(block, dict) else ""
            parts.append(text)
            self.so_far += text + "\n"
            self._mark(block)
        return "\n".join(part for part in parts if part)

    def _mark(self, block: Any) -> None:
        control = block.get("cache_control") if isinstance(block, dict) else None
        if isinstance(control, dict):
            self.prefixes.append(self.so_far)
            self.long_life |= control.get("ttl") == "1h"
            if len(self.prefixes) > 4:
                raise _bad("A maximum of 4 blocks with cache_control may be provided.")


def _schema(body: JsonObject) -> tuple[str | None, JsonObject | None]:
    """The forced tool's name, if any, and the schema the answer must fit."""
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") in ("tool", "any"):
        for tool in body.get("tools") or ():
            if choice["type"] == "any" or tool.get("name") == choice.get("name"):
                schema = tool.get("input_schema") or {}
                if tool.get("strict"):
                    check_schema(schema, "tools.0.input_schema")
                return str(tool.get("name")), schema
        raise _bad(f"tool_choice.name: Tool '{choice.get('name')}' not found in provided tools")
    config = body.get("output_config")
    form = config.get("format") if isinstance(config, dict) else None
    if form is None:
        return None, None
    if (
        not isinstance(form, dict)
        or form.get("type") != "json_schema"
        or not isinstance(form.get("schema"), dict)
    ):
        raise _bad("output_config.format: Input should be a json_schema format with a schema")
    check_schema(form["schema"], "output_config.format.schema")
    return None, form["schema"]


def _content(answer: Answer, tool: str | None, world: World) -> list[JsonObject]:
    if answer.finish == "refusal":
        return []
    if tool is None:
        return [{"type": "text", "text": answer.text, "citations": None}]
    try:
        given = orjson.loads(answer.text)
    except orjson.JSONDecodeError:
        given = {}  # a tool call that was cut off has no usable input
    return [{"type": "tool_use", "id": world.ids.new("toolu_"), "name": tool, "input": given}]


def _stop_reason(answer: Answer, tool: str | None) -> str:
    if answer.finish == "length":
        return "max_tokens"
    if answer.finish == "refusal":
        return "refusal"
    return "end_turn" if tool is None else "tool_use"


def _usage(found: Read, answer: Answer, world: World, tier: str) -> tuple[JsonObject, Tally]:
    """Input tokens exclude what was read from or written to the cache."""
    total = tokens.count(found.whole)
    hit, written = world.cache.explicit(found.prompt.model, found.prefixes) if found.prefixes else (0, 0)
    usage: JsonObject = {
        "input_tokens": max(total - hit - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": hit,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 0 if found.long_life else written,
            "ephemeral_1h_input_tokens": written if found.long_life else 0,
        },
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"thinking_tokens": 0},
        "server_tool_use": None,
        "service_tier": tier,
        "inference_geo": "not_available",
    }
    tally = Tally(requests=1, input_tokens=total, cached_tokens=hit, output_tokens=answer.output_tokens)
    return usage, tally


def _bad(message: str) -> ApiError:
    return ApiError(status=400, message=message)
