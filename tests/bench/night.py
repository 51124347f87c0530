"""The DAG file of the bench's whole runs."""

from __future__ import annotations

from tests.bench.tickets import workload

tickets = workload("chat", "{store}/in/*.parquet")
