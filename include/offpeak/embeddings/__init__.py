"""Embedding regeneration: a corpus in chunks, embedded on the batch API and kept in step, in versions.

from offpeak.embeddings import Chunking, Embeddings, parquet_vectors
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offpeak.embeddings.checks import VectorChecks
    from offpeak.embeddings.chunking import Chunking
    from offpeak.embeddings.spec import Embeddings
    from offpeak.embeddings.vectors_duckdb import duckdb_vectors
    from offpeak.embeddings.vectors_parquet import parquet_vectors
    from offpeak.embeddings.vectors_postgres import postgres_vectors

_PUBLIC = {
    "Chunking": "offpeak.embeddings.chunking",
    "Embeddings": "offpeak.embeddings.spec",
    "VectorChecks": "offpeak.embeddings.checks",
    "duckdb_vectors": "offpeak.embeddings.vectors_duckdb",
    "parquet_vectors": "offpeak.embeddings.vectors_parquet",
    "postgres_vectors": "offpeak.embeddings.vectors_postgres",
}

__all__ = [
    "Chunking",
    "Embeddings",
    "VectorChecks",
    "duckdb_vectors",
    "parquet_vectors",
    "postgres_vectors",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'offpeak.embeddings' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value
