"""pandas and json, as a careful user writes it: every line parsed, validated by pydantic, one frame, one merge."""

from __future__ import annotations

import json
from typing import Any

from tests.bench.answered import tickets_in
from tests.bench.answers import batches
from tests.bench.tickets import Ticket
from tests.bench.work import Outcome, Place


def prepare(place: Place) -> None:
    import pandas as pd  # noqa: F401
    import pyarrow.parquet  # noqa: F401


def run(place: Place) -> None:
    import pandas as pd

    read = _anthropic if place.variant == "anthropic" else _openai
    found = []
    for path in batches(place.data):
        with path.open("rb") as lines:
            found += [read(json.loads(line)) for line in lines]
    requests = pd.read_parquet(place.data / "requests.parquet", columns=["ticket_id", "custom_id"])
    answers = pd.DataFrame(found)
    joined = requests.merge(answers, on="custom_id", how="left")
    joined.to_parquet(place.out / "answers.parquet", index=False)


def _openai(line: dict[str, Any]) -> dict[str, Any]:
    made = {"custom_id": line["custom_id"], "outcome": "errored"}
    response = line["response"]
    if response["status_code"] != 200:
        return made
    body, choice = response["body"], response["body"]["choices"][0]
    made |= {
        "model": body["model"],
        "input_tokens": body["usage"]["prompt_tokens"],
        "output_tokens": body["usage"]["completion_tokens"],
    }
    content = choice["message"]["content"]
    return made | _validated(content if choice["finish_reason"] == "stop" else None)


def _anthropic(line: dict[str, Any]) -> dict[str, Any]:
    made = {"custom_id": line["custom_id"], "outcome": "errored"}
    if line["result"]["type"] != "succeeded":
        return made
    message = line["result"]["message"]
    made |= {
        "model": message["model"],
        "input_tokens": message["usage"]["input_tokens"],
        "output_tokens": message["usage"]["output_tokens"],
    }
    content = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    return made | _validated(content if message["stop_reason"] == "end_turn" else None)


def _validated(content: str | None) -> dict[str, Any]:
    if content is None:
        return {"outcome": "refused"}
    try:
        return {"outcome": "answered", **Ticket.model_validate(json.loads(content)).model_dump()}
    except ValueError:
        return {"outcome": "invalid"}


def outcome(place: Place) -> Outcome | None:
    return tickets_in([place.out / "answers.parquet"])
