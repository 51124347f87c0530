"""Cases as rows: samples that are asked each for itself, and the sample that is asked again every night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from offpeak import parquet
from offpeak.connections import EnvConnections
from offpeak.demo.eval_cases import ROWS, write
from offpeak.emulator.model import Prompt, StandIn, misreads
from offpeak.evals.cases import CaseRows
from offpeak.requests import told_apart
from offpeak.rows.source import Opening
from offpeak.store import Store
from tests.evals.making import night


def rows(folder: Path, *, on: int = 20, batch_rows: int = 8_192, **settings: int) -> list[dict[str, Any]]:
    source = CaseRows(
        cases=parquet(str(folder / "*.parquet"), key="id"), **{"samples": 1, "stability": 0, **settings}
    )
    opening = Opening(
        store=Store(str(folder)),
        connections=EnvConnections(),
        interval=night(on),
        columns=("eval_key", "eval_case", "eval_sample", "text"),
        batch_rows=batch_rows,
    )
    return [row for batch in source.batches(opening) for row in batch.records.to_pylist()]


def cases(folder: Path, count: int) -> None:
    table = pa.table(
        {"id": range(count), "text": [f"text {n}" for n in range(count)], "tags": [["a", "b"]] * count}
    )
    pq.write_table(table, folder / "cases.parquet")


def test_each_sample_is_a_row_and_the_first_is_as_if_there_were_one(tmp_path: Path) -> None:
    cases(tmp_path, 3)
    found = rows(tmp_path, samples=2)
    assert [(row["eval_key"], row["eval_sample"]) for row in found] == [
        ("0#1", ""), ("1#1", ""), ("2#1", ""), ("0#2", "2"), ("1#2", "2"), ("2#2", "2")
    ]  # fmt: skip
    assert orjson.loads(found[0]["eval_case"]) == {"id": 0, "text": "text 0", "tags": ["a", "b"]}
    assert {row["text"] for row in found} == {"text 0", "text 1", "text 2"}


def test_the_stability_sample_is_the_same_however_the_cases_are_read(tmp_path: Path) -> None:
    cases(tmp_path, 500)
    found = [row for row in rows(tmp_path, stability=20) if "night" in row["eval_key"]]
    small = [row for row in rows(tmp_path, stability=20, batch_rows=7) if "night" in row["eval_key"]]
    assert found == small
    assert len(found) == 40
    assert {row["eval_sample"] for row in found} == {"night1 2026-11-20T000000Z", "night2 2026-11-20T000000Z"}
    later = [row for row in rows(tmp_path, stability=20, on=21) if "night" in row["eval_key"]]
    assert [row["eval_key"] for row in later] == [row["eval_key"] for row in found]
    assert {row["eval_sample"] for row in later}.isdisjoint(row["eval_sample"] for row in found)


def test_a_mark_makes_another_request_and_the_same_mark_the_same() -> None:
    prints, marks = pa.array(["a", "a", "a", None, "a"]), pa.array(["", "2", "2", "2", None])
    first, second, third, none, unmarked = told_apart(prints, marks).to_pylist()
    assert (first, none, unmarked) == ("a", None, "a")
    assert second == third != "a"
    assert len(second) == 32


def test_the_samples_labels_are_in_the_cases_and_no_two_texts_are_alike(tmp_path: Path) -> None:
    write(tmp_path, 300)
    table = pq.read_table(tmp_path / ROWS)
    assert table.column_names == ["case_id", "text", "intent", "urgency"]
    assert table.num_rows == len(set(table.column("text").to_pylist())) == 300


def test_a_small_model_misreads_a_stable_share_of_texts_and_others_none() -> None:
    texts = [f"I lost my card number {number} today" for number in range(3_000)]
    wrong = [misreads(Prompt(model="gpt-5-nano", system="", user=text)) for text in texts]
    assert 0.065 < sum(wrong) / 3_000 < 0.095
    assert wrong == [misreads(Prompt(model="gpt-5-nano", system="other", user=text)) for text in texts]
    for model in ("gpt-5-mini", "gpt-5", "claude-haiku-4-5", "gpt-4o"):
        assert not any(misreads(Prompt(model=model, system="", user=text)) for text in texts)


def test_a_misread_text_still_gets_an_answer_that_keeps_to_the_schema() -> None:
    schema = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": ["card", "refund", "other"]}},
    }
    text = next(
        text
        for number in range(500)
        if misreads(
            Prompt(model="gpt-5-nano", system="", user=(text := f"Please look for the card {number}"))
        )
    )
    nano, mini = (
        orjson.loads(StandIn().answer(Prompt(model=model, system="", user=text, schema=schema)).text)
        for model in ("gpt-5-nano", "gpt-5-mini")
    )
    assert (nano, mini) == ({"kind": "other"}, {"kind": "card"})
