"""Workloads for the tests on a real Airflow."""

from datetime import timedelta
from decimal import Decimal
from typing import Literal

from airflow.sdk import DAG, task
from pydantic import BaseModel

from offpeak import Prompt, Workload, gxe, parquet, parquet_table
from offpeak.on_airflow import workload_dag


class Mood(BaseModel):
    mood: Literal["calm", "angry"]


def _workload(name: str, **options: object) -> Workload:
    return Workload(
        name=name,
        rows=parquet("{store}/tickets/*.parquet", key="ticket_id"),
        prompt=Prompt(system=f"Marmalade skies over {name}.", user="{{ row.text }}"),
        answer=Mood,
        model="openai:gpt-5-mini",
        into=parquet_table(f"{{store}}/tables/{name}"),
        due=timedelta(minutes=45),
        **options,  # type: ignore[arg-type]
    )


costly = workload_dag(_workload("costly", approve_above_usd=Decimal(0)))
approved_unseen = workload_dag(_workload("approved_unseen", approve_above_usd=Decimal(100)))

survivor = workload_dag(_workload("survivor", shard_requests=40))

impossible = gxe.ExpectColumnValuesToBeUnique(column="mood")  # two moods, many rows
refused = workload_dag(_workload("refused", checks=[impossible]))

with DAG("own", schedule=None) as own:

    @task
    def before() -> str:
        return "before"

    @task
    def after() -> str:
        return "after"

    before() >> workload_dag(_workload("grouped", readers=2)) >> after()
