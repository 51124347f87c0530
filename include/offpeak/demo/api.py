"""The few calls of Airflow's REST API that the demo and the tests need."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from offpeak.demo.settings import USER, Secrets
from offpeak.errors import OffpeakError

TIMEOUT_SECONDS = 60.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy in the environment is for the world outside."""

Record = dict[str, Any]


class AirflowApi:
    """Airflow's REST API at `url`. Raises OffpeakError with the status and the answer of a refused call,
    OSError when nothing answers."""

    def __init__(self, url: str, secrets: Secrets) -> None:
        self.url = url
        self._secrets = secrets
        self._token = ""

    def health(self) -> dict[str, str | None]:
        """Each component's own word: `healthy`, `unhealthy`, None where it never reported."""
        return {name: told["status"] for name, told in self.call("GET", "/api/v2/monitor/health").items()}

    def warm(self) -> None:
        """Make the execution API build itself, which otherwise the first task would wait for."""
        self.call("GET", "/execution/health")

    def unpause(self, dag_id: str, *, paused: bool = False) -> None:
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": paused})

    def dag_ids(self) -> list[str]:
        return sorted(dag["dag_id"] for dag in self.call("GET", "/api/v2/dags?limit=500")["dags"])

    def import_errors(self) -> dict[str, str]:
        """By file, what Airflow says about it."""
        found = self.call("GET", "/api/v2/importErrors")["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in found}

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None, logical_date: datetime | None) -> str:
        """Make a dag run; its id."""
        when = logical_date.isoformat() if logical_date else None
        body = {"logical_date": when, "conf": dict(conf or {})}
        return str(self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> Record:
        return self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}")

    def task_instances(self, dag_id: str, run_id: str) -> list[Record]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances?limit=500"
        return list(self.call("GET", path)["task_instances"])

    def end_dag_run(self, dag_id: str, run_id: str) -> None:
        """Mark a dag run as failed; its running tasks are ended."""
        self.call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}", {"state": "failed"})

    def unfinished(self) -> list[tuple[str, str]]:
        """DAG and id of every dag run that is queued or running."""
        found = self.call("GET", "/api/v2/dags/~/dagRuns?state=queued&state=running&limit=100")["dag_runs"]
        return [(run["dag_id"], run["dag_run_id"]) for run in found]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Record:
        """One call. A path of the public API is called as the admin."""
        if path.startswith("/api/") and not path.startswith("/api/v2/monitor/") and not self._token:
            login = {"username": USER, "password": self._secrets.password}
            self._token = str(self.call("POST", "/auth/token", login)["access_token"])
        request = urllib.request.Request(  # noqa: S310  (the address is our own server's)
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", **self._authorization(path)},
        )
        try:
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                found: Record = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                told = error.read(2_000).decode("utf-8", "replace")
            raise OffpeakError(f"Airflow answered {method} {path} with {error.code}: {told}") from None

    def _authorization(self, path: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"} if self._token and path.startswith("/api/") else {}
