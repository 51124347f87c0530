"""Workloads of twelve shards each, for the tests that take parts of Airflow away."""

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.on_airflow import workload_dag


class Mood(BaseModel):
    mood: Literal["calm", "angry"]


def _dag(name: str, **dag_options: Any) -> Any:
    workload = Workload(
        name=name,
        rows=parquet("{store}/rows/*.parquet", key="id"),
        prompt=Prompt(system="Tell the mood of a ticket.", user="{{ row.text }}"),
        answer=Mood,
        model="openai:gpt-5-mini",
        into=parquet_table(f"{{store}}/tables/{name}"),
        shard_requests=10,
        due=timedelta(hours=2),
    )
    soon = {"retry_delay": timedelta(seconds=2), "retry_exponential_backoff": False}
    return workload_dag(workload, default_args=soon, **dag_options)


storm = _dag("storm")
killed_workers = _dag("killed_workers")
lost_database = _dag("lost_database")
failed_shard = _dag("failed_shard")
failed_run = _dag("failed_run")
at_once = _dag("at_once", max_active_runs=2)
