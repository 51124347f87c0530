"""The public API as its users type it. mypy --strict checks this file; nothing runs it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field

from offpeak import (
    Price,
    Prompt,
    Rates,
    Vector,
    Workload,
    csv,
    duckdb_table,
    gxe,
    jsonl,
    parquet,
    parquet_table,
    postgres_table,
    sql,
)


class Triage(BaseModel):
    intent: Literal["card_lost", "refund", "other"]
    urgency: Literal["low", "normal", "high"]
    summary: str = Field(max_length=200)


triage = Workload(
    name="ticket_triage",
    rows=parquet("{store}/tickets/*.parquet", key="ticket_id"),
    prompt=Prompt(system="You sort bank tickets.", user="{{ row.text }}"),
    answer=Triage,
    model="openai:gpt-5-mini",
    checks=[gxe.ExpectColumnValuesToBeInSet(column="urgency", value_set=["low", "normal", "high"])],
    into=duckdb_table("warehouse", "ticket_triage"),
    keep=["text"],
    due=timedelta(minutes=45),
    budget_usd=Decimal(5),
    params={"reasoning": {"effort": "low"}},
    rounds=2,
    max_failed=0.02,
    shard_requests=10_000,
)

digest = Workload(
    name="digest",
    rows=sql("warehouse", "SELECT id, body FROM letters WHERE day = :day", key="id"),
    prompt=Prompt(user="Summarise: {{ row.body }}"),
    answer=str,
    model="anthropic:claude-haiku-4-5",
    into=postgres_table("warehouse", "public.digest"),
    due="07:00 Europe/Berlin",
    route="auto",
    publish_partial_at=0.98,
    connection="anthropic_default",
)

embedding = Workload(
    name="embedding",
    rows=[jsonl("products.jsonl", key="sku"), csv("products.csv", key="sku")][0],
    prompt=Prompt(user="{{ row.title }}"),
    answer=Vector(1536),
    model="openai:text-embedding-3-small",
    into=parquet_table("{store}/tables/embedding"),
    price=Price(
        realtime=Rates(input=Decimal("0.02"), output=Decimal(0)),
        batch=Rates(input=Decimal("0.01"), output=Decimal(0)),
    ),
)

NAMES: list[str] = [workload.name for workload in (triage, digest, embedding)]
NEEDED: tuple[str, ...] | None = triage.columns_needed()
