"""Anthropic: requests for /v1/messages, by batch or in realtime.

Facts: the API reference, the structured output guide, and anthropic 2.12 (API version 2026-10-21), as of
2026-11-22.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from offpeak.connections import Connection, Connections
from offpeak.errors import SpecError
from offpeak.providers.anthropic_reply import parse_answer, parse_line
from offpeak.providers.credentials import KEY_ARGUMENT, Naming, read_account
from offpeak.providers.provider import Account, Ask, Limits, Reply
from offpeak.providers.schema import REFUSED, expressible, recursion_problems, schema_problems

if TYPE_CHECKING:
    from offpeak.blocks import Block
    from offpeak.providers.plain import Plains
    from offpeak.providers.provider import Client

NAMING = Naming(
    provider="anthropic",
    default_connection="anthropic_default",
    client_kwargs="anthropic_client_kwargs",
    key_variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    base_url_variable="ANTHROPIC_BASE_URL",
    options_of={"ANTHROPIC_AUTH_TOKEN": {KEY_ARGUMENT: "auth_token"}},
)

ENDPOINT = "messages"
_OURS = frozenset({"model", "max_tokens", "system", "messages"})
_SAMPLING = "The API version 2026-10-21 refuses it, even at its default. Leave it out."
_NEVER = {
    "temperature": _SAMPLING,
    "top_p": _SAMPLING,
    "top_k": _SAMPLING,
    "stream": "A batch is never streamed: leave it out.",
    "speed": "Fast mode does not exist in batches: leave it out.",
    "fallbacks": "Fallbacks do not exist in batches: leave it out.",
    "output_format": "It was replaced by output_config: declare the answer in the workload.",
    "max_output_tokens": "Set the workload's max_output_tokens instead.",
}
_INEXPRESSIBLE = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    }
)
"""Schema keywords that its grammar does not take (structured output guide, 2026); told in words instead."""


class Anthropic:
    """The provider `anthropic`."""

    name: ClassVar[str] = "anthropic"
    # 100,000 requests and a body of 256 MB (API reference); MB read as the smaller of its two meanings,
    # less the few bytes that the body has around the requests
    limits: ClassVar[Limits] = Limits(requests=100_000, size_bytes=255_999_000)

    def problems(self, ask: Ask) -> list[str]:
        if not ask.model.strip():
            return ["The model is empty. Name one, e.g. anthropic:claude-haiku-4-5."]
        if ask.endpoint not in ("", ENDPOINT):
            return [f"Anthropic has no endpoint {ask.endpoint!r} for batches. Use {ENDPOINT}, or none."]
        if ask.form.kind == "vector":
            return ["Anthropic has no embedding models. Take others, e.g. openai:text-embedding-3-small."]
        found = []
        if ask.max_output_tokens < 1:
            found.append(f"max_output_tokens is {ask.max_output_tokens}. Allow at least 1.")
        if ask.form.kind == "object":
            found += recursion_problems(ask.form.schema or {})
            found += schema_problems(ask.form.schema or {}, refused=tuple({*REFUSED, "oneOf"} - {"allOf"}))
        return found + _param_problems(ask)

    def body(self, ask: Ask, *, system: str, user: str) -> dict[str, Any]:
        made: dict[str, Any] = {"model": ask.model, "max_tokens": ask.max_output_tokens}
        if system:
            made["system"] = [{"type": "text", "text": system}]
        made["messages"] = [{"role": "user", "content": user}]
        params = dict(ask.params)
        if ask.form.kind == "object":
            given = params.pop("output_config", None)
            schema = expressible(ask.form.schema or {}, without=_INEXPRESSIBLE)
            made["output_config"] = {
                **(given if isinstance(given, Mapping) else {}),
                "format": {"type": "json_schema", "schema": schema},
            }
        return {**params, **made}

    def line(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"custom_id": custom_id, "params": dict(body)}

    def custom_id(self, line: Mapping[str, Any]) -> str:
        return str(line["custom_id"])

    def body_of(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
        body: Mapping[str, Any] = line["params"]
        return body

    def with_more_room(self, line: dict[str, Any], factor: float) -> dict[str, Any]:
        params = line["params"]
        return {**line, "params": {**params, "max_tokens": math.ceil(params["max_tokens"] * factor)}}

    def with_note(self, line: dict[str, Any], note: str) -> dict[str, Any]:
        params = line["params"]
        *before, last = params["messages"]
        noted = {**last, "content": f"{last['content']}\n\n{note}"}
        return {**line, "params": {**params, "messages": [*before, noted]}}

    def parse(self, line: bytes) -> Reply:
        return parse_line(line)

    def plain(self, lines: Block, dimensions: int | None) -> Plains:
        from offpeak.blocks import Block
        from offpeak.providers.anthropic_plain import plain_lines

        return plain_lines(lines if dimensions is None else Block.of([]))  # it has no vectors

    def parse_body(self, custom_id: str, body: Mapping[str, Any]) -> Reply:
        return parse_answer(custom_id, body)

    def account(self, connection_id: str | None, connections: Connections, env: Mapping[str, str]) -> Account:
        connection = connections.get(connection_id or NAMING.default_connection)
        if connection is not None:
            _check_platform(connection)
        return read_account(NAMING, connection_id, connections, env)

    def connect(self, account: Account) -> Client:
        from offpeak.providers.anthropic_client import AnthropicClient

        return AnthropicClient(account)


def _check_platform(connection: Connection) -> None:
    """SpecError unless the connection is to Anthropic itself, with a key."""
    platform = str(connection.extra.get("platform") or "anthropic").lower()
    if platform != "anthropic":
        raise SpecError(
            f"The connection {connection.id} is for Claude on {platform!r}; Offpeak runs message batches at "
            "Anthropic itself. Use a connection whose extra has platform anthropic (or none), with an "
            "Anthropic API key."
        )
    if connection.extra.get("workload_identity"):
        raise SpecError(
            f"The connection {connection.id} uses workload identity, which Offpeak cannot use. "
            "Put an API key in its password field and take workload_identity out of its extra."
        )


def _param_problems(ask: Ask) -> list[str]:
    found = []
    for key, value in ask.params.items():
        if key in _NEVER:
            found.append(f"The parameter {key!r} cannot be used. {_NEVER[key]}")
        elif key in _OURS or (
            key == "output_config" and (not isinstance(value, Mapping) or "format" in value)
        ):
            found.append(
                f"The parameter {key!r} is set by Offpeak from the workload. Leave it out of params and "
                "declare it there (prompt, answer, model, max_output_tokens)."
            )
    return found
