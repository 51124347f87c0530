"""`offpeak run`, `search` and `vectors` as scripts call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.embeddings.making import corpus, page
from tests.run.making import Place
from tests.run.test_cli import offpeak

DAG_FILE = """
from offpeak import parquet
from offpeak.embeddings import Chunking, Embeddings, duckdb_vectors, parquet_vectors, postgres_vectors
from offpeak.on_airflow import workload_dag

docs = Embeddings(
    name="docs",
    corpus=parquet("{{store}}/docs/*.parquet", key="doc_path"), text="text", title="title",
    model="openai:text-embedding-3-small", dimensions={dimensions},
    into={into},
)
dag = workload_dag(docs, schedule="@daily")
"""
PAGES = {
    "saddle.md": "# Riding\n\n## Saddles\n\nA leather saddle is oiled once a year, and never put into the sun.\n",
    "lantern.md": "# Light\n\n## Lanterns\n\nA lantern burns lamp oil; trim the wick before every evening.\n",
    "kettle.md": "# Kitchen\n\n## Kettles\n\nDescale a kettle with vinegar, then boil clear water twice.\n",
    **{f"{name}.md": page(name) for name in ("alpha", "bravo", "charlie")},
}


def dag_file(place: Place, into: str, dimensions: int = 256) -> None:
    (place.folder / "docs.py").write_text(DAG_FILE.format(into=into, dimensions=dimensions))


def found(place: Place, question: str, *more: str) -> list[dict[str, str]]:
    done = offpeak(place, "search", "docs.py", question, "--store", "store", "--json", *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("parquet", marks=pytest.mark.slow),
        pytest.param("duckdb", marks=pytest.mark.slow),
        "postgres",
    ],
)
def test_a_question_finds_its_chunk_in_every_kind_of_table(
    shop: Place, kind: str, request: pytest.FixtureRequest
) -> None:
    into = {
        "parquet": 'parquet_vectors("{store}/tables/docs")',
        "duckdb": 'duckdb_vectors("{store}/warehouse.duckdb", "docs")',
        "postgres": "",
    }[kind]
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
        into = f'postgres_vectors("{url.replace("+psycopg", "")}", "docs")'
    dag_file(shop, into)
    corpus(shop.store, PAGES)
    done = offpeak(shop, "run", "docs.py", "--store", "store")
    assert done.returncode == 0, done.stderr
    assert " chunks, " in done.stderr
    hits = found(shop, "how do I descale a kettle with vinegar?", "--top", "3")
    assert [hits[0]["document"], hits[0]["heading"]] == ["kettle.md", "Guide > Kitchen > Kettles"]
    assert hits[0]["text"].endswith("boil clear water twice.")
    assert [float(hit["score"]) for hit in hits] == sorted(
        (float(hit["score"]) for hit in hits), reverse=True
    )
    assert len(hits) == 3
    shown = offpeak(shop, "search", "docs.py", "oil for a lantern", "--store", "store")
    assert "1. 0." in shown.stdout
    assert "lantern.md" in shown.stdout.split("2. ")[0]


@pytest.mark.slow
def test_a_person_goes_back_to_an_old_version_and_forward_again(shop: Place) -> None:
    into = 'parquet_vectors("{store}/tables/docs")'
    dag_file(shop, into, 256)
    corpus(shop.store, PAGES)
    assert offpeak(shop, "run", "docs.py", "--store", "store").returncode == 0
    (old,) = versions(shop)
    dag_file(shop, into, 128)
    assert offpeak(shop, "run", "docs.py", "--store", "store").returncode == 0
    assert [one["readers"] for one in versions(shop)] == [True, False]
    back = offpeak(shop, "vectors", "docs.py", "--store", "store", "--use", str(old["version"]))
    assert f"Readers now see version {old['version']}" in back.stderr
    assert "held there by --use" in back.stdout
    refused = offpeak(shop, "search", "docs.py", "a kettle", "--store", "store")
    assert refused.returncode == 2
    assert "cannot be compared" in refused.stderr
    stays = offpeak(shop, "run", "docs.py", "--store", "store", "--new")
    assert "Readers stay with version" in stays.stderr
    assert [one["readers"] for one in versions(shop)] == [False, True]
    offpeak(shop, "vectors", "docs.py", "--store", "store", "--follow")
    assert [one["readers"] for one in versions(shop)] == [True, False]
    assert found(shop, "descale a kettle")[0]["document"] == "kettle.md"


def test_searching_before_the_first_run_is_a_sentence(shop: Place) -> None:
    dag_file(shop, 'parquet_vectors("{store}/tables/docs")')
    done = offpeak(shop, "search", "docs.py", "anything", "--store", "store")
    assert done.returncode == 1
    assert "holds no vectors yet. Run its workload first" in done.stderr
    assert "Traceback" not in done.stderr


def versions(place: Place) -> list[dict[str, object]]:
    done = offpeak(place, "vectors", "docs.py", "--store", "store", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_dag_file_of_the_demo_is_short_and_loads() -> None:
    from offpeak.dag_files import load_spec
    from offpeak.embeddings import Embeddings

    file = Path(__file__).resolve().parents[2] / "dags" / "docs_embeddings.py"
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 40
    assert isinstance(load_spec(str(file)), Embeddings)
