"""DAGs for the tests of the pages: a workload's own, one with a workload inside, one of somebody else."""

from datetime import timedelta
from typing import Literal

from airflow.sdk import DAG, task
from pydantic import BaseModel

from offpeak import Prompt, Workload, csv, parquet_table
from offpeak.on_airflow import workload_dag


class Mood(BaseModel):
    mood: Literal["calm", "angry"]


def _workload(name: str) -> Workload:
    return Workload(
        name=name,
        rows=csv("{store}/tickets.csv", key="ticket_id"),
        prompt=Prompt(system="In which mood is the writer?", user="{{ row.text }}"),
        answer=Mood,
        model="openai:gpt-5-mini",
        into=parquet_table(f"{{store}}/tables/{name}"),
        due=timedelta(minutes=45),
    )


paged = _workload("paged")
paged_dag = workload_dag(paged)

inner = _workload("inner")
with DAG("around", schedule=None) as around:
    workload_dag(inner)

with DAG("plain", schedule=None) as plain:

    @task
    def nothing() -> None: ...

    nothing()
