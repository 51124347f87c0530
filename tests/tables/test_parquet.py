"""What only a folder of Parquet files does."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak.connections import EnvConnections
from offpeak.errors import SpecError, TableError
from offpeak.store import Store
from offpeak.tables import OpenTable, parquet_table
from tests.tables.staging import MORNING, carried, layout, row, staged, wanted

FILE = "interval=2026-11-22T080000Z/answers.parquet"


def opened(store: Path | str, address: str = "{store}/t") -> OpenTable:
    return parquet_table(address).open(Store(str(store)), EnvConnections({}))


def test_a_partition_says_who_published_it_and_so_does_the_pointer(tmp_path: Path) -> None:
    published = opened(tmp_path).publish(staged(tmp_path, [row("a")]))
    said = json.loads(pq.read_schema(tmp_path / "t" / FILE).metadata[b"offpeak.publish"])
    pointer = json.loads((tmp_path / "t" / "_latest.json").read_text())
    assert said == {
        "workload": "tickets",
        "run_id": "run-1",
        "published_at": published.published_at.isoformat(),
        "row_count": 1,
        "key": "ticket_id",
    }
    assert pointer == {"partition": FILE, **said}
    assert published.address == str(tmp_path / "t" / FILE)


def test_a_crash_before_the_pointer_is_healed_by_publishing_again(tmp_path: Path) -> None:
    table = opened(tmp_path)
    table.publish(staged(tmp_path, [row("a")]))
    pointer = tmp_path / "t" / "_latest.json"
    stale = pointer.read_bytes()
    second = staged(tmp_path, [row("b", run="run-2")], run="run-2", hour=9)
    published = table.publish(second)
    fresh = pointer.read_bytes()
    pointer.write_bytes(stale)
    assert table.last("tickets") == published
    assert table.publish(second) == published
    assert pointer.read_bytes() == fresh
    pointer.write_text("{not json")
    assert table.last("tickets") == published
    assert table.publish(second) == published
    assert pointer.read_bytes() == fresh


def test_publishing_an_older_run_again_does_not_turn_the_pointer_back(tmp_path: Path) -> None:
    table = opened(tmp_path)
    first = staged(tmp_path, [row("a")])
    table.publish(first)
    second = table.publish(staged(tmp_path, [row("b", run="run-2")], run="run-2", hour=9))
    table.publish(first)
    assert table.last("tickets") == second


def test_files_of_other_origin_are_neither_read_nor_replaced(tmp_path: Path) -> None:
    table = opened(tmp_path)
    table.publish(staged(tmp_path, [row("a")]))
    for name, content in {"notes.txt": b"hello", "interval=x/answers.parquet": b"PAR1 not really"}.items():
        path = tmp_path / "t" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    other = tmp_path / "t" / "interval=2026-11-22T090000Z" / "answers.parquet"
    other.parent.mkdir()
    pq.write_table(pa.table({"_fingerprint": ["fp-a"], "_outcome": ["answered"]}), other)
    assert table.answered(wanted(tmp_path, ["fp-a"]), layout(), tmp_path / "out.parquet") == 1
    assert table.last("tickets") is not None
    with pytest.raises(TableError, match=r"was not written by Offpeak.*nothing was published.*Move it away"):
        table.publish(staged(tmp_path, [row("b")], run="run-2", hour=9))
    assert pq.read_table(other).num_rows == 1


def test_another_workloads_folder_is_refused(tmp_path: Path) -> None:
    table = opened(tmp_path)
    table.publish(staged(tmp_path, [row("a")]))
    with pytest.raises(TableError, match=r"workload 'tickets'.*'digest' would replace.*a folder of its own"):
        table.publish(staged(tmp_path, [row("b")], run="run-2", hour=9, workload="digest"))


def test_a_remote_folder_works_like_a_local_one(tmp_path: Path) -> None:
    table = opened(tmp_path, f"memory://bucket/{tmp_path.name}/t")
    table.publish(staged(tmp_path, [row("a"), row("b", None, _outcome="refused")]))
    edition = staged(tmp_path, [carried("a"), row("b", run="run-2")], run="run-2")
    published = table.publish(edition)
    assert table.publish(edition) == published == table.last("tickets")
    assert table.answered(wanted(tmp_path, ["fp-a", "fp-b"]), layout(), tmp_path / "out.parquet") == 2
    assert table.head(5).column("_run").to_pylist() == ["run-1", "run-2"]


def test_a_folder_with_wildcards_in_its_name_is_read_literally(tmp_path: Path) -> None:
    store = tmp_path / "a[1]*"
    table = opened(store)
    table.publish(staged(tmp_path, [row("a")]))
    assert table.answered(wanted(tmp_path, ["fp-a"]), layout(), tmp_path / "out.parquet") == 1


def test_a_failing_disk_is_told_with_what_readers_see(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a file where the folder should be")
    with pytest.raises(TableError, match=r"could not be published; readers keep what they had.*run the step"):
        opened(tmp_path).publish(staged(tmp_path, [row("a")]))


@pytest.mark.parametrize("address", ["", "{store}/*/t", "{store}/t.parquet"])
def test_an_address_that_is_no_folder_is_refused_when_the_file_is_parsed(address: str) -> None:
    with pytest.raises(SpecError, match="folder"):
        parquet_table(address)


def test_columns_that_readers_cannot_tell_apart_are_problems() -> None:
    found = parquet_table("{store}/t").problems(
        {"id": "string", "Intent": "string", "intent": "string", "interval": "int64"}
    )
    assert [text.split(".")[0] for text in found] == [
        "The columns 'Intent' and 'intent' differ only in case, and most readers take them for one",
        "The column 'interval' is the name of the partitions, which readers see as a column",
    ]


@pytest.mark.parametrize("seed", range(6))
def test_the_latest_answer_is_found_in_whichever_partition_it_is(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    table = opened(tmp_path)
    known: dict[str, list[tuple[datetime, str]]] = {}
    hours = chance.sample(range(24), 5)  # backfills: not in the order of their intervals
    for number, hour in enumerate(hours):
        rows = []
        for place in range(40):
            fingerprint = f"fp-{chance.randrange(30)}"
            when = MORNING - timedelta(hours=chance.randrange(300))
            answered = chance.random() < 0.8
            answer = f"{number} {place}"
            outcome = {} if answered else {"_outcome": "refused"}
            rows.append(row(f"k{place}", answer, _fingerprint=fingerprint, _answered_at=when, **outcome))
            if answered:
                known.setdefault(fingerprint, []).append((when, answer))
        table.publish(staged(tmp_path, rows, run=f"run-{number}", hour=hour))
    asked = [f"fp-{number}" for number in range(0, 40, 2)]
    into = tmp_path / "carry.parquet"
    count = table.answered(wanted(tmp_path, asked), layout(), into)
    found = {
        one["_fingerprint"]: (one["_answered_at"], one["intent"]) for one in pq.read_table(into).to_pylist()
    }
    assert count == len(found) == len(known.keys() & set(asked))
    for fingerprint, (when, answer) in found.items():
        assert when == max(known[fingerprint])[0]
        assert (when, answer) in known[fingerprint]
