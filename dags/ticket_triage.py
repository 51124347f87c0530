"""Every hour: sort the new tickets of a bank's help desk by intent and urgency."""

from datetime import timedelta
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field

from offpeak import Prompt, Workload, gxe, parquet, parquet_table
from offpeak.on_airflow import workload_dag

Intent = Literal[
    "card_lost", "card_payment", "cash_withdrawal", "exchange_rate", "refund", "top_up", "transfer", "other"
]


class Triage(BaseModel):
    intent: Intent
    urgency: Literal["low", "normal", "high"]
    summary: str = Field(max_length=200)


tickets = Workload(
    name="ticket_triage",
    rows=parquet("{store}/tickets/*.parquet", key="ticket_id"),
    prompt=Prompt(
        system="You sort tickets of a bank's help desk. Judge only by what the customer writes.",
        user="{{ row.text }}",
    ),
    answer=Triage,
    model="openai:gpt-5-mini",
    keep=["text"],
    checks=[gxe.ExpectColumnValuesToNotBeInSet(column="intent", value_set=["other"], mostly=0.5)],
    into=parquet_table("{store}/tables/ticket_triage"),
    due=timedelta(minutes=45),
    budget_usd=Decimal(5),
    shard_requests=2_000,
)
dag = workload_dag(tickets, schedule="@hourly")
