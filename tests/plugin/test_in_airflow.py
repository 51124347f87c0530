"""The pages in a real api-server: Airflow's own login, database, connections and DAGs. Nothing else of it runs."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from offpeak.dag_files import workloads
from offpeak.demo.airflow import LocalAirflow
from offpeak.demo.place import environ
from offpeak.demo.settings import secrets_of
from offpeak.ledger import Run
from tests.plugin.making import finish, plan
from tests.report.desk import said
from tests.report.making import Page, Place

pytestmark = pytest.mark.xdist_group("airflow")

ROOT = Path(__file__).resolve().parents[2]
DAGS = Path(__file__).parent / "dags"
SECRET = f"sk-{secrets.token_hex(12)}"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    airflow: LocalAirflow
    place: Place
    guest: str
    dag_runs: dict[str, str]
    runs: dict[str, Run]

    def get(self, path: str, *, cookie: str = "") -> Answer:
        request = urllib.request.Request(self.airflow.url + path)
        if cookie:
            request.add_header("Cookie", f"_token={cookie}")
        try:
            with _OPENER.open(request, timeout=60) as answer:
                return Answer(answer.status, answer.read().decode(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), dict(error.headers))

    def token(self, user: str) -> str:
        password = self.airflow.login.password if user == "admin" else self.guest
        login = {"username": user, "password": password}
        return str(self.airflow.api.call("POST", "/auth/token", login)["access_token"])

    def tab(self, dag_id: str) -> str:
        """The address that Airflow's UI puts into the frame of the tab."""
        return f"/offpeak/runs/{dag_id}/{quote(self.dag_runs[dag_id], safe='')}/report.html"


def _started(airflow: LocalAirflow) -> None:
    """The database, the DAGs in it, and the api-server alone: a third of a whole Airflow's start."""
    airflow._migrate()
    reading = airflow._run("reserialize", "dags", "reserialize")
    airflow.wait("reading the DAGs", lambda: reading.exit_code is not None, timeout_seconds=120)
    assert reading.exit_code == 0, reading.output()
    del airflow._children["reserialize"]
    airflow.start("api-server")
    airflow.wait("starting the api-server", airflow.api.health, timeout_seconds=120)


def _calm(text: str, round_number: int) -> dict[str, Any]:
    return said('{"mood": "calm"}')


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("pages")
    place, guest = Place(home), secrets.token_urlsafe(9)
    place.tickets(9)
    passwords = home / "users.json"
    passwords.write_text(json.dumps({"admin": secrets_of(home / "airflow").password, "guest": guest}))
    settings = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,guest:",  # a guest may read nothing
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    # only the connection, which Airflow's database holds, tells where the ledger is
    env = {name: value for name, value in environ().items() if name != "OFFPEAK_LEDGER"}
    env |= {"OFFPEAK_STORE": place.site.store.root, "OPENAI_API_KEY": SECRET}
    airflow = LocalAirflow(home / "airflow", DAGS, env=env, plugins=ROOT / "plugins", settings=settings)
    try:
        _started(airflow)
        connect(airflow, "POST", f"{home}/ledger.sqlite")
        dag_runs = {
            dag_id: airflow.api.trigger(dag_id, None, None) for dag_id in ("paged", "around", "plain")
        }
        runs = {}
        for made in workloads(DAGS / "paged.py").values():
            dag_run = dag_runs[{"inner": "around"}.get(made.name, made.name)]
            runs[made.name] = finish(place, plan(place, made, started_by=dag_run), made, answer=_calm)
        yield Stage(airflow=airflow, place=place, guest=guest, dag_runs=dag_runs, runs=runs)
    finally:
        airflow.stop()


def connect(airflow: LocalAirflow, method: str, host: str, **more: object) -> None:
    """Put the ledger's connection into Airflow's database."""
    body = {"connection_id": "offpeak_ledger", "conn_type": "sqlite", "host": host, **more}
    path = "/api/v2/connections" + ("" if method == "POST" else "/offpeak_ledger")
    airflow.api.call(method, path, body)


def test_airflow_loads_the_plugin_with_its_tab_and_its_entry(stage: Stage) -> None:
    assert stage.airflow.api.call("GET", "/api/v2/plugins/importErrors")["import_errors"] == []
    plugins = stage.airflow.api.call("GET", "/api/v2/plugins?limit=100")["plugins"]
    (ours,) = [one for one in plugins if one["name"] == "offpeak"]
    assert [one["destination"] for one in ours["external_views"]] == ["nav", "dag_run"]


def test_a_page_needs_a_login_and_a_role(stage: Stage) -> None:
    report = "/offpeak/reports/paged/" + stage.runs["paged"].run_id + "/report.html"
    for path in ("/offpeak/runs", stage.tab("paged"), report, stage.tab("paged").replace(".html", ".json")):
        assert stage.get(path).status == 401
        assert stage.get(path, cookie="not.a.token").status in (401, 403)
        assert stage.get(path, cookie=stage.token("guest")).status == 403
        assert stage.get(path, cookie=stage.token("admin")).status == 200
    assert stage.get("/offpeak/openapi.json", cookie=stage.token("admin")).status == 404


def test_the_tab_of_a_published_run_is_its_report_as_it_was_written(stage: Stage) -> None:
    found = stage.get(stage.tab("paged"), cookie=stage.token("admin"))
    assert found.text == Path(stage.runs["paged"].facts["report"]["html"]).read_text()
    assert "Published 9 of 9 rows" in Page(found.text).text
    assert "script-src 'none'" in found.headers["content-security-policy"]


def test_a_workload_inside_another_dag_has_its_report_there(stage: Stage) -> None:
    found = stage.get(stage.tab("around"), cookie=stage.token("admin"))
    assert f"<title>Published: {stage.runs['inner'].run_id} " in found.text


def test_the_entry_lists_every_run_with_the_dag_run_that_started_it(stage: Stage) -> None:
    found = stage.get("/offpeak/runs", cookie=stage.token("admin"))
    links = [at["href"] for tag, at in Page(found.text).elements if tag == "a"]
    assert [link for link in links if link and link.startswith("/dags/")] == [
        f"/dags/{dag_id}/runs/{quote(stage.dag_runs[dag_id], safe='')}" for dag_id in ("around", "paged")
    ]
    reports = [link for link in links if link and link.startswith("/offpeak/reports/")]
    assert [stage.get(link, cookie=stage.token("admin")).status for link in reports] == [200, 200]


def test_a_dag_run_of_somebody_elses_is_told_so(stage: Stage) -> None:
    found = stage.get(stage.tab("plain"), cookie=stage.token("admin"))
    assert found.status == 404
    assert "The DAG plain runs no Offpeak workload" in Page(found.text).text


def test_a_dag_run_whose_plan_has_not_begun_says_what_is_awaited(stage: Stage) -> None:
    path = f"/offpeak/runs/paged/{quote(stage.airflow.api.trigger('paged', None, None), safe='')}/report.html"
    found = stage.get(path, cookie=stage.token("admin"))
    assert "This dag run has no run of paged in the ledger" in Page(found.text).text
    assert found.headers["refresh"] == "30"


def test_a_ledger_that_cannot_be_used_is_a_sentence_that_shows_no_password(stage: Stage) -> None:
    broken = {"conn_type": "postgres", "login": "offpeak", "password": SECRET, "port": 1, "schema": "ledger"}
    torn = stage.place.folder / "torn.sqlite"
    torn.write_bytes(b"this is no database" * 100)
    cookie = stage.token("admin")
    try:
        connect(stage.airflow, "PATCH", "127.0.0.1", **broken)
        unreachable = stage.get("/offpeak/runs", cookie=cookie)
        with suppress(json.JSONDecodeError):  # the answer to a deletion is empty
            stage.airflow.api.call("DELETE", "/api/v2/connections/offpeak_ledger")
        absent = stage.get("/offpeak/runs", cookie=cookie)
        connect(stage.airflow, "POST", str(torn))
        unreadable = stage.get(stage.tab("paged"), cookie=cookie)
    finally:
        connect(stage.airflow, "PATCH", f"{stage.place.folder}/ledger.sqlite")
    assert unreachable.status == 503
    assert "The ledger postgresql://127.0.0.1:1/ledger could not be used" in Page(unreachable.text).text
    assert "There is no ledger at" in Page(absent.text).text
    assert unreadable.status == 503
    assert "Reading the ledger or the store failed with DatabaseError" in Page(unreadable.text).text
    assert all("Traceback" not in one.text for one in (unreachable, absent, unreadable))
    assert stage.get("/offpeak/runs", cookie=cookie).status == 200


def test_no_page_and_no_log_holds_a_key_or_a_password(stage: Stage) -> None:
    cookie = stage.token("admin")
    pages = [stage.get(path, cookie=cookie).text for path in ("/offpeak/runs", stage.tab("paged"))]
    log = (stage.airflow.home / "out" / "api-server.log").read_text()
    assert "DatabaseError" in log, "what broke is in the log"
    assert [text for text in (*pages, log) if SECRET in text] == []
