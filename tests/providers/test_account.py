"""Whose money: the account out of a connection or the environment, as Airflow's hooks read it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from offpeak.connections import Connection
from offpeak.errors import SpecError
from offpeak.providers import names, provider
from offpeak.providers.credentials import client_options

KEY = "key-that-must-never-be-shown-77"


@dataclass
class Held:
    """Connections in a dict."""

    by_id: dict[str, Connection] = field(default_factory=dict)

    def get(self, connection_id: str) -> Connection | None:
        return self.by_id.get(connection_id)


def held(name: str, connection_id: str = "", **fields: Any) -> Held:
    connection_id = connection_id or f"{name}_default"
    return Held({connection_id: Connection(id=connection_id, conn_type=name, **fields)})


def variable(name: str) -> str:
    return f"{name.upper()}_API_KEY"


@pytest.mark.parametrize("name", names())
def test_a_connections_password_and_host_are_the_key_and_the_address(name: str) -> None:
    connections = held(name, password=KEY, host="https://gate.example/v1")
    account = provider(name).account(None, connections, {variable(name): "other"})
    assert (account.id, account.api_key, account.base_url) == (
        f"{name}_default",
        KEY,
        "https://gate.example/v1",
    )
    assert KEY not in repr(account)


@pytest.mark.parametrize("name", names())
def test_client_arguments_in_the_extra_win_and_retries_stay_off(name: str) -> None:
    kwargs = {
        "api_key": KEY,
        "base_url": "https://b.example",
        "max_retries": 9,
        "timeout": 5,
        "default_headers": {"a": "b"},
    }
    extra = {f"{name}_client_kwargs": kwargs}
    account = provider(name).account(
        "mine", held(name, "mine", password="p", host="https://a.example", extra=extra), {}
    )
    assert client_options(account) == {
        "api_key": KEY,
        "base_url": "https://b.example",
        "max_retries": 0,
        "default_headers": {"a": "b"},
    }


@pytest.mark.parametrize("name", names())
def test_without_a_connection_the_environment_is_read(name: str) -> None:
    env = {variable(name): KEY, f"{name.upper()}_BASE_URL": "http://127.0.0.1:1/x"}
    account = provider(name).account(None, Held(), env)
    assert (account.api_key, account.base_url) == (KEY, "http://127.0.0.1:1/x")
    assert account.id == f"env:{variable(name)}"


@pytest.mark.parametrize("name", names())
def test_a_connection_without_a_key_takes_it_from_the_environment(name: str) -> None:
    account = provider(name).account(None, held(name), {variable(name): KEY})
    assert (account.id, account.api_key) == (f"{name}_default", KEY)


@pytest.mark.parametrize("name", names())
def test_a_connection_asked_for_by_name_is_never_replaced_by_another(name: str) -> None:
    with pytest.raises(SpecError, match=r"no connection 'team_b'.*AIRFLOW_CONN_TEAM_B"):
        provider(name).account("team_b", held(name, password=KEY), {variable(name): KEY})


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize(
    ("fields", "phrase"),
    [
        ({}, "has no key"),
        ({"password": KEY, "host": "gate.example"}, "does not start with https"),
        (
            {"password": KEY, "extra": {"openai_client_kwargs": [1], "anthropic_client_kwargs": [1]}},
            "is not an object",
        ),
    ],
)
def test_a_connection_that_cannot_work_is_said_to_without_its_key(
    name: str, fields: Mapping[str, Any], phrase: str
) -> None:
    with pytest.raises(SpecError, match=phrase) as caught:
        provider(name).account(None, held(name, **fields), {})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", names())
def test_no_credentials_at_all_is_said_with_every_way_to_give_them(name: str) -> None:
    with pytest.raises(SpecError, match=f"{name}_default.*{variable(name)}"):
        provider(name).account(None, Held(), {})


@pytest.mark.parametrize("name", names())
def test_an_option_that_the_sdk_does_not_know_is_a_spec_error(name: str) -> None:
    extra = {f"{name}_client_kwargs": {"colour": "red"}}
    account = provider(name).account(None, held(name, password=KEY, extra=extra), {})
    with pytest.raises(SpecError, match="colour") as caught:
        provider(name).connect(account).look("x")
    assert KEY not in str(caught.value)


def test_an_anthropic_token_is_sent_as_a_token() -> None:
    account = provider("anthropic").account(None, Held(), {"ANTHROPIC_AUTH_TOKEN": KEY})
    assert client_options(account)["auth_token"] == KEY
    assert "api_key" not in client_options(account)


def test_openais_organization_and_project_go_with_the_environments_key() -> None:
    env = {"OPENAI_API_KEY": KEY, "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj_1"}
    assert provider("openai").account(None, Held(), env).options == {
        "organization": "org-1",
        "project": "proj_1",
    }


@pytest.mark.parametrize("platform", ["bedrock", "vertex", "aws", "foundry"])
def test_a_connection_to_another_platform_is_refused(platform: str) -> None:
    with pytest.raises(SpecError, match=f"Claude on '{platform}'"):
        provider("anthropic").account(None, held("anthropic", password=KEY, extra={"platform": platform}), {})


def test_reading_an_account_and_a_line_imports_no_sdk() -> None:
    script = (
        "import sys, json\n"
        "from offpeak.providers import provider, names\n"
        "for name in names():\n"
        "    provider(name).parse(b'{}')\n"
        "import offpeak.prices; offpeak.prices.price_of('openai', 'gpt-5')\n"
        "print(json.dumps([m for m in ('openai', 'anthropic', 'httpx2', 'airflow', 'numpy') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
