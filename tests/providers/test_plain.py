"""The fast reading of plain answers says what the slow one says, or nothing."""

from __future__ import annotations

import base64
import copy
import json
import struct
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offpeak.blocks import Block
from offpeak.compiled.library import library
from offpeak.providers import anthropic_columns, openai_columns, provider
from offpeak.providers.plain import Plains
from offpeak.providers.provider import Reply, Usage
from offpeak.states import Outcome

TEXT = '{"kind": "card", "note": "\\u00fc \\ud83c\\udfe6 \\u2028"}'
VECTOR = [0.25, -1.5, 3e-7]


def openai(body: dict[str, Any], status: Any = 200) -> dict[str, Any]:
    response = {"status_code": status, "request_id": "r", "body": body}
    return {"id": "batch_req_1", "custom_id": "k-1", "response": response, "error": None}


RESPONSE = openai(
    {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "gpt-5-mini-2025-08-07",
        "output": [
            {"type": "reasoning", "id": "rs", "summary": []},
            {
                "type": "message",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "annotations": [], "text": TEXT},
                    {"type": "output_text", "text": "!"},
                ],
            },
        ],
        "usage": {
            "input_tokens": 300,
            "input_tokens_details": {
                "cached_tokens": 128,
                "cache_write_tokens": 100,
                "cache_write_tokens_details": {"ttl_12h_tokens": 40},
            },
            "output_tokens": 40,
            "output_tokens_details": {"reasoning_tokens": 12},
            "total_tokens": 340,
        },
        "metadata": {},
    }
)
CHAT = openai(
    {
        "id": "chatcmpl",
        "object": "chat.completion",
        "model": "gpt-5-mini",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": TEXT, "refusal": None},
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
)


def embedding(vector: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return openai({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage})


FLOATS = embedding(VECTOR)
BASE64 = embedding(base64.b64encode(struct.pack("<3f", *VECTOR)).decode())
MESSAGE = {
    "custom_id": "k-1",
    "result": {
        "type": "succeeded",
        "message": {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": TEXT},
                {"type": "text", "text": "!"},
            ],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 20,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 50,
                "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4},
            },
        },
    },
}
PLAIN = {
    "response": ("openai", RESPONSE),
    "chat": ("openai", CHAT),
    "floats": ("openai", FLOATS),
    "base64": ("openai", BASE64),
    "message": ("anthropic", MESSAGE),
}
ENDPOINT = {"floats": "embedding", "base64": "embedding"}
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**53 + 1, 2**63, 2**64, -1, 1.0, 3e400, 1e39, 0.5]),
    st.sampled_from(
        ["", "x", "completed", "stop", "refusal", "text", "output_text", "message", "200", "AAAA"]
    ),
    st.just([]),
    st.just({}),
    st.sampled_from(
        [[0.5, None], [1, 2], [True], ["1.0"], [[1.0]], [1e39], {"type": "refusal", "refusal": "no"}]
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself left out."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, one in inner:
        found += places(one, (*path, key))
    return found


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    made = copy.deepcopy(value)
    at = made
    for key in path[:-1]:
        at = at[key]
    if to is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return made


def value_of(plains: Plains, at: int) -> str | bytes:
    """A text, or the bytes of a vector."""
    value = plains.values[at].as_py()
    return value if isinstance(value, str) else struct.pack(f"<{len(value)}f", *value)


def without_compiled(name: str, lines: Block, dimensions: int | None) -> Plains:
    """As the provider's `plain` where there is no compiled reader."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"offpeak.providers.{name}_plain.compiled_lines", lambda *_: None)
        return provider(name).plain(lines, dimensions)


READERS = (without_compiled, lambda name, lines, dimensions: provider(name).plain(lines, dimensions))


def agree(name: str, raw: bytes) -> Reply | None:
    """The slow reading where the fast ones took the line, after a look that all say the same."""
    slower, compiled = (agrees(name, raw, read) for read in READERS)
    # of a part of another kind the compiled reader looks at nothing but the kind: it may take more
    assert slower in (None, compiled), "what the compiled reader leaves, the other one takes"
    return compiled


def agrees(name: str, raw: bytes, plain: Callable[[str, Block, int | None], Plains]) -> Reply | None:
    reply = provider(name).parse(raw)
    dimensions = None if reply.vector is None else len(reply.vector) // 4
    texts, vectors = (plain(name, Block.of([raw]), one) for one in (None, dimensions or 3))
    plains = texts if dimensions is None else vectors
    assert not len((vectors if dimensions is None else texts).places), (
        "text for a vector, or a vector for text"
    )
    if not len(plains.places):
        return None
    assert reply.outcome is Outcome.ANSWERED
    assert (reply.code, reply.message, reply.transient) == ("", "", False)
    assert list(plains.places) == [0]
    assert (plains.custom_ids.to_pylist(), plains.models.to_pylist()) == ([reply.custom_id], [reply.model])
    assert value_of(plains, 0) == (reply.text if reply.vector is None else reply.vector)
    (counts,) = plains.usage.tolist()
    assert Usage(**dict(zip(Usage.__dataclass_fields__, counts, strict=True))) == reply.usage
    return reply


def compiled_takes(kind: str, line: dict[str, Any]) -> bool:
    """Whether the compiled reader takes the line, if there is one."""
    block = Block.of([orjson.dumps(line)])
    found = anthropic_columns.compiled_lines(block) if kind == "message" else None
    if kind != "message":
        found = openai_columns.compiled_lines(block, 3 if kind in ENDPOINT else None)
    return found is not None and found.places.tolist() == [0]


def test_answers_of_one_text_are_for_the_compiled_reader() -> None:
    response, message = copy.deepcopy(RESPONSE), copy.deepcopy(MESSAGE)
    response["response"]["body"]["output"][1]["content"].pop()
    message["result"]["message"]["content"].pop()  # type: ignore[index]
    there = library() is not None
    taken = [
        compiled_takes("response", response),
        compiled_takes("chat", CHAT),
        compiled_takes("message", message),
    ]
    assert taken == [there] * 3
    assert agree("openai", orjson.dumps(response)) is not None
    assert agree("anthropic", orjson.dumps(message)) is not None


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_answer_is_taken_by_the_fast_reader(kind: str) -> None:
    name, line = PLAIN[kind]
    reply = agree(name, orjson.dumps(line))
    assert reply is not None, "the fast reader left a plain answer to the slow one"
    assert reply.usage.input_tokens > 0
    if kind in ("floats", "base64"):
        assert compiled_takes(kind, line) or library() is None
        assert reply.vector == struct.pack("<3f", *VECTOR)
    else:
        assert reply.text is not None
        assert reply.text.startswith(TEXT)


@pytest.mark.parametrize("kind", PLAIN)
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_in_a_line_both_readers_agree(kind: str, data: st.DataObject) -> None:
    name, line = PLAIN[kind]
    for _ in range(data.draw(st.integers(1, 3))):
        if not (there := places(line)):
            break
        path = data.draw(st.sampled_from(there))
        line = changed(line, path, data.draw(ODD | st.just(...)))
    agree(name, json.dumps(line).encode())


def test_a_part_of_another_kind_may_hold_anything() -> None:
    odd = changed(MESSAGE, ("result", "message", "content", 1), {"type": "", "text": None})
    reply = agree("anthropic", json.dumps(odd).encode())
    assert reply == (provider("anthropic").parse(json.dumps(odd).encode()) if library() else None)
    assert reply is None or reply.text == "!"


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=60), cut=st.integers(0, 2_000))
@example(raw=b"\xff", cut=300)
@example(raw=b"\\ud800", cut=400)
def test_damaged_lines_are_left_to_the_slow_reader_or_read_alike(name: str, raw: bytes, cut: int) -> None:
    whole = orjson.dumps(RESPONSE if name == "openai" else MESSAGE)
    agree(name, raw)
    agree(name, whole[:cut])
    agree(name, whole[:cut] + raw + whole[cut:])


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_many_lines_are_read_as_each_by_itself_and_keep_their_places(name: str, data: st.DataObject) -> None:
    kinds = {orjson.dumps(line): ENDPOINT.get(kind, kind) for kind, (of, line) in PLAIN.items() if of == name}
    whole = list(kinds)
    other = [b"", b"[]", b"\xff", whole[0] + b" \xff", whole[0][:-9], b'{"custom_id": "k-1"}']
    lines = data.draw(st.lists(st.sampled_from([*whole, *whole, *other]), max_size=8))
    dimensions = data.draw(st.sampled_from([None, 3])) if name == "openai" else None
    wanted = {raw: kind for raw, kind in kinds.items() if (kind == "embedding") == (dimensions is not None)}
    found = provider(name).plain(Block.of(lines), dimensions)
    first = next((wanted[line] for line in lines if line in wanted), "none")
    taken = found.places.tolist()
    assert {place for place, line in enumerate(lines) if wanted.get(line) == first} <= set(taken)
    assert all(lines[place] in wanted for place in taken)
    assert taken == sorted(taken)
    assert found.usage.shape == (len(taken), 6)
    for at, place in enumerate(taken):
        one = provider(name).plain(Block.of([lines[place]]), dimensions)
        assert (found.custom_ids[at], found.models[at]) == (one.custom_ids[0], one.models[0])
        assert found.usage[at].tolist() == one.usage[0].tolist()
        assert value_of(found, at) == value_of(one, 0)
