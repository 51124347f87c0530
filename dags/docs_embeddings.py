"""Every night: the pages of a product's documentation as vectors; only what changed is embedded."""

from datetime import timedelta
from decimal import Decimal

from offpeak import parquet
from offpeak.embeddings import Chunking, Embeddings, parquet_vectors
from offpeak.on_airflow import workload_dag

docs = Embeddings(
    name="docs_embeddings",
    corpus=parquet("{store}/docs/*.parquet", key="doc_path"),
    text="text",
    title="title",
    chunking=Chunking(format="markdown", max_tokens=400),
    model="openai:text-embedding-3-small",
    dimensions=512,
    into=parquet_vectors("{store}/tables/docs_embeddings"),
    golden={
        "how do I cancel a run and its batches?": "docs/running.md",
        "how do dead letters get replayed?": "docs/running.md",
        "which columns of provenance does a published table have?": "docs/tables.md",
    },
    due=timedelta(hours=6),
    budget_usd=Decimal(5),
)
dag = workload_dag(docs, schedule="@daily")
