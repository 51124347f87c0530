"""Nights through the library against the emulator: what is asked, what readers see, what stops a publish."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from offpeak import parquet
from offpeak.embeddings import Chunking, Embeddings, VectorChecks, duckdb_vectors, parquet_vectors
from offpeak.embeddings.chunking import chunks
from offpeak.errors import GateRefused, InputError, SpecError
from offpeak.ledger import Run
from offpeak.pipeline import Finishing
from offpeak.site import Site
from offpeak.states import RunState
from tests.embeddings.making import corpus, embeddings, page, published
from tests.run.making import Place, hourly

PAGES = {
    f"{name}.md": page(name) for name in ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf")
}
"""35 chunks, so that neighbourhoods are compared."""


def asked(run: Run) -> tuple[int, int]:
    return int(run.facts["requests"]), int(run.facts["carried"])


def test_a_second_night_embeds_the_edited_chunk_and_nothing_else(shop: Place) -> None:
    corpus(shop.store, PAGES)
    spec = embeddings()
    first = shop.run(spec.workload, hour=1)
    chunks_before = published(shop, spec)
    assert asked(first) == (len(chunks_before), 0) == (35, 0)
    edited = {**PAGES, "alpha.md": PAGES["alpha.md"].replace("All about alpha", "Everything about alpha")}
    moved = {("moved/bravo.md" if name == "bravo.md" else name): text for name, text in edited.items()}
    del moved["golf.md"]
    corpus(shop.store, moved)
    second = shop.run(spec.workload, hour=2)
    after = published(shop, spec)
    assert asked(second) == (1, 29)
    assert {row["doc_path"] for row in after.values()} == set(moved)
    old = {row["text"]: row["vector"] for row in chunks_before.values() if row["doc_path"] == "bravo.md"}
    new = {row["text"]: row["vector"] for row in after.values() if row["doc_path"] == "moved/bravo.md"}
    assert new == old
    assert shop.billed() == 36
    third = shop.run(spec.workload, hour=3)
    assert (asked(third), shop.billed()) == ((0, 30), 36)


def test_a_page_with_another_title_is_embedded_again_unless_headings_are_left_out(shop: Place) -> None:
    corpus(shop.store, PAGES)
    for headings, wanted in ((True, 5), (False, 0)):
        spec = embeddings(name=f"docs_{headings}".lower(), chunking=Chunking(headings=headings))
        spec = embeddings(
            name=spec.name, chunking=spec.chunking, into=parquet_vectors("{store}/tables/" + spec.name)
        )
        corpus(shop.store, PAGES)
        shop.run(spec.workload, hour=1)
        corpus(shop.store, PAGES, titles={"alpha.md": "Handbook"})
        assert asked(shop.run(spec.workload, hour=2))[0] == wanted


def test_another_model_is_a_new_version_and_other_chunking_keeps_equal_texts(shop: Place) -> None:
    corpus(shop.store, PAGES)
    into = duckdb_vectors("{store}/w.duckdb", "docs")
    first = embeddings(into=into)
    shop.run(first.workload, hour=1)
    other = embeddings(into=into, dimensions=128)
    assert asked(shop.run(other.workload, hour=2)) == (35, 0)
    assert len(next(iter(published(shop, other).values()))["vector"]) == 128
    recut = embeddings(into=into, chunking=Chunking(max_tokens=500))
    assert len({first.version, other.version, recut.version}) == 3
    assert asked(shop.run(recut.workload, hour=3)) == (0, 35)
    names = [one.name for one in _table(shop.site(), recut).versions()]
    assert names == [recut.version, other.version]


def test_the_last_step_says_what_was_embedded_and_kept(shop: Place) -> None:
    corpus(shop.store, PAGES)
    spec = embeddings()
    run = shop.run(spec.workload, hour=1)
    site = shop.site()
    done = spec.pipeline.finish(Finishing(site=site, interval=hourly(1), runs={spec.name: run}))
    assert dict(done.facts) == {
        "chunks": 35,
        "embedded": 35,
        "kept": 0,
        "folded": 0,
        "version": spec.version,
        "readers": spec.version,
        "versions": [spec.version],
    }
    assert "35 chunks, 35 embedded, 0 kept" in done.said[0]


def test_a_document_without_text_is_a_dead_letter_and_the_others_go_on(shop: Place) -> None:
    corpus(shop.store, {**PAGES, "broken.md": None, "empty.md": " \n"})
    run = shop.run(embeddings(max_failed=0.1).workload, hour=1)
    assert run.facts["outcomes"] == {"answered": 35, "errored": 1}
    letters = pq.read_table(shop.store / run.facts["folder"] / "dead_letters.parquet").to_pylist()
    assert "'broken.md' has no text: text is null" in letters[0]["reason"]


def test_a_text_column_of_numbers_is_refused_before_anything_is_sent(shop: Place) -> None:
    import pyarrow as pa

    (shop.store / "docs").mkdir(parents=True)
    pq.write_table(
        pa.table({"doc_path": ["a"], "title": ["A"], "text": [1]}), shop.store / "docs" / "d.parquet"
    )
    with pytest.raises(InputError, match=r"'text' is int64, and a document is text\. Nothing was sent"):
        shop.run(embeddings().workload, hour=1)


def test_losing_most_of_the_corpus_keeps_readers_on_what_they_have(shop: Place) -> None:
    corpus(shop.store, PAGES)
    spec = embeddings()
    shop.run(spec.workload, hour=1)
    for left in ({"alpha.md": PAGES["alpha.md"]}, {}):
        corpus(shop.store, left)
        with pytest.raises(GateRefused, match="max_lost"):
            shop.run(spec.workload, hour=2 + len(left))
        assert len(published(shop, spec)) == 35


def test_golden_questions_must_find_their_documents_and_are_asked_once(shop: Place) -> None:
    corpus(shop.store, PAGES)
    right = {f"All about {name}": f"{name}.md" for name in ("alpha", "bravo", "echo")}
    spec = embeddings(golden=right, dimensions=512)
    run = shop.run(spec.workload, hour=1)
    measured = run.facts["measured"]["golden"]
    assert (measured["questions"], measured["asked"], measured["recall"]) == (3, 3, 1.0)
    assert float(measured["cost_usd"]) > 0
    realtime = [one for one in shop.site().ledger.spent(workload="docs") if one.route == "realtime"]
    assert sum(one.requests for one in realtime) == 3
    assert shop.run(spec.workload, hour=2).facts["measured"]["golden"]["asked"] == 0
    wrong = embeddings(golden=dict.fromkeys(right, "nowhere.md"), dimensions=512)
    with pytest.raises(GateRefused, match=r"the mean of found is at least 0\.8"):
        shop.run(wrong.workload, hour=3)
    assert len(published(shop, spec)) == 35
    lenient = embeddings(
        golden=dict.fromkeys(right, "nowhere.md"), checks=VectorChecks(recall=0), dimensions=512
    )
    assert shop.run(lenient.workload, hour=4).facts["measured"]["golden"]["recall"] == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dimensions": 0}, "dimensions=0: give the length"),
        ({"into": "table"}, "give parquet_vectors"),
        ({"text": ""}, "name the column that holds the document"),
        ({"chunking": 400}, r"give Chunking\("),
        ({"golden": {" ": "a"}}, "give a question and the key"),
        ({"corpus": parquet("{store}/x.parquet", key="chunk")}, "rename it in the source"),
        ({"keep": ["heading"]}, "rename it in the source"),
        ({"keep": ["doc_path"]}, "published anyway"),
        ({"model": "gpt"}, "provider:model"),
        ({"dimensions": 5_000}, "1536"),
    ],
)
def test_a_mistake_is_told_when_the_file_is_parsed(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        embeddings(**changes)


def test_kept_columns_of_a_document_stand_with_each_of_its_chunks(shop: Place) -> None:
    corpus(shop.store, PAGES, titles={"alpha.md": "First"})
    spec = embeddings(keep=["title"])
    run = shop.run(spec.workload, hour=1)
    assert run.state is RunState.PUBLISHED
    titles = Counter((row["doc_path"], row["title"]) for row in shop.table(run))
    assert titles["alpha.md", "First"] == 5
    assert titles["echo.md", "Guide"] == 5


def test_three_releases_of_real_docs_embed_new_text_only(
    shop: Place, data_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    spec = Embeddings(
        name="dlt",
        corpus=parquet("{store}/docs/*.parquet", key="doc_path"),
        text="text",
        title="title",
        model="openai:text-embedding-3-small",
        dimensions=256,
        into=parquet_vectors("{store}/tables/dlt"),
    )
    known: dict[str, int] = {}
    for number, (share_of_documents, most) in {1: (1.0, 1.0), 2: (0.26, 0.07), 3: (0.42, 0.09)}.items():
        source = data_folder / "docs" / f"dlt_docs_v{number}.parquet"
        (shop.store / "docs").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, shop.store / "docs" / "docs.parquet")
        pages = pq.read_table(source).to_pylist()
        now = {
            chunk.passage: len(chunk.passage.encode())
            for one in pages
            for chunk in chunks(one["text"], one["doc_path"], one["title"] or "", spec.chunking)
        }
        run = shop.run(spec.workload, hour=number)
        new = {text: size for text, size in now.items() if text not in known}
        share = sum(new.values()) / sum(now.values())
        assert int(run.facts["requests"]) == len(new)
        assert share <= most
        seen = published(shop, spec)
        assert {row["doc_path"] for row in seen.values()} == {
            one["doc_path"] for one in pages if one["text"].strip()
        }
        told = f"v{number}: {len(seen):,} chunks, {len(new):,} embedded, {share:.1%} of the bytes"
        record_property(f"v{number}", told)
        print(f"{told}; the documents that changed are {share_of_documents:.0%}")  # noqa: T201
        known = now
    _moves_cost_nothing(data_folder, spec.chunking)


def _moves_cost_nothing(data_folder: Path, chunking: Chunking) -> None:
    """Of the true list of changes: every moved page says word for word what it said before."""
    with (data_folder / "docs" / "dlt_docs_changes.csv").open(encoding="utf-8") as file:
        moves = [row for row in csv.DictReader(file) if row["status"] == "moved"]
    two, three = (
        {row["doc_path"]: row for row in pq.read_table(data_folder / "docs" / name).to_pylist()}
        for name in ("dlt_docs_v2.parquet", "dlt_docs_v3.parquet")
    )
    assert len(moves) == 19
    for move in moves:
        old, new = two[move["old_path"]], three[move["doc_path"]]
        was = [one.passage for one in chunks(old["text"], "a", old["title"] or "", chunking)]
        assert [one.passage for one in chunks(new["text"], "b", new["title"] or "", chunking)] == was


def _table(site: Site, spec: Embeddings) -> Any:
    return spec.into.of_version(spec.version).open(site.store, site.connections)
