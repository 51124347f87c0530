"""The common-ai operator's data plane: a list of prompts in memory, fingerprint, validation, request file.

Its adapter is used as it is. The SDK client that it would upload through writes to disk instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from tests.bench import runs
from tests.bench.sent import requests_in
from tests.bench.tickets import SYSTEM, Ticket, user_text
from tests.bench.work import Outcome, Place

KEY = "0123456789abcdef"
MODEL = "gpt-5-mini"
MAX_TOKENS = 4096


def prepare(place: Place) -> None:
    import pandas as pd  # noqa: F401
    import pyarrow as pa  # noqa: F401
    from airflow.providers.common.ai.batch import openai  # noqa: F401
    from airflow.providers.common.ai.operators import llm_batch  # noqa: F401


def run(place: Place) -> None:
    from airflow.providers.common.ai.batch import state
    from airflow.providers.common.ai.batch.openai import OpenAIBatchAdapter
    from airflow.providers.common.ai.batch.output_schema import build_output_spec
    from airflow.providers.common.ai.operators.llm_batch import LLMBatchOperator

    spec = build_output_spec(Ticket)
    disk = _Disk(place)
    adapter = OpenAIBatchAdapter(client=disk)
    said: dict[str, Any] = {"system_prompt": SYSTEM, "max_tokens": MAX_TOKENS, "request_params": None}
    for prompts in _batches(place, OpenAIBatchAdapter.max_requests):
        requests = LLMBatchOperator._normalize_requests(prompts)
        fingerprint = state.compute_fingerprint(
            requests=requests,
            llm_conn_id="bench",
            model_id=f"openai:{MODEL}",
            output_schema=spec.json_schema,
            **said,
        )
        adapter.validate_requests(requests, model=MODEL, output_spec=spec, idempotency_key=KEY, **said)
        adapter.submit(
            requests,
            model=MODEL,
            idempotency_key=KEY,
            input_fingerprint=fingerprint,
            output_spec=spec,
            **said,
        )


def _batches(place: Place, most: int) -> Iterator[list[str]]:
    """The prompts of each mapped task, as a task before it would make them."""
    import pandas as pd

    rows = pd.read_parquet(runs.rows_of(place.data), columns=["channel", "text"])
    for start in range(0, len(rows), most):
        part = rows.iloc[start : start + most]
        yield [user_text(channel, text) for channel, text in zip(part["channel"], part["text"], strict=True)]


class _Disk:
    """Stands for the SDK's client: an upload is written to a file."""

    def __init__(self, place: Place) -> None:
        self._place, self._count = place, 0
        self.files = SimpleNamespace(create=self._upload)
        self.batches = SimpleNamespace(create=lambda **_: SimpleNamespace(id="batch"))

    def _upload(self, *, file: tuple[str, bytes], purpose: str) -> Any:
        self._count += 1
        (self._place.out / f"{self._count:05d}.jsonl").write_bytes(file[1])
        return SimpleNamespace(id=f"file-{self._count}")


def outcome(place: Place) -> Outcome | None:
    return requests_in(place.out.glob("*.jsonl"))
