"""What waits for another DAG's table, and what is filled again for past nights."""

from datetime import UTC, datetime
from typing import Literal

from airflow.sdk import DAG, task
from pydantic import BaseModel

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.on_airflow import published, workload_dag


class Mood(BaseModel):
    mood: Literal["calm", "angry"]


nights = workload_dag(
    Workload(
        name="nights",
        rows=parquet("{store}/nights/{interval}.parquet", key="ticket_id"),
        prompt=Prompt(user="{{ row.text }}"),
        answer=Mood,
        model="openai:gpt-5-mini",
        into=parquet_table("{store}/tables/nights"),
    ),
    schedule="@daily",
    end_date=datetime(2026, 11, 13, tzinfo=UTC),  # nothing but what is filled again
)

with DAG("follower", schedule=[published("eval_suite")]) as follower:

    @task
    def read(triggering_asset_events: dict | None = None) -> dict:
        """What the event that started this run says."""
        ((event,),) = list((triggering_asset_events or {}).values())
        return dict(event.extra)

    read()
