"""common-ai: its adapter and its results module as they are, then pandas from their JSON lines to Parquet.

OpenAI's adapter is given the lines of a file, Anthropic's the SDK's own objects, made of the file by the SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.bench.answered import tickets_in
from tests.bench.answers import KEY, batches
from tests.bench.tickets import Ticket
from tests.bench.work import Outcome, Place


def prepare(place: Place) -> None:
    import pandas as pd  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    from airflow.providers.common.ai.batch import anthropic, openai, results  # noqa: F401

    if place.variant == "anthropic":
        from anthropic.types.messages import MessageBatchIndividualResponse  # noqa: F401


def run(place: Place) -> None:
    import pandas as pd
    from airflow.providers.common.ai.batch.output_schema import build_output_spec
    from airflow.providers.common.ai.batch.results import stream_results_to_jsonl

    spec = build_output_spec(Ticket)
    requests = pd.read_parquet(place.data / "requests.parquet", columns=["ticket_id", "batch", "index"])
    for number, path in enumerate(batches(place.data, "indexed"), 1):
        asked = requests[requests["batch"] == number]
        merged = place.out / f"{number:05d}.jsonl"
        stream_results_to_jsonl(
            adapter=_adapter(place.variant, path),
            batch_id=path.stem,
            output_spec=spec,
            request_count=int(asked["index"].max()) + 1,
            custom_id_prefix=KEY,
            destination=merged,  # type: ignore[arg-type]  # a plain path is quicker than an object store's
        )
        _write(merged, asked, place.out / f"{number:05d}.parquet")


def _write(merged: Path, asked: Any, into: Path) -> None:
    import pandas as pd

    rows = pd.read_json(merged, lines=True)
    outputs = pd.DataFrame(
        [{} if output is None else output for output in rows["output"].where(rows["output"].notna(), None)],
        columns=list(Ticket.model_fields),
    )
    tokens = pd.DataFrame([usage or {} for usage in rows["usage"].where(rows["usage"].notna(), None)])
    flat = pd.concat([rows[["index", "status", "model"]], outputs, tokens], axis=1)
    asked[["ticket_id", "index"]].merge(flat, on="index", how="left").to_parquet(into, index=False)


def _adapter(variant: str, path: Path) -> Any:
    from airflow.providers.common.ai.batch.anthropic import AnthropicBatchAdapter
    from airflow.providers.common.ai.batch.openai import OpenAIBatchAdapter

    if variant == "anthropic":
        batch_api = SimpleNamespace(results=lambda _: _sdk_objects(path))
        return AnthropicBatchAdapter(client=SimpleNamespace(messages=SimpleNamespace(batches=batch_api)))
    batch = SimpleNamespace(output_file_id=path.stem, error_file_id=None)
    files = SimpleNamespace(with_streaming_response=SimpleNamespace(content=lambda _: _response(path)))
    return OpenAIBatchAdapter(
        client=SimpleNamespace(files=files, batches=SimpleNamespace(retrieve=lambda _: batch))
    )


@contextmanager
def _response(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        yield SimpleNamespace(iter_lines=lambda: lines)


def _sdk_objects(path: Path) -> Iterator[Any]:
    """What the SDK's results() gives: its JSON lines decoder over the bytes."""
    from anthropic._decoders.jsonl import JSONLDecoder
    from anthropic.types.messages import MessageBatchIndividualResponse

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(1 << 16):
                yield piece

    return iter(
        JSONLDecoder(
            line_type=MessageBatchIndividualResponse,
            raw_iterator=pieces(),
            http_response=None,  # type: ignore[arg-type]  # only closed at the end of a `with`
        )
    )


def outcome(place: Place) -> Outcome | None:
    return tickets_in(place.out.glob("*.parquet"))
