"""Corpora and embeddings for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offpeak import parquet
from offpeak.embeddings import Embeddings, parquet_vectors
from tests.run.making import Place

MODEL = "openai:text-embedding-3-small"
WORDS = (
    *("anchor", "basil", "copper", "dolphin", "ember", "falcon", "garnet", "harbor", "island", "juniper"),
    *("kettle", "lantern", "meadow", "nectar", "orchid", "pepper", "quartz", "ribbon", "saddle", "timber"),
    *("umbrella", "velvet", "willow", "xylophone", "yarrow", "zephyr"),
)


def page(name: str, count: int = 4) -> str:
    """A page of sections whose words differ from page to page."""
    start = sum(map(ord, name))
    sections = []
    for number in range(count):
        words = " ".join(WORDS[(start * (step + 3) + number * 7 + step * step) % 26] for step in range(40))
        sections.append(f"## {name} part {number}\n\n{words}.\n")
    return f"# {name}\n\nAll about {name}.\n\n" + "\n".join(sections)


def corpus(store: Path, pages: Mapping[str, str | None], titles: Mapping[str, str] | None = None) -> None:
    """Write the documents, replacing those that were there."""
    folder = store / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    named = titles or {}
    table = pa.table(
        {
            "doc_path": list(pages),
            "title": [named.get(name, "Guide") for name in pages],
            "text": pa.array(list(pages.values()), pa.string()),
        }
    )
    pq.write_table(table, folder / "docs.parquet")


def embeddings(**changes: Any) -> Embeddings:
    settings: dict[str, Any] = {
        "name": "docs",
        "corpus": parquet("{store}/docs/*.parquet", key="doc_path"),
        "text": "text",
        "title": "title",
        "model": MODEL,
        "dimensions": 64,
        "into": parquet_vectors("{store}/tables/docs"),
    }
    return Embeddings(**{**settings, **changes})


def published(shop: Place, spec: Embeddings) -> dict[str, dict[str, Any]]:
    """What readers see, by chunk."""
    site = shop.site()
    table = spec.into.of_version(spec.version).open(site.store, site.connections)
    columns = ("chunk", "doc_path", "heading", "text", "vector")
    return {row["chunk"]: row for batch in table.scan(columns) for row in batch.to_pylist()}
