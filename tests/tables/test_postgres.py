"""What only a Postgres table does."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from offpeak.connections import EnvConnections
from offpeak.errors import SpecError, TableError
from offpeak.store import Store
from offpeak.tables import OpenTable, postgres_table
from tests.tables.staging import layout, many, row, staged, wanted


def opened(url: str, table: str = "tickets") -> OpenTable:
    return postgres_table(url, table).open(Store("unused"), EnvConnections({}))


def run_sql(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_columns_have_postgres_own_types(postgres_url: str, tmp_path: Path) -> None:
    of = layout(
        {
            "tags": pa.list_(pa.string()),
            "more": pa.struct([("a", pa.int64())]),
            "v": pa.list_(pa.float32(), 2),
        }
    )
    opened(postgres_url, "bank.Tickets").publish(staged(tmp_path, [], of=of))
    found = run_sql(
        postgres_url,
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'bank.\"Tickets\"'::regclass AND attnum > 0 ORDER BY attnum",
    )
    assert dict(found) == {  # type: ignore[arg-type]
        "ticket_id": "text",
        "text": "text",
        "tags": "text[]",
        "more": "jsonb",
        "v": "real[]",
        "_fingerprint": "text",
        "_model": "text",
        "_run": "text",
        "_outcome": "text",
        "_input_tokens": "bigint",
        "_output_tokens": "bigint",
        "_cost_usd": "numeric(18,9)",
        "_answered_at": "timestamp with time zone",
    }


def test_a_nul_in_a_text_is_replaced_and_counted_in_the_log(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of = layout(
        {"intent": pa.string(), "more": pa.struct([("a", pa.string())]), "tags": pa.list_(pa.string())}
    )
    rows = [row("a", "x\0y", more={"a": "\0 and \\u0000"}, tags=["\0"]), row("b", "z", more=None, tags=None)]
    with caplog.at_level(logging.WARNING):
        opened(postgres_url).publish(staged(tmp_path, rows, of=of))
    stored = run_sql(postgres_url, "SELECT intent, more, tags FROM tickets ORDER BY ticket_id")
    assert stored == [("x�y", {"a": "� and \\u0000"}, ["�"]), ("z", None, None)]
    assert "3 values of run run-1 held a NUL" in caplog.text


def test_keys_that_only_a_nul_tells_apart_stop_the_publish(postgres_url: str, tmp_path: Path) -> None:
    table = opened(postgres_url)
    with pytest.raises(TableError, match=r"Nothing was changed"):
        table.publish(staged(tmp_path, [row("a\0"), row("a�")]))
    assert table.last("tickets") is None


def test_two_publishes_at_once_both_arrive(postgres_url: str, tmp_path: Path) -> None:
    table = opened(postgres_url)
    runs = [staged(tmp_path, many(3000, layout(), f"run-{n}"), run=f"run-{n}") for n in range(4)]
    threads = [threading.Thread(target=table.publish, args=[each]) for each in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run_sql(postgres_url, "SELECT count(*), count(DISTINCT _run) FROM tickets") == [(3000, 1)]
    assert run_sql(postgres_url, "SELECT count(*) FROM _offpeak_publishes") == [(4,)]


def test_rows_that_did_not_change_are_not_written_again(postgres_url: str, tmp_path: Path) -> None:
    table = opened(postgres_url)
    rows = [row("a"), row("b")]
    table.publish(staged(tmp_path, rows))
    before = run_sql(postgres_url, "SELECT ticket_id, xmin::text FROM tickets ORDER BY 1")
    table.publish(staged(tmp_path, [rows[0], row("b", "other", run="run-2")], run="run-2"))
    after = run_sql(postgres_url, "SELECT ticket_id, xmin::text FROM tickets ORDER BY 1")
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_table_without_a_unique_key_is_refused(postgres_url: str, tmp_path: Path) -> None:
    run_sql(postgres_url, "CREATE TABLE tickets (ticket_id text)")
    with pytest.raises(
        TableError, match=r'no primary key or unique index on "ticket_id".*CREATE UNIQUE INDEX'
    ):
        opened(postgres_url).publish(staged(tmp_path, [row("a")]))


def test_an_unreachable_server_is_told_without_the_password(postgres_url: str, tmp_path: Path) -> None:
    user, _, place = postgres_url.partition("@")
    wrong = f"{user.rpartition(':')[0]}:sesame-open@{place}"
    with pytest.raises(
        TableError, match=r"could not be reached: .*password authentication.*Check that"
    ) as told:
        opened(wrong).answered(wanted(tmp_path, []), layout(), tmp_path / "out.parquet")
    shown = f"{told.value} {told.value!r} {postgres_table(wrong, 't')!r} {opened(wrong)!r}"
    assert "sesame-open" not in shown + postgres_table(wrong, "t").describe()


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    table = postgres_table("postgresql://me:sesame open@[::1/db", "t")
    with pytest.raises(SpecError, match="percent-encoded") as told:
        table.open(Store("unused"), EnvConnections({}))
    assert "sesame" not in str(told.value)


def test_the_database_is_found_through_a_connection(postgres_url: str, tmp_path: Path) -> None:
    env = {"AIRFLOW_CONN_BANK": postgres_url.replace("+psycopg", ""), "AIRFLOW_CONN_FILES": "s3://x"}
    store = Store(str(tmp_path))
    table = postgres_table("bank", "tickets").open(store, EnvConnections(env))
    assert table.publish(staged(tmp_path, [row("a")])).address == "Postgres table tickets at bank"
    with pytest.raises(SpecError, match="'nowhere' of a Postgres table does not exist"):
        postgres_table("nowhere", "t").open(store, EnvConnections(env))
    with pytest.raises(SpecError, match="'files' is of type 's3', not postgres"):
        postgres_table("files", "t").open(store, EnvConnections(env))


def test_names_that_postgres_would_cut_or_keep_for_itself_are_problems() -> None:
    long = "ä" * 32
    found = postgres_table("bank", "t").problems({long: "string", "ctid": "int64", "Upper": "string"})
    assert found == [
        "The column 'ctid' is a system column of Postgres. Rename the column.",
        f"The column {long!r} has a name of 64 bytes, and Postgres cuts names after 63. Shorten it.",
    ]
    for table in (long, "_offpeak_publishes", "a.b.c", ""):
        with pytest.raises(SpecError):
            postgres_table("bank", table)
