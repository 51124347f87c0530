"""Real data through whole runs: the banking77 test tickets, and texts and files that are hostile."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, create_model

from offpeak import Prompt, Vector, jsonl, parquet, parquet_table
from offpeak.errors import InputError
from offpeak.progress import summary
from offpeak.states import RunState
from tests.run.making import MODELS, Place


def intent_model(labels: list[str]) -> type[BaseModel]:
    """An answer with one of the data set's labels."""
    return create_model("Intent", intent=(StrEnum("Label", labels), ...))


def test_every_banking77_ticket_ends_in_one_outcome_and_a_second_run_asks_nothing(
    place: Place, data_folder: Path, record_property: pytest.RecordProperty
) -> None:
    source = data_folder / "tickets" / "banking77_test.parquet"
    labels = sorted(set(pq.read_table(source, columns=["category"])["category"].to_pylist()))
    workload = place.workload(
        rows=parquet(str(source), key="ticket_id"),
        prompt=Prompt(system="What does this customer of a bank want?", user="{{ row.text }}"),
        answer=intent_model(labels),
        keep=["category"],
        shard_requests=1_000,
    )
    first = place.run(workload)
    facts = summary(place.site(), first.run_id)
    rows = place.table(first)
    assert facts["rows"] == len(rows) == 3_080
    assert facts["outcomes"] == {"answered": 3_080}
    assert facts["requests"] + facts["folded"] == 3_080
    assert place.billed() == facts["requests"]
    accuracy = sum(row["intent"] == row["category"] for row in rows) / len(rows)
    record_property("accuracy", accuracy)
    print(f"{MODELS[place.provider]}, stand-in model: accuracy {accuracy:.1%} of 3,080 over 77 labels")  # noqa: T201
    assert accuracy > 0.3  # chance is 1.3 %; the stand-in knows only the labels' names
    second = summary(place.site(), place.run(workload, hour=9).run_id)
    assert (second["requests"], second["cost_usd"]["actual"]) == (0, 0)
    assert place.billed() == facts["requests"]


def test_naughty_strings_come_back_to_the_letter(place: Place, data_folder: Path) -> None:
    source = data_folder / "robustness" / "naughty_strings.jsonl"
    given = {
        row["string_id"]: row["text"] for row in pq.read_table(source.with_suffix(".parquet")).to_pylist()
    }
    workload = place.workload(
        rows=jsonl(str(source), key="string_id"),
        prompt=Prompt(user="Ticket: {{ row.text }}"),
        answer=str,
        keep=["text"],
        max_failed=0.05,
    )
    run = place.run(workload)
    rows = place.table(run)
    assert {row["string_id"]: row["text"] for row in rows} == given
    assert sum(run.facts["outcomes"].values()) == len(given) == 388
    assert run.facts["outcomes"]["answered"] >= 0.95 * 388


def test_a_file_of_malformed_lines_is_refused_with_its_lines_named(
    openai_place: Place, data_folder: Path
) -> None:
    source = data_folder / "robustness" / "malformed_lines.jsonl"
    workload = openai_place.workload(rows=jsonl(str(source), key="ticket_id"), max_failed=0.01)
    with pytest.raises(InputError, match=r"malformed_lines\.jsonl, line 4: ") as caught:
        openai_place.run(workload)
    assert "Nothing was sent" in str(caught.value)
    assert openai_place.creates() == 0


def test_the_good_lines_of_such_a_file_are_answered_when_the_author_allows_it(
    openai_place: Place, data_folder: Path
) -> None:
    source = data_folder / "robustness" / "malformed_lines.jsonl"
    workload = openai_place.workload(rows=jsonl(str(source), key="ticket_id"), max_failed=0.3, keep=["text"])
    run = openai_place.run(workload)
    assert run.state is RunState.PUBLISHED
    assert run.facts["rows"] == 826  # 827 lines, one of them blank
    assert run.facts["outcomes"] == {"answered": 621, "errored": 205}
    assert len(openai_place.table(run)) == 621


@pytest.mark.parametrize("name", ["quotes_and_newlines", "utf8", "json"])
def test_odd_csv_files_are_asked_as_they_are(openai_place: Place, data_folder: Path, name: str) -> None:
    import json

    from offpeak import csv

    folder = data_folder / "robustness" / "csv"
    expected = json.loads((folder / f"{name}.expected.json").read_text())
    key, text = list(expected[0])[:2]
    workload = openai_place.workload(
        rows=csv(str(folder / f"{name}.csv"), key=key),
        prompt=Prompt(user="{{ row." + text + " }}"),
        answer=str,
        keep=[text],
    )
    run = openai_place.run(workload)
    assert [(row[key], row[text]) for row in openai_place.table(run)] == [
        (row[key], row[text]) for row in expected
    ]


def test_embeddings_are_published_as_float32_vectors(openai_place: Place) -> None:
    openai_place.rows(40)
    workload = openai_place.workload(
        prompt=Prompt(user="{{ row.text }}"), answer=Vector(256), model="openai:text-embedding-3-small"
    )
    run = openai_place.run(workload)
    table = pq.ParquetFile(run.facts["table"]["address"]).read()
    assert str(table.schema.field("vector").type).startswith("fixed_size_list<")
    assert table.schema.field("vector").type.list_size == 256
    lengths = [sum(x * x for x in vector) ** 0.5 for vector in table["vector"].to_pylist()]
    assert lengths == pytest.approx([1.0] * 40, abs=1e-3)


def test_the_chat_endpoint_serves_the_same_workload(openai_place: Place) -> None:
    openai_place.rows(20)
    run = openai_place.run(openai_place.workload(endpoint="chat", into=parquet_table("{store}/tables/chat")))
    assert run.facts["outcomes"] == {"answered": 20}
    (create,) = openai_place.emulator.control.creates()
    assert create.requests == 20
