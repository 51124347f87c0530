"""The DAG file of the bench's runs on Airflow: the tickets in shards of 500."""

from __future__ import annotations

from dataclasses import replace

from offpeak.on_airflow import workload_dag
from tests.bench.tickets import workload

SHARD_ROWS = 500
dag = workload_dag(replace(workload("chat", "{store}/in/*.parquet"), shard_requests=SHARD_ROWS))
