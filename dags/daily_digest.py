"""Every night: what yesterday's tickets of each team of a bank's help desk were about, ready in the morning."""

from decimal import Decimal

from offpeak import parquet, parquet_table
from offpeak.digest import Digest
from offpeak.on_airflow import workload_dag

digest = Digest(
    name="daily_digest",
    items=parquet("{store}/tickets_by_day/*.parquet", key="ticket_id"),
    group="team",
    text="text",
    time="created_at",
    category="channel",
    about="the tickets of one team of a bank's help desk",
    model="openai:gpt-5-mini",
    window_tokens=2_000,  # small, so that the demo has work for every level; 100_000 is the default
    levels=3,
    statements=(3, 6),
    statement_characters=160,
    into=parquet_table("{store}/tables/daily_digest"),
    due="07:00 Europe/Berlin",
    budget_usd=Decimal(5),
)
dag = workload_dag(digest, schedule="@daily")
