"""The settings of the local Airflow, as environment variables; its secrets and its free ports."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

USER = "admin"
HOST = "127.0.0.1"
PARALLELISM = 4
"""With SQLite and many workers Airflow's components die of locked databases; 4 is safe."""
_KEPT_OUT = ("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONFIG", "PYTHONDONTWRITEBYTECODE")
"""A user's own Airflow has no say here; and Airflow without bytecode starts three times slower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Made once for a home and kept in it, readable by its owner only."""

    password: str = field(repr=False)
    fernet_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Free ports of this machine at the time of asking."""

    api: int
    worker_log: int
    trigger_log: int


def free_ports() -> Ports:
    with ExitStack() as held:
        numbers = [_free(held) for _ in range(3)]
    return Ports(api=numbers[0], worker_log=numbers[1], trigger_log=numbers[2])


def _free(held: ExitStack) -> int:
    probe = held.enter_context(socket.socket())
    probe.bind((HOST, 0))
    return int(probe.getsockname()[1])


def secrets_of(home: Path) -> Secrets:
    """The secrets of this home, made at the first call."""
    file = home / "secrets.json"
    if not file.exists():
        made = {
            "password": secrets.token_urlsafe(9),
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt_secret": secrets.token_urlsafe(64),
        }
        _write_private(file, json.dumps(made))
    found = Secrets(**json.loads(file.read_text()))
    _write_private(home / "passwords.json", json.dumps({USER: found.password}))
    return found


def _write_private(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)


def environment(
    home: Path, dags: Path, plugins: Path | None, ports: Ports, *, given: Mapping[str, str]
) -> dict[str, str]:
    """All variables of every component: those of `given` that are no Airflow settings, and our settings."""
    kept = {name: value for name, value in given.items() if not name.startswith(_KEPT_OUT)}
    own = secrets_of(home)
    url = f"http://{HOST}:{ports.api}"
    return {
        **kept,
        **{name: _with_localhost(kept.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins or home / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
        "AIRFLOW__CORE__FERNET_KEY": own.fernet_key,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(ports.api),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API_AUTH__JWT_SECRET": own.jwt_secret,
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.worker_log),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports.trigger_log),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONUNBUFFERED": "1",
    }


def _with_localhost(listed: str) -> str:
    """A proxy is for the world outside, not for our own components."""
    return ",".join(dict.fromkeys([*filter(None, listed.split(",")), HOST, "localhost"]))
