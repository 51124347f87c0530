"""The demo's corpus on its two nights, with the DAG file that reads it."""

from __future__ import annotations

from pathlib import Path

from offpeak.dag_files import load_spec
from offpeak.demo import docs_corpus
from offpeak.embeddings import Embeddings
from offpeak.states import RunState
from tests.embeddings.making import published
from tests.run.making import Place

DAG_FILE = Path(__file__).resolve().parents[2] / "dags" / "docs_embeddings.py"


def test_the_second_night_of_the_demo_embeds_the_edit_and_the_new_page(shop: Place) -> None:
    spec = load_spec(str(DAG_FILE))
    assert isinstance(spec, Embeddings)
    docs_corpus.write(shop.store)
    first = shop.run(spec.workload, hour=1)
    assert first.state is RunState.PUBLISHED
    assert first.facts["measured"]["golden"]["recall"] == 1.0
    docs_corpus.change(shop.store)
    docs_corpus.change(shop.store)
    second = shop.run(spec.workload, hour=2)
    assert 0 < second.facts["requests"] <= 5
    assert second.facts["carried"] > 100
    documents = {row["doc_path"] for row in published(shop, spec).values()}
    assert {docs_corpus.EDITED, docs_corpus.MOVED_TO, docs_corpus.ADDED} <= documents
    assert not {docs_corpus.MOVED, docs_corpus.DELETED} & documents
