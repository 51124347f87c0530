"""What a provider would have answered: result files for a planned run, the same answers for every contender.

    results/<batch>.jsonl    with the custom_ids of Offpeak's requests
    indexed/<batch>.jsonl    the same for the common-ai adapters, which number the requests of a batch
    requests.parquet         which row is answered by which custom_id

One line in a hundred is no answer: an invalid one, an error, a refusal or one cut short.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from tests.bench import runs
from tests.bench.tickets import DIMENSIONS, INTENTS, user_text

if TYPE_CHECKING:
    import numpy as np

KEY = "0123456789abcdef"
"""Begins the custom_ids of the common-ai adapters."""
_TAGS = ("card", "travel", "urgent", "fee", "abroad", "rent", "app", "machine")
_SUMMARIES = (
    "The customer asks to block the card and to dispute payments made by somebody else.",
    'A refund for a cancelled order is missing; the shop says it was "sent last week".',
    "A rent transfer is pending and due today; the customer wants it released or returned.",
    "The rate on the statement differs from the one shown in the app – check both.",
)


class Line(NamedTuple):
    """A result line in its two forms."""

    named: bytes
    indexed: bytes


Maker = Callable[[str, int, random.Random], Line]
"""(custom_id, index within its batch, chance) → the line."""


def write_answers(kind: str, data: Path) -> None:
    """Plan the run in `data`, note its shards as sent, and answer them."""
    at = runs.site(data)
    run = runs.plan(runs.bench_workload(data, kind), at)
    runs.send(run, at)
    shards = at.ledger.shards(run.run_id)
    custom_ids: dict[bytes, tuple[str, int, int]] = {}
    for folder in ("results", "indexed"):
        (data / folder).mkdir()
    for shard in shards:
        number = shard.key.number
        asked = [_read(line) for line in (Path(at.store.root) / shard.file).open("rb")]
        for index, (custom_id, user) in enumerate(asked):
            custom_ids[_hash(user)] = (custom_id, number, index)
        _answer(data, number, [custom_id for custom_id, _ in asked], MAKERS[kind])
    at.ledger.close()
    _write_requests(data, custom_ids)


def _read(line: bytes) -> tuple[str, str]:
    """(custom_id, user text) of a request of any of the endpoints."""
    record = orjson.loads(line)
    body = record.get("body") or record["params"]
    said = body["messages"][-1]["content"] if "messages" in body else body["input"]
    return record["custom_id"], said if isinstance(said, str) else said[0]["text"]


def _hash(user: str) -> bytes:
    return hashlib.blake2b(user.encode(), digest_size=16).digest()


def _answer(data: Path, number: int, custom_ids: list[str], make: Maker) -> None:
    """The batch's two result files, in an order that is not the requests'."""
    order = list(enumerate(custom_ids))
    random.Random(number).shuffle(order)
    name = runs.batch_name(number)
    with (
        runs.result_file(data / "results", name).open("wb") as named,
        runs.result_file(data / "indexed", name).open("wb") as indexed,
    ):
        for index, custom_id in order:
            # by the request and not by its place, so that every run of the bench has the same answers
            made = make(custom_id, index, random.Random(custom_id.rpartition("-")[2]))
            named.write(made.named)
            indexed.write(made.indexed)


def _write_requests(data: Path, custom_ids: dict[bytes, tuple[str, int, int]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {"ticket_id": pa.string(), "custom_id": pa.string(), "batch": pa.int64(), "index": pa.int64()}
    schema = pa.schema(names)
    rows = pq.ParquetFile(runs.rows_of(data))
    with pq.ParquetWriter(data / "requests.parquet", schema) as writer:
        for batch in rows.iter_batches(columns=["ticket_id", "channel", "text"]):
            ids, *parts = (column.to_pylist() for column in batch.columns)
            found = [custom_ids[_hash(user_text(*texts))] for texts in zip(*parts, strict=True)]
            columns = [ids, *(list(column) for column in zip(*found, strict=True))]
            writer.write_batch(pa.record_batch([pa.array(c) for c in columns], schema=schema))


def _ticket(rng: random.Random) -> tuple[str, str]:
    """(the answer's text, how it ended: ok, invalid, errored, refused or truncated)."""
    answer = {
        "intent": rng.choice(INTENTS),
        "urgency": rng.randint(1, 5),
        "summary": rng.choice(_SUMMARIES),
        "tags": rng.sample(_TAGS, rng.randint(0, 3)),
    }
    ends = rng.choices(("ok", "invalid", "errored", "refused", "truncated"), (990, 5, 3, 1, 1))[0]
    if ends == "invalid":
        answer["intent"] = "lost_card"
    text = json.dumps(answer, ensure_ascii=False)
    return (text[:40] if ends == "truncated" else text), ends


def _openai_line(custom_id: str, status: int, body: object) -> bytes:
    """As OpenAI writes it: with spaces after the separators."""
    record = {
        "id": f"batch_req_{custom_id[-24:]}",
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": f"req_{custom_id[-24:]}", "body": body},
        "error": None,
    }
    return json.dumps(record).encode() + b"\n"


def _twice(custom_id: str, index: int, line: bytes) -> Line:
    return Line(line, line.replace(custom_id.encode(), f"{KEY}-{index}".encode()))


def _chat(custom_id: str, index: int, rng: random.Random) -> Line:
    text, ends = _ticket(rng)
    if ends == "errored":
        error = {"message": "The server had an error.", "type": "server_error", "param": None, "code": None}
        return _twice(custom_id, index, _openai_line(custom_id, 500, {"error": error}))
    refused, tokens = ends == "refused", rng.randint(40, 90)
    message: dict[str, object] = {
        "role": "assistant",
        "content": None if refused else text,
        "refusal": "I cannot help with that." if refused else None,
        "annotations": [],
    }
    finish = "length" if ends == "truncated" else "stop"
    body = {
        "id": f"chatcmpl-{custom_id[-29:]}",
        "object": "chat.completion",
        "created": 1_795_338_000,
        "model": "gpt-5-mini-2025-08-07",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": 420,
            "completion_tokens": tokens,
            "total_tokens": 420 + tokens,
            "prompt_tokens_details": {"cached_tokens": 256, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }
    return _twice(custom_id, index, _openai_line(custom_id, 200, body))


def _anthropic(custom_id: str, index: int, rng: random.Random) -> Line:
    text, ends = _ticket(rng)
    if ends == "errored":
        error = {"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}
        line = orjson.dumps({"custom_id": custom_id, "result": {"type": "errored", "error": error}})
        return _twice(custom_id, index, line + b"\n")
    stop = {"refused": "refusal", "truncated": "max_tokens"}.get(ends, "end_turn")
    written = orjson.dumps(_message(custom_id, stop, [{"type": "text", "text": text}], rng)) + b"\n"
    # common-ai asks for a tool's input, where Offpeak asks for a text of the schema
    block = {"type": "tool_use", "id": f"toolu_{custom_id[-24:]}", "name": "Ticket"}
    given = {"partial": text} if ends in ("truncated", "refused") else json.loads(text)
    called = _message(custom_id, "tool_use", [{**block, "input": given}], rng)
    called["custom_id"] = f"{KEY}-{index}"
    return Line(written, orjson.dumps(called) + b"\n")


def _message(
    custom_id: str, stop: str, content: list[dict[str, object]], rng: random.Random
) -> dict[str, object]:
    message: dict[str, object] = {
        "model": "claude-haiku-4-5-20251001",
        "id": f"msg_{custom_id[-24:]}",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 420,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": rng.randint(40, 90),
            "service_tier": "batch",
        },
    }
    return {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}


def _vector(rng: random.Random) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    import numpy as np

    made = np.random.default_rng(rng.getrandbits(64)).standard_normal(DIMENSIONS, dtype=np.float32)
    return made / np.linalg.norm(made)


def _embedded(custom_id: str, index: int, embedding: str) -> Line:
    """`embedding` is JSON; the line around it is written as OpenAI writes it."""
    data = [{"object": "embedding", "index": 0, "embedding": "@"}]
    usage = {"prompt_tokens": 90, "total_tokens": 90}
    body = {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}
    around = _openai_line(custom_id, 200, body)
    return _twice(custom_id, index, around.replace(b'"@"', embedding.encode()))


def _floats(custom_id: str, index: int, rng: random.Random) -> Line:
    numbers = orjson.dumps(_vector(rng), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return _embedded(custom_id, index, numbers.replace(",", ", "))


def _base64(custom_id: str, index: int, rng: random.Random) -> Line:
    return _embedded(custom_id, index, f'"{base64.b64encode(_vector(rng).tobytes()).decode()}"')


MAKERS: dict[str, Maker] = {"chat": _chat, "anthropic": _anthropic, "floats": _floats, "base64": _base64}


def batches(data: Path, folder: str = "results") -> Iterator[Path]:
    """The result files of `folder`, in the order of their batches."""
    yield from sorted((data / folder).glob("*.jsonl"))
