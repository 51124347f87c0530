"""What only a DuckDB file does."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pytest

from offpeak.connections import EnvConnections
from offpeak.errors import SpecError, TableError
from offpeak.store import Store
from offpeak.tables import OpenTable, duckdb_table
from offpeak.tables.duckdb import OpenDuckDB
from tests.tables.staging import layout, row, staged, wanted


def opened(store: Path, table: str = "tickets") -> OpenTable:
    return duckdb_table("{store}/w.duckdb", table).open(Store(str(store)), EnvConnections({}))


@contextmanager
def held_by_another_process(file: Path) -> Iterator[subprocess.Popen[str]]:
    script = f"import duckdb; c = duckdb.connect({str(file)!r}); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_file_held_by_another_process_is_told_with_the_process(tmp_path: Path) -> None:
    table = OpenDuckDB(path=tmp_path / "w.duckdb", table="tickets", patience_seconds=0.2)
    with (
        held_by_another_process(tmp_path / "w.duckdb") as process,
        pytest.raises(
            TableError, match=r"not free for 0\.2 s .*PID.* Nothing was changed.*Close the program"
        ) as told,
    ):
        table.publish(staged(tmp_path, [row("a")]))
    assert str(process.pid) in str(told.value)
    assert table.last("tickets") is None


def test_a_publish_waits_until_the_file_is_free(tmp_path: Path) -> None:
    table = OpenDuckDB(path=tmp_path / "w.duckdb", table="tickets", patience_seconds=60)
    with held_by_another_process(tmp_path / "w.duckdb") as process:
        publishing = threading.Thread(target=table.publish, args=[staged(tmp_path, [row("a")])])
        publishing.start()
        process.kill()
        publishing.join(60)
    found = table.last("tickets")
    assert found is not None
    assert found.row_count == 1


def test_a_reader_in_this_process_does_not_stop_a_look(tmp_path: Path) -> None:
    table = opened(tmp_path)
    published = table.publish(staged(tmp_path, [row("a")]))
    with duckdb.connect(tmp_path / "w.duckdb"):
        assert table.last("tickets") == published
        assert table.answered(wanted(tmp_path, ["fp-a"]), layout(), tmp_path / "out.parquet") == 1


def test_readers_that_open_and_close_the_file_in_this_process_only_make_it_wait(tmp_path: Path) -> None:
    table = opened(tmp_path)
    published = table.publish(staged(tmp_path, [row("a")]))
    done = threading.Event()

    def open_and_close() -> None:
        while not done.is_set():
            with suppress(duckdb.OperationalError), duckdb.connect(tmp_path / "w.duckdb") as connection:
                connection.execute("SELECT count(*) FROM tickets").fetchall()

    readers = [threading.Thread(target=open_and_close) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        assert {table.last("tickets") for _ in range(100)} == {published}
    finally:
        done.set()
        for reader in readers:
            reader.join()


def test_two_tables_and_workloads_share_a_file(tmp_path: Path) -> None:
    first = opened(tmp_path, "tickets").publish(staged(tmp_path, [row("a")]))
    second = opened(tmp_path, "bank.digests").publish(staged(tmp_path, [row("b")], workload="digests"))
    assert opened(tmp_path, "tickets").last("tickets") == first
    assert opened(tmp_path, "bank.digests").last("digests") == second
    assert second.address == f"{tmp_path / 'w.duckdb'}#bank.digests"


def test_a_dropped_table_is_published_again_by_the_same_run(tmp_path: Path) -> None:
    table = opened(tmp_path)
    table.publish(staged(tmp_path, [row("a")]))
    with duckdb.connect(tmp_path / "w.duckdb") as connection:
        connection.execute("DROP TABLE tickets")
    assert table.last("tickets") is None
    table.publish(staged(tmp_path, [row("a")]))
    assert table.head(1).column("ticket_id").to_pylist() == ["a"]


def test_a_table_without_a_unique_key_is_refused(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "w.duckdb") as connection:
        connection.execute("CREATE TABLE tickets (ticket_id VARCHAR)")
    with pytest.raises(
        TableError, match=r'no primary key or unique index on "ticket_id".*CREATE UNIQUE INDEX'
    ):
        opened(tmp_path).publish(staged(tmp_path, [row("a")]))
    with duckdb.connect(tmp_path / "w.duckdb") as connection:
        connection.execute("CREATE UNIQUE INDEX by_ticket ON tickets (ticket_id)")
    assert opened(tmp_path).publish(staged(tmp_path, [row("a")])).row_count == 1


def test_the_file_is_found_through_a_connection(tmp_path: Path) -> None:
    file = tmp_path / "c.duckdb"
    env = {"AIRFLOW_CONN_WAREHOUSE": f'{{"conn_type": "duckdb", "host": "{file}"}}'}
    duckdb_table("warehouse", "t").open(Store(str(tmp_path)), EnvConnections(env)).publish(
        staged(tmp_path, [row("a")])
    )
    assert file.exists()
    with pytest.raises(SpecError, match=r"'elsewhere' for a DuckDB table does not exist.*whose host is"):
        duckdb_table("elsewhere", "t").open(Store(str(tmp_path)), EnvConnections(env))


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.duckdb").write_text("hello" * 1000)
    with pytest.raises(TableError, match="not a valid DuckDB database file"):
        opened(tmp_path).last("tickets")


@pytest.mark.parametrize(
    ("database", "table"), [("", "t"), (":memory:", "t"), ("w.db", ""), ("w.db", "a.b.c")]
)
def test_a_database_or_table_that_cannot_be_is_refused_when_the_file_is_parsed(
    database: str, table: str
) -> None:
    with pytest.raises(SpecError):
        duckdb_table(database, table)


def test_names_and_types_that_duckdb_lacks_are_problems() -> None:
    table = duckdb_table("w.db", "t")
    types = {"rowid": "int64", "a": "list<item: duration[s]>", "duration": "string"}
    assert [text.split(",")[0] for text in table.problems(types)] == [
        "The column 'rowid' is DuckDB's own name for a row's place. Rename the column.",
        "The column 'a' is list<item: duration[s]>",
    ]
