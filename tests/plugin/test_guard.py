"""Who gets in, what a broken ledger looks like, and what the plugin costs a process that only imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from offpeak.errors import LedgerConflict
from offpeak.on_airflow.pages.app import may_read_dag, pages_app, readable
from offpeak.on_airflow.pages.dag_runs import workloads_in
from offpeak.on_airflow.pages.look import opened_site
from offpeak.site import Site
from tests.plugin.making import KnownDags, browser
from tests.report.making import Page, Place

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-never-shown"


@pytest.mark.parametrize(
    "path",
    [
        "/runs",
        "/runs/ticket_triage/manual__1/report.html",
        "/runs/ticket_triage/manual__1/report.json",
        "/reports/ticket_triage/ticket_triage/2026-11-22T050000Z/report.html",
        "/reports/ticket_triage/ticket_triage/2026-11-22T050000Z/report.json",
    ],
)
def test_nobody_gets_in_without_a_login(path: str) -> None:
    @contextmanager
    def never() -> Iterator[Site]:
        raise AssertionError("the ledger was opened for an anonymous request")
        yield

    answer = TestClient(pages_app(KnownDags(), never)).get(path)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Not authenticated"}


def test_every_route_asks_for_the_dag_and_there_is_no_page_of_documentation() -> None:
    app = pages_app(KnownDags())
    asking = [[one.dependency for one in route.dependencies] for route in app.routes]  # type: ignore[attr-defined]
    assert asking == [[may_read_dag]] * 3
    for path in ("/docs", "/redoc", "/openapi.json", "/"):
        assert TestClient(app).get(path).status_code == 404


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith(("OFFPEAK_", "AIRFLOW_CONN_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OFFPEAK_STORE", str(tmp_path / "store"))
    return monkeypatch


def shown(status: int) -> str:
    answer = browser(opened_site).get("/offpeak/runs")
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert SECRET not in answer.text
    return Page(answer.text).text


def test_a_ledger_that_is_not_there_is_a_sentence_and_is_not_made(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = shown(404)
    assert f"There is no ledger at {tmp_path}/store/ledger.sqlite" in text
    assert "OFFPEAK_STORE, and OFFPEAK_LEDGER or the connection offpeak_ledger, must be the same" in text
    assert not (tmp_path / "store").exists()
    settings.setenv("OFFPEAK_LEDGER", f"sqlite:///{tmp_path}/other/ledger.sqlite")
    assert f"There is no ledger at {tmp_path}/other/ledger.sqlite" in shown(404)
    assert not (tmp_path / "other").exists()


def test_a_file_that_is_no_ledger_is_a_sentence(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "ledger.sqlite").write_bytes(b"this is no database" * 100)
    text = shown(503)
    assert "Reading the ledger or the store failed with DatabaseError" in text
    assert "Runs do not depend on this page" in text


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://offpeak:{SECRET}@127.0.0.1:1/ledger",
        f"postgresql://offpeak:{SECRET}@127.0.0.1:one/ledger",
        f"oracle://offpeak:{SECRET}@127.0.0.1/ledger",
    ],
)
def test_a_database_that_cannot_be_reached_is_a_sentence_without_its_password(
    settings: pytest.MonkeyPatch, address: str
) -> None:
    settings.setenv("OFFPEAK_LEDGER", address)
    assert "ledger" in shown(503 if ":1/" in address else 404)


def test_the_connection_of_the_ledger_is_read_as_tasks_read_it(
    settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.setenv("AIRFLOW_CONN_OFFPEAK_LEDGER", f"postgres://offpeak:{SECRET}@127.0.0.1:1/ledger")
    assert "The ledger postgresql://127.0.0.1:1/ledger could not be used" in shown(503)
    place = Place(tmp_path)
    assert place.site.ledger.runs() == []
    settings.setenv("AIRFLOW_CONN_OFFPEAK_LEDGER", f"sqlite:///{tmp_path}/ledger.sqlite")
    assert "There are no runs to show" in shown(200)


def test_a_remote_store_without_a_named_ledger_is_a_sentence(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("OFFPEAK_STORE", "s3://bucket/prefix")
    assert "so the ledger cannot be a file inside it" in shown(404)


def test_what_nobody_foresaw_is_a_sentence_that_repeats_nothing_of_it() -> None:
    @contextmanager
    def broken() -> Iterator[Site]:
        raise RuntimeError(f"password={SECRET}")
        yield

    answer = browser(broken).get("/offpeak/runs")
    assert answer.status_code == 503
    assert "failed with RuntimeError" in answer.text
    assert SECRET not in answer.text


def test_an_error_of_ours_is_shown_in_its_own_words_and_escaped() -> None:
    @contextmanager
    def busy() -> Iterator[Site]:
        raise LedgerConflict("The ledger <b>x</b> could not be used.")
        yield

    answer = browser(busy).get("/offpeak/runs")
    assert answer.status_code == 503
    assert "The ledger &lt;b&gt;x&lt;/b&gt; could not be used." in answer.text


def test_a_serialized_dag_names_its_workloads_and_no_other_operators_arguments_count() -> None:
    def task(module: str, kind: str, **partial: object) -> dict[str, object]:
        return {"__var": {"task_type": kind, "_task_module": module, "partial_kwargs": partial}}

    ours = "offpeak.on_airflow.operators"
    tasks = [
        task(ours, "ShardTask", workload="a"),
        task(ours, "PlanTask"),
        task("somebody.else", "ShardTask", workload="b"),
        {"__var": {"task_type": "ShardTask", "_task_module": ours}},
    ]
    assert list(workloads_in({"dag": {"tasks": tasks}})) == ["a"]
    assert list(workloads_in({})) == []


IMPORT = """
import sys, time
import airflow.sdk
before, started = set(sys.modules), time.process_time()
import offpeak_plugin
new = set(sys.modules) - before
print(sorted({name.partition(".")[0] for name in new}), time.process_time() - started)
print([one["name"] for one in offpeak_plugin.OffpeakPlugin.external_views])
"""


def test_importing_the_plugin_loads_nothing_but_itself(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "OFFPEAK_"))}
    env |= {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT / 'include'}"}
    command = [sys.executable, "-c", IMPORT]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, views = done.stdout.splitlines()[-2:]
    assert loaded.startswith("['offpeak_plugin']"), loaded
    assert float(loaded.rpartition(" ")[2]) < 0.1
    assert views == "['Offpeak', 'Offpeak report']"


def test_the_dependencies_that_content_tests_override_are_the_routes_own() -> None:
    app = pages_app(KnownDags())
    latest = next(route for route in app.routes if getattr(route, "path", "") == "/runs")
    used = {one.call for one in latest.dependant.dependencies}  # type: ignore[attr-defined]
    assert used == {may_read_dag, readable}
