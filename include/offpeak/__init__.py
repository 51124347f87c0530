"""Offpeak: LLM work that nobody waits for, on the providers' batch APIs.

from offpeak import Workload, Prompt, parquet, duckdb_table
from offpeak.on_airflow import workload_dag
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offpeak import gxe
    from offpeak.answer import Vector
    from offpeak.prices import Price, Rates
    from offpeak.prompt import Prompt
    from offpeak.rows.csv import csv
    from offpeak.rows.documents import documents
    from offpeak.rows.jsonl import jsonl
    from offpeak.rows.parquet import parquet
    from offpeak.rows.sql import sql
    from offpeak.tables.duckdb import duckdb_table
    from offpeak.tables.parquet import parquet_table
    from offpeak.tables.postgres import postgres_table
    from offpeak.workload import Workload

_PUBLIC = {
    "Price": "offpeak.prices",
    "Prompt": "offpeak.prompt",
    "Rates": "offpeak.prices",
    "Vector": "offpeak.answer",
    "Workload": "offpeak.workload",
    "csv": "offpeak.rows.csv",
    "documents": "offpeak.rows.documents",
    "duckdb_table": "offpeak.tables.duckdb",
    "jsonl": "offpeak.rows.jsonl",
    "parquet": "offpeak.rows.parquet",
    "parquet_table": "offpeak.tables.parquet",
    "postgres_table": "offpeak.tables.postgres",
    "sql": "offpeak.rows.sql",
}

__all__ = [
    "Price",
    "Prompt",
    "Rates",
    "Vector",
    "Workload",
    "csv",
    "documents",
    "duckdb_table",
    "gxe",
    "jsonl",
    "parquet",
    "parquet_table",
    "postgres_table",
    "sql",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: a DAG file pays for what it names."""
    if name == "gxe":
        return import_module("offpeak.gxe")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'offpeak' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
