"""The tests' own Postgres."""

from __future__ import annotations

import psycopg


def _answer(url: str, statement: str) -> object:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def test_a_test_gets_a_database_of_its_own(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE seen (n int)")
    assert _answer(postgres_url, "SELECT count(*) FROM seen") == 0


def test_the_next_test_finds_it_empty(postgres_url: str) -> None:
    assert _answer(postgres_url, "SELECT to_regclass('seen')") is None
