"""Connections from the environment, in both of Airflow's forms."""

from __future__ import annotations

import json
import traceback
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.connections import Connection, EnvConnections
from offpeak.errors import SpecError

SECRET = "s3cr3t-that-must-not-show"


def read(text: str) -> Connection | None:
    return EnvConnections({"AIRFLOW_CONN_MY_DB": text}).get("my_db")


def test_a_connection_in_json_is_read_field_by_field() -> None:
    assert read(
        json.dumps(
            {
                "conn_type": "openai",
                "host": "https://Example.com/v1",
                "login": "me",
                "password": SECRET,
                "port": "8080",
                "schema": "s",
                "extra": {"organization": "o"},
            }
        )
    ) == Connection(
        id="my_db",
        conn_type="openai",
        host="https://Example.com/v1",
        login="me",
        password=SECRET,
        port=8080,
        schema="s",
        extra={"organization": "o"},
    )


def test_extra_may_be_json_within_json_and_fields_may_be_null() -> None:
    found = read('{"conn_type": "http", "host": null, "port": null, "extra": "{\\"a\\": 1}"}')
    assert found == Connection(id="my_db", conn_type="http", extra={"a": 1})


def test_a_connection_uri_is_read_with_its_quoting() -> None:
    found = read("postgresql://us%40er:p%2Fw%25@db.example:5433/ware%20house?sslmode=require&empty=")
    assert found == Connection(
        id="my_db",
        conn_type="postgres",
        host="db.example",
        login="us@er",
        password="p/w%",
        port=5433,
        schema="ware house",
        extra={"sslmode": "require", "empty": ""},
    )


def test_a_uri_may_hold_a_whole_address_as_its_host_and_json_as_its_extra() -> None:
    found = read(
        "my-type://:key@https%3A%2F%2FApi.Example.com%2Fv1/?__extra__=%7B%22a%22%3A+%7B%22b%22%3A+1%7D%7D"
    )
    assert found is not None
    assert (found.conn_type, found.host, found.password) == ("my_type", "https://Api.Example.com/v1", "key")
    assert found.extra == {"a": {"b": 1}}


def test_a_connection_that_is_not_set_is_none() -> None:
    assert EnvConnections({}).get("my_db") is None
    assert read("   ") is None


def test_a_repr_shows_no_secret() -> None:
    made = Connection(id="c", conn_type="openai", password=SECRET, extra={"api_key": SECRET})
    assert SECRET not in repr(made) + str(made)
    assert SECRET not in repr(EnvConnections({"AIRFLOW_CONN_C": f"openai://:{SECRET}@"}))


@pytest.mark.parametrize(
    "text",
    [
        f'{{"conn_type": "openai", "password": "{SECRET}"',
        f'{{"conn_type": "openai", "password": "{SECRET}", "port": "{SECRET}"}}',
        f'{{"conn_type": "openai", "extra": "{{\\"key\\": {SECRET}"}}',
        f'{{"conn_type": "openai", "extra": ["{SECRET}"]}}',
        f"{SECRET}",
        f"postgres://me:{SECRET}@host:{SECRET}/db",
        f"postgres://me:{SECRET}@[broken/db",
        f"http://:{SECRET}@h/?__extra__=[1]",
    ],
)
def test_a_broken_connection_is_told_without_the_secret_anywhere(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert "AIRFLOW_CONN_MY_DB" in str(caught.value)
    assert "nor a connection URI" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@given(st.text(min_size=1).map(lambda text: "{" + text) | st.text() | st.text().map("x://".__add__))
def test_whatever_the_variable_holds_it_is_a_connection_or_a_spec_error(text: str) -> None:
    with suppress(SpecError):
        assert read(text) is None or isinstance(read(text), Connection)
