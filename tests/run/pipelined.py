"""A pipeline for tests: two workloads side by side, one that reads what the first of them published, a last step."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.pipeline import Finished, Finishing, Pipeline


class Kind(BaseModel):
    kind: Literal["card", "refund", "transfer", "other"]


def stage(name: str, rows: str, **changes: Any) -> Workload:
    settings: dict[str, Any] = {
        "name": name,
        "rows": parquet(rows, key="id"),
        "prompt": Prompt(system="Sort bank tickets.", user="{{ row.text }}"),
        "answer": Kind,
        "model": "openai:gpt-5-mini",
        "into": parquet_table(f"{{store}}/tables/{name}"),
        "keep": ["text"],
        "shard_requests": 20,
    }
    return Workload(**{**settings, **changes})


@dataclass(frozen=True, kw_only=True)
class TwoLayers:
    """`left` and `right`, then `kinds` over what `left` published."""

    name: str = "kinds"
    budget_usd: Decimal | None = None
    again: frozenset[str] = frozenset()

    @property
    def pipeline(self) -> Pipeline:
        first = "{store}/tickets/*.parquet"
        left = stage("kinds__left", first)
        right = stage("kinds__right", first, model="openai:gpt-5-nano")
        last = stage(
            "kinds",
            "{store}/tables/kinds__left/interval={interval}/answers.parquet",
            prompt=Prompt(system="Sort them once more.", user="{{ row.kind }}: {{ row.text }}"),
            answer=str,
        )
        return Pipeline(
            name=self.name,
            layers=((left, right), (last,)),
            finish=count_rows,
            budget_usd=self.budget_usd,
            again=self.again,
        )


def count_rows(finishing: Finishing) -> Finished:
    counts = {name: run.facts["table"]["rows"] for name, run in finishing.runs.items()}
    finishing.site.store.write_bytes("counts.txt", repr(counts).encode())
    return Finished(said=(f"Counted {sum(counts.values())} rows.",), facts={"counts": counts}, exit_code=4)
