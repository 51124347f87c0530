"""Workloads with a due time and channels, for the tests on warning, escalation and a scheduler that was away."""

from dataclasses import fields
from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel

from offpeak import Prompt, Workload, parquet, parquet_table
from offpeak.alerts import mail, webhook
from offpeak.on_airflow import workload_dag

ROUTES = {"route": "auto"} if "route" in {field.name for field in fields(Workload)} else {}


class Mood(BaseModel):
    mood: Literal["calm", "angry"]


def _dag(name: str, **options: Any) -> Any:
    return workload_dag(
        Workload(
            name=name,
            rows=parquet("{store}/tickets/*.parquet", key="ticket_id"),
            prompt=Prompt(system="Tell the mood of a ticket.", user="{{ row.text }}"),
            answer=Mood,
            model="openai:gpt-5-mini",
            into=parquet_table(f"{{store}}/tables/{name}"),
            alerts=[webhook("ops_hook"), mail("ops_mail", to="oncall@example.com")],
            **options,
        )
    )


stuck = _dag("stuck", due=timedelta(hours=1), **ROUTES)
overdue = _dag("overdue", due=timedelta(minutes=1))
