"""Queries: against a real SQLite and a real Postgres."""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy

from offpeak.connections import EnvConnections
from offpeak.errors import InputError, SpecError
from offpeak.rows.parameters import for_text, parameters
from offpeak.rows.sql import SqlRows, sql
from tests.rows.opened import END, START, Read, opening, read


@pytest.fixture
def crm(tmp_path: Path) -> str:
    connection = sqlite3.connect(tmp_path / "crm.sqlite")
    connection.execute("CREATE TABLE tickets (id INTEGER, text TEXT, at TEXT, price)")
    rows = [(number, f"text {number}", f"2026-03-01 08:{number:02}:00", number / 2) for number in range(60)]
    connection.executemany("INSERT INTO tickets VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return f"sqlite:///{tmp_path}/crm.sqlite"


def _postgres(url: str, *statements: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _one(url: str, expression: str) -> Any:
    return read(sql(url, f"SELECT 1 AS id, {expression} AS x", key="id")).records[0]["x"]


def test_rows_come_in_batches_numbered_from_one(crm: str) -> None:
    got = read(sql(crm, "SELECT id, text FROM tickets ORDER BY id;", key="id"), opening(batch_rows=25))
    assert got.records == [{"id": number, "text": f"text {number}"} for number in range(60)]
    assert (got.firsts, len(got.schemas)) == ([1, 26, 51], 1)


def test_the_store_may_stand_in_a_url(crm: str, tmp_path: Path) -> None:
    got = read(sql("sqlite:///{store}/crm.sqlite", "SELECT id FROM tickets", key="id"), opening(tmp_path))
    assert len(got.records) == 60


@pytest.mark.parametrize(
    "uri", ["sqlite://{quoted}", "sqlite:///{path}", '{{"conn_type": "sqlite", "host": "{path}"}}']
)
def test_a_connection_id_is_looked_up(crm: str, tmp_path: Path, uri: str) -> None:
    path = f"{tmp_path}/crm.sqlite"
    known = EnvConnections({"AIRFLOW_CONN_CRM": uri.format(path=path, quoted=quote(path, safe=""))})
    source = sql("crm", "SELECT id FROM tickets WHERE id < 3", key="id")
    assert [record["id"] for record in read(source, opening(connections=known)).records] == [0, 1, 2]
    assert source.describe() == "sql crm: SELECT id FROM tickets WHERE id < 3"


def test_an_unknown_connection_names_the_cure() -> None:
    with pytest.raises(SpecError, match=r"no connection 'crm'.*AIRFLOW_CONN_CRM"):
        read(sql("crm", "SELECT 1 AS id", key="id"))


def test_a_missing_sqlite_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no SQLite file"):
        read(sql(f"sqlite:///{tmp_path}/nosuch.sqlite", "SELECT 1 AS id", key="id"))
    assert not (tmp_path / "nosuch.sqlite").exists()


def test_a_query_only_reads(crm: str, postgres_url: str) -> None:
    with pytest.raises(InputError, match="readonly database"):
        read(sql(crm, "DELETE FROM tickets RETURNING id", key="id"))
    _postgres(postgres_url, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    with pytest.raises(InputError, match=r"failed: .*"):
        read(sql(postgres_url, "DELETE FROM t RETURNING id", key="id"))
    _postgres(postgres_url, "CREATE SEQUENCE s")
    with pytest.raises(InputError, match="read-only transaction"):
        read(sql(postgres_url, "SELECT nextval('s') AS id", key="id"))
    assert len(read(sql(postgres_url, "SELECT id FROM t", key="id")).records) == 1
    assert len(read(sql(crm, "SELECT id FROM tickets", key="id")).records) == 60


def test_start_and_end_are_the_interval_in_utc(postgres_url: str, crm: str) -> None:
    query = "SELECT 1 AS id, :start AS s, :end AS e, ':start' AS quoted, '12:30'::text AS cast_one"
    got = read(sql(postgres_url, query, key="id")).records
    assert got == [{"id": 1, "s": START, "e": END, "quoted": ":start", "cast_one": "12:30"}]
    query = "SELECT id FROM tickets WHERE at >= datetime(:start, '+5 minutes') AND at < :start_of ORDER BY id"
    with pytest.raises(
        SpecError, match=r"the parameter :start_of, which a run does not know.*:start and :end"
    ):
        sql(crm, query, key="id")
    query = "SELECT id FROM tickets WHERE at >= datetime(:start, '+58 minutes') AND at < datetime(:end)"
    assert [record["id"] for record in read(sql(crm, query, key="id")).records] == [58, 59]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT x::int, y :: text FROM t WHERE a > :start", ("start",)),
        ("SELECT ':a' || E'\\':b' || \":c\" || `:d` -- :e\n /* :f */ WHERE t < :end AND :end", ("end",)),
        ("SELECT $$ :a $$, $tag$ :b $tag$, 'it''s :c', arr[1:2]", ()),
        ("SELECT 'a' :start", ("start",)),
        ("SELECT x:::start", ()),
    ],
)
def test_parameters_are_told_from_other_colons(query: str, names: tuple[str, ...]) -> None:
    assert parameters(query) == names


@pytest.mark.parametrize(
    "literal",
    [":start", "a:b", r"\:start", r"\\:x", r"C:\:", "12:30:45", "::x", ": start", ":start:end", r"\:", "50%"],
)
def test_text_in_quotes_reaches_the_database_as_it_is(crm: str, literal: str) -> None:
    query = f"SELECT 1 AS id, '{literal}' AS x, :start AS s"
    assert sqlalchemy.text(for_text(query)).compile().params.keys() == {"start"}
    assert read(sql(crm, query, key="id")).records[0]["x"] == literal


def test_postgres_types_arrive_as_they_are(postgres_url: str) -> None:
    assert _one(postgres_url, "12.50::numeric(10,2)") == Decimal("12.50")
    assert _one(postgres_url, "12.500::numeric") == "12.500"
    assert _one(postgres_url, "date '2026-03-01'") == date(2026, 3, 1)
    assert _one(postgres_url, "timestamptz '2026-03-01 09:00+01'") == START
    assert _one(postgres_url, "timestamp '2026-03-01 09:00'") == START.replace(hour=9, tzinfo=None)
    assert _one(postgres_url, "interval '90 seconds'") == timedelta(seconds=90)
    assert (
        _one(postgres_url, "uuid '00000000-0000-0000-0000-000000000001'")
        == "00000000-0000-0000-0000-000000000001"
    )
    assert _one(postgres_url, """'{"b": [1, "é"], "a": null}'::jsonb""") == '{"a":null,"b":[1,"é"]}'
    assert _one(postgres_url, "array['a', null, 'b']") == ["a", None, "b"]
    assert _one(postgres_url, "'é'::bytea") == "é"
    assert _one(postgres_url, "true") is True
    assert _one(postgres_url, "2.5::float8") == 2.5
    assert _one(postgres_url, "null::int") is None


def test_bytes_that_are_no_text_are_a_problem_of_their_row(postgres_url: str) -> None:
    query = r"SELECT * FROM (VALUES (1, '\x6f6b'::bytea), (2, '\xff'::bytea)) AS t (id, x)"
    got = read(sql(postgres_url, query, key="id"))
    assert got.records == [{"id": 1, "x": "ok"}]
    assert [(problem.number, problem.excerpt) for problem in got.problems] == [(2, "id=2")]
    assert "'x' is not valid UTF-8" in got.problems[0].reason


def test_a_later_value_widens_where_that_is_exact_and_is_else_a_problem(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.sqlite")
    connection.execute("CREATE TABLE t (id, i, f, s, n)")
    rows = [(1, 1, 1.5, "a", None), (2, 2, 2.5, "b", None)]
    later: list[tuple[object, ...]] = [
        (3, 3.0, 3, 5, 7),
        (4, 4.5, 1.0, "x", "y"),
        (5, "five", 1.0, "x", b"z"),
        (6, 6, 2**53 + 1, "x", 1),
    ]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", [*rows, *later])
    connection.commit()
    got = read(
        sql(f"sqlite:///{tmp_path}/a.sqlite", "SELECT * FROM t ORDER BY id", key="id"), opening(batch_rows=2)
    )
    assert got.records[2] == {"id": 3, "i": 3, "f": 3.0, "s": "5", "n": "7"}
    assert [(problem.number, problem.reason.split(" and ")[0]) for problem in got.problems] == [
        (4, "the cell 'i' is a float"),
        (5, "the cell 'i' is a str"),
        (6, "the cell 'f' is an int"),
    ]
    assert len(got.schemas) == 1


def test_null_keys_are_problems_and_other_keys_are_refused(crm: str) -> None:
    got = read(sql(crm, "SELECT nullif(id, 1) AS id FROM tickets WHERE id < 3 ORDER BY rowid", key="id"))
    assert ([record["id"] for record in got.records], [problem.number for problem in got.problems]) == (
        [0, 2],
        [2],
    )
    with pytest.raises(InputError, match="has the type double, which cannot name a row"):
        read(sql(crm, "SELECT price AS id FROM tickets", key="id"))


def test_only_wanted_columns_are_kept_and_missing_ones_listed(crm: str) -> None:
    source = sql(crm, "SELECT * FROM tickets WHERE id = 1", key="id")
    assert read(source, opening(columns=("text",))).records == [{"text": "text 1", "id": 1}]
    with pytest.raises(InputError, match=r"no column 'body'.*It has: 'id', 'text', 'at', 'price'"):
        read(source, opening(columns=("body",)))
    with pytest.raises(InputError, match=r"more than one column 'a'.*AS"):
        read(sql(crm, "SELECT 1 AS id, 2 AS a, 3 AS a", key="id"))


def test_a_failing_query_says_the_databases_own_sentence_and_no_password(postgres_url: str) -> None:
    password = sqlalchemy.engine.make_url(postgres_url).password or ""
    with pytest.raises(InputError) as caught:
        read(sql(postgres_url, "SELECT id FROM nosuch", key="id"))
    assert 'relation "nosuch" does not exist' in str(caught.value)
    assert "Nothing was sent" in str(caught.value)
    wrong = postgres_url.replace(password, "hunter2")
    source = sql(wrong, "SELECT 1 AS id", key="id")
    with pytest.raises(InputError, match="password authentication failed") as refused:
        read(source)
    for text in (str(refused.value), repr(refused.value), source.describe(), repr(source)):
        assert "hunter2" not in text
    assert refused.value.__cause__ is None


def test_a_failure_in_the_middle_of_the_rows_is_an_input_error(postgres_url: str) -> None:
    query = "SELECT n AS id, 1 / (5000 - n) AS x FROM generate_series(1, 10000) AS n"
    stream = sql(postgres_url, query, key="id").batches(opening(batch_rows=1000))
    assert [next(stream).records.num_rows for _ in range(4)] == [1000] * 4
    with pytest.raises(InputError, match="division by zero"):
        next(stream)


def test_a_large_result_is_streamed_and_may_be_left_early(postgres_url: str) -> None:
    counted = (
        "SELECT generate_series(1, 100000000) AS n"  # in FROM, Postgres would first write all of them down
    )
    query = f"SELECT n AS id, repeat('x', 1000) AS text FROM ({counted}) AS s"
    stream = sql(postgres_url, query, key="id").batches(opening(batch_rows=1000))
    assert next(iter(stream)).records.num_rows == 1000
    stream.close()  # type: ignore[attr-defined]


def test_an_airflow_connection_to_postgres_is_used_with_its_driver_options(postgres_url: str) -> None:
    uri = postgres_url.replace("postgresql+psycopg", "postgres") + "?sslmode=prefer&cursor=dictcursor"
    got = read(
        sql("pg", "SELECT 1 AS id", key="id"), opening(connections=EnvConnections({"AIRFLOW_CONN_PG": uri}))
    )
    assert got.records == [{"id": 1}]


def test_an_unreachable_server_or_missing_driver_says_what_to_do(postgres_url: str) -> None:
    with pytest.raises(SpecError, match="no driver here for nosuch"):
        read(sql("nosuch://host/db", "SELECT 1 AS id", key="id"))
    with pytest.raises(InputError, match=r"query on postgresql://127\.0\.0\.1:1/db failed"):
        read(sql("postgresql://me:hunter2@127.0.0.1:1/db", "SELECT 1 AS id", key="id"))


def test_a_spec_is_checked_without_any_connection() -> None:
    for arguments in (("", "SELECT 1", "id"), ("crm", " ", "id"), ("crm", "SELECT 1", "")):
        with pytest.raises(SpecError, match="needs"):
            sql(arguments[0], arguments[1], key=arguments[2])
    with pytest.raises(SpecError, match="cannot be read") as caught:
        read(sql("postgresql://me:hunter2@host:port/db", "SELECT 1 AS id", key="id"))
    assert "hunter2" not in str(caught.value)


def test_an_empty_result_has_no_batches(crm: str) -> None:
    assert read(sql(crm, "SELECT id FROM tickets WHERE id < 0", key="id")) == Read([], [], 0, [], set())
    assert isinstance(sql(crm, "SELECT id", key="id"), SqlRows)
