"""What the local Airflow sees of its surroundings, and who may work where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offpeak.demo.emulated import named_credentials, towards
from offpeak.demo.place import alone, place_in
from offpeak.demo.settings import environment, free_ports, secrets_of
from offpeak.errors import SpecError

URL = "http://127.0.0.1:4321"
REAL = {
    "OPENAI_API_KEY": "sk-real",
    "OPENAI_BASE_URL": "https://api.example.com",
    "ANTHROPIC_API_KEY": "sk-ant-real",
    "AIRFLOW_CONN_OPENAI_DEFAULT": '{"conn_type": "openai", "password": "sk-real"}',
    "PATH": "/bin",
}


def test_no_real_provider_can_be_reached_from_the_demo() -> None:
    env = towards(URL, REAL)
    assert "real" not in json.dumps(env)
    assert "api.example.com" not in json.dumps(env)
    assert json.loads(env["AIRFLOW_CONN_OPENAI_DEFAULT"])["host"] == f"{URL}/v1"
    assert json.loads(env["AIRFLOW_CONN_ANTHROPIC_DEFAULT"])["host"] == URL
    assert env["PATH"] == "/bin"


def test_a_key_or_a_connection_in_the_environment_names_a_real_provider() -> None:
    assert named_credentials({"PATH": "/bin", "OPENAI_API_KEY": " "}) == []
    assert named_credentials(REAL) == ["AIRFLOW_CONN_OPENAI_DEFAULT", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"]


def test_a_users_own_airflow_has_no_say(tmp_path: Path) -> None:
    theirs = {
        "AIRFLOW_HOME": "/home/me/airflow",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://prod",
        "AIRFLOW_CONN_WAREHOUSE": "kept",
        "PYTHONDONTWRITEBYTECODE": "1",
        "no_proxy": "intranet",
    }
    env = environment(tmp_path, tmp_path / "dags", None, free_ports(), given=theirs)
    assert env["AIRFLOW_HOME"] == str(tmp_path)
    assert env["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path}/airflow.db"
    assert env["AIRFLOW_CONN_WAREHOUSE"] == "kept"
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert env["no_proxy"] == "intranet,127.0.0.1,localhost"


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    made = secrets_of(tmp_path)
    assert secrets_of(tmp_path) == made
    assert made.password not in repr(made)
    assert len(made.jwt_secret) >= 64
    assert json.loads((tmp_path / "passwords.json").read_text()) == {"admin": made.password}
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_the_ports_are_three_different_ones() -> None:
    ports = free_ports()
    assert len({ports.api, ports.worker_log, ports.trigger_log}) == 3


def test_a_second_demo_in_the_same_place_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    place = place_in(tmp_path, ".demo")
    with alone(place), pytest.raises(SpecError, match=r"already running in .*\.demo.*Ctrl-C"), alone(place):
        pass
    with alone(place):
        pass


def test_a_folder_without_dags_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no folder dags .* project's own folder"):
        place_in(tmp_path, ".demo")
