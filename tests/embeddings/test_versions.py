"""What a table of vectors does besides: deletes disappear, versions stand side by side, readers move in one step."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak.embeddings import duckdb_vectors, parquet_vectors, postgres_vectors
from offpeak.embeddings.versions import OpenVectors
from offpeak.errors import SpecError, TableError
from offpeak.tables import Layout, Staged
from tests.embeddings.conftest import Place
from tests.embeddings.reading import parquet_rows
from tests.tables.staging import MORNING, PRICE, carried, layout, row, staged, wanted

SIZE = 8


def vectors_of(size: int = SIZE) -> Layout:
    return layout({"vector": pa.list_(pa.float32(), size)})


def unit(at: int, size: int = SIZE) -> list[float]:
    return [1.0 if place == at else 0.0 for place in range(size)]


def publish(table: OpenVectors, folder: Path, ats: dict[str, int], *, run: str, size: int = SIZE) -> Staged:
    """Publish one row for each name, its vector the unit vector at a place."""
    rows = [row(name, run=run, vector=unit(at, size)) for name, at in ats.items()]
    for each in rows:
        del each["intent"]
    made = staged(folder, rows, run=run, of=vectors_of(size), hour=int(run.rpartition("-")[2]))
    table.publish(made)
    return made


def names(table: OpenVectors) -> list[str]:
    return [one.name for one in table.versions()]


def test_rows_that_the_run_does_not_have_disappear_for_readers(place: Place, tmp_path: Path) -> None:
    publish(place.open("a"), tmp_path, {"x": 0, "y": 1}, run="run-1")
    publish(place.open("a"), tmp_path, {"y": 1, "z": 2}, run="run-2")
    assert sorted(place.rows()) == ["y", "z"]
    assert place.rows()["y"]["_run"] in ("run-1", "run-2")
    assert names(place.open("a")) == ["a"]


def test_another_version_stands_beside_the_old_and_readers_see_the_new(place: Place, tmp_path: Path) -> None:
    publish(place.open("a"), tmp_path, {"x": 0}, run="run-1")
    publish(place.open("b"), tmp_path, {"x": 0, "y": 1}, run="run-2", size=16)
    assert sorted(place.rows()) == ["x", "y"]
    table = place.open("b")
    assert [(one.name, one.current, one.row_count) for one in table.versions()] == [
        ("b", True, 2),
        ("a", False, 1),
    ]
    last = table.last("tickets")
    assert last is not None
    assert last.run_id == "run-2"


def test_going_back_is_one_step_and_holds_until_readers_follow_again(place: Place, tmp_path: Path) -> None:
    publish(place.open("a"), tmp_path, {"x": 0}, run="run-1")
    publish(place.open("b"), tmp_path, {"y": 1}, run="run-2", size=16)
    table = place.open("b")
    assert table.use("a").pinned
    assert list(place.rows()) == ["x"]
    publish(table, tmp_path, {"z": 3}, run="run-3", size=16)
    assert list(place.rows()) == ["x"]
    publish(place.open("a"), tmp_path, {"w": 4}, run="run-4")
    assert list(place.rows()) == ["w"]
    assert not table.use(None).pinned
    publish(table, tmp_path, {"v": 5}, run="run-5", size=16)
    assert list(place.rows()) == ["v"]


def test_an_unknown_version_is_refused_with_those_that_there_are(place: Place, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no vectors yet"):
        place.open("a").use("zzz")
    publish(place.open("a"), tmp_path, {"x": 0}, run="run-1")
    with pytest.raises(TableError, match=r"no version 'zzz'; nothing was changed. It has: a\."):
        place.open("a").use("zzz")
    assert list(place.rows()) == ["x"]


def test_only_so_many_versions_are_kept_and_never_is_the_readers_removed(
    place: Place, tmp_path: Path
) -> None:
    publish(place.open("a"), tmp_path, {"x": 0}, run="run-1")
    publish(place.open("b"), tmp_path, {"x": 0}, run="run-2")
    place.open("b").use("a")
    publish(place.open("c"), tmp_path, {"x": 0}, run="run-3")
    publish(place.open("d"), tmp_path, {"x": 0}, run="run-4")
    assert sorted(names(place.open("d"))) == ["a", "c", "d"]
    place.open("d").use(None)
    publish(place.open("e"), tmp_path, {"x": 0}, run="run-5")
    assert names(place.open("e")) == ["e", "d"]
    assert list(place.rows()) == ["x"]
    if place.kind == "parquet":
        kept = {file.parent.name for file in Path(place.store.root).rglob("*.parquet")}
        publish(place.open("e"), tmp_path, {"x": 0}, run="run-6")
        kept = {file.parent.name for file in Path(place.store.root).rglob("*.parquet")}
        assert kept == {"version=e", "version=d"}


def test_a_version_takes_over_the_vectors_that_another_has_for_the_same_request(
    place: Place, tmp_path: Path
) -> None:
    publish(place.open("a"), tmp_path, {"x": 0, "y": 1}, run="run-1")
    into = tmp_path / "carry.parquet"
    count = place.open("b").answered(wanted(tmp_path, ["fp-x", "fp-z"]), vectors_of(), into)
    assert (count, pq.read_table(into)["vector"].to_pylist()) == (1, [unit(0)])
    publish(place.open("b"), tmp_path, {"x": 3, "z": 2}, run="run-2")
    rows = [{**row("q", run="run-0", _fingerprint="fp-x", _answered_at=MORNING - timedelta(days=1))}]
    del rows[0]["intent"]
    rows[0]["vector"] = unit(7)
    place.open("b").publish(staged(tmp_path, [*rows], run="run-3", of=vectors_of(), hour=3))
    count = place.open("b").answered(wanted(tmp_path, ["fp-x", "fp-y"]), vectors_of(), into)
    found = {one["_fingerprint"]: one["vector"] for one in pq.read_table(into).to_pylist()}
    assert (count, found) == (2, {"fp-x": unit(0), "fp-y": unit(1)})  # the latest answer of all versions


def test_a_run_published_before_a_later_one_moves_no_reader_back(place: Place, tmp_path: Path) -> None:
    first = publish(place.open("a"), tmp_path, {"x": 0}, run="run-1")
    publish(place.open("a"), tmp_path, {"y": 1}, run="run-2")
    place.open("a").publish(first)
    assert list(place.rows()) == ["y"]


def test_carried_rows_keep_what_they_cost(place: Place, tmp_path: Path) -> None:
    publish(place.open("a"), tmp_path, {"x": 0, "y": 1}, run="run-1")
    rows = [
        {**carried("x", run="run-1"), "vector": unit(0)},
        {**row("z", run="run-2"), "vector": unit(2)},
    ]
    for each in rows:
        del each["intent"]
    place.open("a").publish(staged(tmp_path, rows, run="run-2", of=vectors_of(), hour=9))
    assert sum(Decimal(each["_cost_usd"]) for each in place.read()) == 2 * PRICE


def test_the_vectors_of_another_workload_are_not_replaced(place: Place, tmp_path: Path) -> None:
    publish(place.open("a"), tmp_path, {"x": 0}, run="run-1")
    made = staged(tmp_path, [row("y")], run="run-9", workload="others")
    with pytest.raises(
        TableError, match=r"holds the vectors of the workload 'tickets'; 'others' would replace"
    ):
        place.open("b").publish(made)
    assert list(place.rows()) == ["x"]


def test_the_nearest_rows_come_in_order_with_their_similarity(place: Place, tmp_path: Path) -> None:
    publish(place.open("a"), tmp_path, {"x": 0, "y": 1, "z": 2}, run="run-1")
    question = [0.8, 0.6, *[0.0] * (SIZE - 2)]
    hits = place.open("a").nearest(question, top=2, columns=("ticket_id",))
    assert [hit.row["ticket_id"] for hit in hits] == ["x", "y"]
    assert [hit.score for hit in hits] == pytest.approx([0.8, 0.6], abs=1e-6)
    with pytest.raises(TableError, match="no version"):
        place.open("a").nearest(question, top=2, columns=("ticket_id",), version="zzz")


def test_scan_gives_what_readers_see(place: Place, tmp_path: Path) -> None:
    assert list(place.open("a").scan(("ticket_id", "vector"))) == []
    publish(place.open("a"), tmp_path, {"x": 0, "y": 1}, run="run-1")
    publish(place.open("b"), tmp_path, {"z": 2}, run="run-2")
    seen = [one for batch in place.open("b").scan(("ticket_id", "vector")) for one in batch.to_pylist()]
    assert seen == [{"ticket_id": "z", "vector": unit(2)}]
    old = [one for batch in place.open("b").scan(("ticket_id",), "a") for one in batch.to_pylist()]
    assert sorted(one["ticket_id"] for one in old) == ["x", "y"]


def test_pgvector_gets_its_own_type_and_an_index(pgvector_url: str, tmp_path: Path) -> None:
    from offpeak.connections import EnvConnections
    from offpeak.store import Store

    table = (
        postgres_vectors(pgvector_url, "tickets")
        .of_version("a")
        .open(Store(str(tmp_path)), EnvConnections({}))
    )
    publish(table, tmp_path, {"x": 0, "y": 1}, run="run-1")
    with psycopg.connect(pgvector_url.replace("+psycopg", "")) as session:
        kind = session.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'tickets__a'::regclass AND attname = 'vector'"
        ).fetchone()
        index = session.execute("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchone()
    assert kind == (f"vector({SIZE})",)
    assert index is not None
    assert "vector_cosine_ops" in index[0]


def test_without_pgvector_the_log_says_so(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from offpeak.connections import EnvConnections
    from offpeak.store import Store

    table = (
        postgres_vectors(postgres_url, "tickets")
        .of_version("a")
        .open(Store(str(tmp_path)), EnvConnections({}))
    )
    publish(table, tmp_path, {"x": 0}, run="run-1")
    if "without pgvector" not in caplog.text:
        pytest.skip("this Postgres has pgvector")
    assert "kept as real[] and searched exactly" in caplog.text


@pytest.mark.parametrize("make", [parquet_vectors, duckdb_vectors, postgres_vectors])
def test_what_cannot_be_kept_is_refused_when_it_is_written_down(make: object) -> None:
    arguments = ("{store}/v",) if make is parquet_vectors else ("{store}/v.duckdb", "docs")
    if make is postgres_vectors:
        arguments = ("warehouse", "docs")
    assert callable(make)
    with pytest.raises(SpecError, match="keep=0"):
        make(*arguments, keep=0)


def test_a_long_name_leaves_room_for_the_version() -> None:
    with pytest.raises(SpecError, match="leave room for a version"):
        postgres_vectors("warehouse", "d" * 50)


def test_a_crash_between_the_file_and_the_pointer_leaves_readers_where_they_were(tmp_path: Path) -> None:
    from offpeak.connections import EnvConnections
    from offpeak.store import Store

    folder = tmp_path / "v"
    table = parquet_vectors(str(folder)).of_version("a").open(Store(str(tmp_path)), EnvConnections({}))
    publish(table, tmp_path, {"x": 0}, run="run-1")
    pointer = (folder / "_current.json").read_bytes()
    publish(table, tmp_path, {"y": 1}, run="run-2")
    (folder / "_current.json").write_bytes(
        pointer
    )  # as it stands when the second publish died before its last step
    assert [row["ticket_id"] for row in parquet_rows(folder)] == ["x"]
    publish(table, tmp_path, {"y": 1}, run="run-2")
    assert [row["ticket_id"] for row in parquet_rows(folder)] == ["y"]


def test_the_file_that_a_reader_is_in_outlives_the_next_publish(tmp_path: Path) -> None:
    from offpeak.connections import EnvConnections
    from offpeak.store import Store

    folder = tmp_path / "v"
    table = parquet_vectors(str(folder)).of_version("a").open(Store(str(tmp_path)), EnvConnections({}))
    publish(table, tmp_path, {"x": 0}, run="run-1")
    (first,) = folder.rglob("*.parquet")
    publish(table, tmp_path, {"y": 1}, run="run-2")
    assert first.exists()
    publish(table, tmp_path, {"z": 2}, run="run-3")
    assert not first.exists()


def test_a_pointer_that_cannot_be_read_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    from offpeak.connections import EnvConnections
    from offpeak.store import Store

    folder = tmp_path / "v"
    table = parquet_vectors(str(folder)).of_version("a").open(Store(str(tmp_path)), EnvConnections({}))
    publish(table, tmp_path, {"x": 0}, run="run-1")
    (folder / "_current.json").write_text("{")
    with pytest.raises(TableError, match=r"cannot be read .* Restore the file from a backup"):
        table.versions()
