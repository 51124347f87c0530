"""OpenAI: requests for /v1/responses, /v1/chat/completions and /v1/embeddings, by batch or in realtime.

Facts: the batch guide and API reference, and openai 3.54, as of 2026-11-22.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from offpeak.connections import Connections
from offpeak.errors import SpecError
from offpeak.providers.credentials import Naming, read_account
from offpeak.providers.openai_reply import parse_answer, parse_line
from offpeak.providers.provider import Account, AnswerForm, Ask, Limits, Reply
from offpeak.providers.schema import REFUSED, expressible, schema_problems

if TYPE_CHECKING:
    from offpeak.blocks import Block
    from offpeak.providers.plain import Plains
    from offpeak.providers.provider import Client

NAMING = Naming(
    provider="openai",
    default_connection="openai_default",
    client_kwargs="openai_client_kwargs",
    key_variables=("OPENAI_API_KEY",),
    base_url_variable="OPENAI_BASE_URL",
    options_of={},
    option_variables={"OPENAI_ORG_ID": "organization", "OPENAI_PROJECT_ID": "project"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What differs between OpenAI's endpoints."""

    url: str
    forms: tuple[str, ...]
    room: str
    """The key of the output limit, "" where there is none."""
    format_key: str
    """The key that holds the answer's form."""
    ours: frozenset[str]
    """Body keys that are set here and cannot be params."""
    never: Mapping[str, str]
    """Params that cannot work in a batch, and what to do instead."""


_NEVER = {
    "stream": "A batch is never streamed: leave it out.",
    "service_tier": "What it does within a batch is not documented: leave it out, a batch has its own price.",
    "n": "Only one answer per row is kept: leave it out.",
}

ENDPOINTS: Mapping[str, Endpoint] = {
    "responses": Endpoint(
        url="/v1/responses",
        forms=("text", "object"),
        room="max_output_tokens",
        format_key="text",
        ours=frozenset({"model", "input", "instructions", "max_output_tokens"}),
        never={
            **_NEVER,
            "background": "A batch is in the background already: leave it out.",
            "response_format": "That is the chat endpoint's: declare the answer in the workload.",
            "max_tokens": "Set the workload's max_output_tokens instead.",
            "max_completion_tokens": "Set the workload's max_output_tokens instead.",
        },
    ),
    "chat": Endpoint(
        url="/v1/chat/completions",
        forms=("text", "object"),
        room="max_completion_tokens",
        format_key="response_format",
        ours=frozenset({"model", "messages", "max_completion_tokens"}),
        never={
            **_NEVER,
            "max_tokens": "Set the workload's max_output_tokens instead.",
            "max_output_tokens": "Set the workload's max_output_tokens instead.",
        },
    ),
    "embeddings": Endpoint(
        url="/v1/embeddings",
        forms=("vector",),
        room="",
        format_key="",
        ours=frozenset({"model", "input", "encoding_format", "dimensions"}),
        never={"stream": _NEVER["stream"]},
    ),
}

_MAX_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
_UNSIZED = "text-embedding-ada-002"
"""The one embedding model whose vectors cannot be shortened: it takes no `dimensions`."""
_FORM_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INEXPRESSIBLE = frozenset(
    {"default", "minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties"}
)
"""Schema keywords that strict output does not take (guide, 2026-07); told in words instead."""


class OpenAI:
    """The provider `openai`."""

    name: ClassVar[str] = "openai"
    # 50,000 requests and 200 MB a batch (batch guide, 2026-07-15); MB read as the smaller of its two meanings
    limits: ClassVar[Limits] = Limits(requests=50_000, size_bytes=200_000_000)

    def problems(self, ask: Ask) -> list[str]:
        if not ask.model.strip():
            return ["The model is empty. Name one, e.g. openai:gpt-5-mini."]
        known = ENDPOINTS.get(_endpoint_name(ask))
        if known is None:
            return [f"OpenAI has no endpoint {ask.endpoint!r}. Use one of {', '.join(ENDPOINTS)}, or none."]
        return [
            *_form_problems(ask, known),
            *_dimension_problems(ask),
            *_param_problems(ask, known),
        ]

    def body(self, ask: Ask, *, system: str, user: str) -> dict[str, Any]:
        endpoint = _endpoint(ask)
        if ask.form.kind == "vector":
            return _embedding_body(ask, f"{system}\n\n{user}" if system else user)
        made: dict[str, Any] = {"model": ask.model}
        if endpoint.room == "max_output_tokens":
            made |= {"instructions": system} if system else {}
            made["input"] = user
        else:
            opening = [{"role": "system", "content": system}] if system else []
            made["messages"] = [*opening, {"role": "user", "content": user}]
        made[endpoint.room] = ask.max_output_tokens
        params = dict(ask.params)
        if ask.form.kind == "object":
            given = params.pop(endpoint.format_key, None)
            made[endpoint.format_key] = {
                **(given if isinstance(given, Mapping) else {}),
                **_format(endpoint, ask.form),
            }
        return {**params, **made}

    def line(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"custom_id": custom_id, "method": "POST", "url": _endpoint(ask).url, "body": dict(body)}

    def custom_id(self, line: Mapping[str, Any]) -> str:
        return str(line["custom_id"])

    def body_of(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
        body: Mapping[str, Any] = line["body"]
        return body

    def with_more_room(self, line: dict[str, Any], factor: float) -> dict[str, Any]:
        body = dict(line["body"])
        for key in ("max_output_tokens", "max_completion_tokens"):
            if key in body:
                body[key] = math.ceil(body[key] * factor)
        return {**line, "body": body}

    def with_note(self, line: dict[str, Any], note: str) -> dict[str, Any]:
        body = dict(line["body"])
        if "messages" in body:
            *before, last = body["messages"]
            body["messages"] = [*before, {**last, "content": f"{last['content']}\n\n{note}"}]
        else:
            body["input"] = f"{body['input']}\n\n{note}"
        return {**line, "body": body}

    def parse(self, line: bytes) -> Reply:
        return parse_line(line)

    def plain(self, lines: Block, dimensions: int | None) -> Plains:
        from offpeak.providers.openai_plain import plain_lines

        return plain_lines(lines, dimensions)

    def parse_body(self, custom_id: str, body: Mapping[str, Any]) -> Reply:
        return parse_answer(custom_id, body)

    def account(self, connection_id: str | None, connections: Connections, env: Mapping[str, str]) -> Account:
        connection = connections.get(connection_id or NAMING.default_connection)
        auth = (connection.extra.get("auth_type") if connection else None) or "api_key"
        if connection is not None and auth != "api_key":
            raise SpecError(
                f"The connection {connection.id} has auth_type {auth!r}, which Offpeak cannot use. "
                "Put an API key in its password field and set auth_type to api_key."
            )
        return read_account(NAMING, connection_id, connections, env)

    def connect(self, account: Account) -> Client:
        from offpeak.providers.openai_client import OpenAIClient

        return OpenAIClient(account)


def _endpoint_name(ask: Ask) -> str:
    return ask.endpoint or ("embeddings" if ask.form.kind == "vector" else "responses")


def _endpoint(ask: Ask) -> Endpoint:
    return ENDPOINTS[_endpoint_name(ask)]


def endpoint_url(ask: Ask) -> str:
    """The path that a batch of these requests is for, which is also each line's `url`."""
    return _endpoint(ask).url


def _embedding_body(ask: Ask, text: str) -> dict[str, Any]:
    made: dict[str, Any] = {**ask.params, "model": ask.model, "input": text, "encoding_format": "base64"}
    if ask.form.dimensions is not None and ask.model != _UNSIZED:
        made["dimensions"] = ask.form.dimensions
    return made


def _format(endpoint: Endpoint, form: AnswerForm) -> dict[str, Any]:
    schema = expressible(form.schema or {}, without=_INEXPRESSIBLE)
    named = {"name": form.name, "schema": schema, "strict": True}
    if endpoint.format_key == "text":
        return {"format": {"type": "json_schema", **named}}
    return {"type": "json_schema", "json_schema": named}


def _form_problems(ask: Ask, endpoint: Endpoint) -> list[str]:
    form = ask.form
    if form.kind not in endpoint.forms:
        fitting = [name for name, other in ENDPOINTS.items() if form.kind in other.forms]
        return [
            f"OpenAI's endpoint {_endpoint_name(ask)} cannot answer with a {form.kind}. "
            f"Use the endpoint {' or '.join(fitting)}, or name none."
        ]
    found = []
    if endpoint.room and ask.max_output_tokens < 1:
        found.append(f"max_output_tokens is {ask.max_output_tokens}. Allow at least 1.")
    if form.kind != "object":
        return found
    if not _FORM_NAME.fullmatch(form.name):
        found.append(f"The answer's name {form.name!r} is not 1-64 characters of A-Z a-z 0-9 _ -. Rename it.")
    return found + schema_problems(form.schema or {}, refused=(*REFUSED, "oneOf"))


def _dimension_problems(ask: Ask) -> list[str]:
    asked, most = ask.form.dimensions, _MAX_DIMENSIONS.get(ask.model)
    if ask.form.kind != "vector" or asked is None:
        return []
    if asked < 1 or (most is not None and asked > most):
        return [
            f"{ask.model} has no vectors of {asked} dimensions. Ask for 1 to {most or 'as many as it has'}."
        ]
    if ask.model == _UNSIZED and asked != most:
        return [f"{ask.model} has vectors of {most} dimensions only. Ask for {most}, or take a newer model."]
    return []


def _param_problems(ask: Ask, endpoint: Endpoint) -> list[str]:
    found = []
    for key, value in ask.params.items():
        if key in endpoint.never:
            found.append(f"The parameter {key!r} cannot be used. {endpoint.never[key]}")
        elif key in endpoint.ours or (key == endpoint.format_key and _sets_format(endpoint, value)):
            found.append(
                f"The parameter {key!r} is set by Offpeak from the workload. Leave it out of params and "
                "declare it there (prompt, answer, model, max_output_tokens)."
            )
    return found


def _sets_format(endpoint: Endpoint, value: object) -> bool:
    """`text` may carry other things than the form (its verbosity), `response_format` may not."""
    return endpoint.format_key != "text" or not isinstance(value, Mapping) or "format" in value
