"""The ledger and the store as the pages see them: only looked at, never made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.errors import SpecError
from offpeak.on_airflow.site import LEDGER_CONNECTION, AirflowConnections, airflow_site
from offpeak.plan import run_folder
from offpeak.site import DEFAULT_STORE
from offpeak.store import Store

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.site import Site

Opened = Callable[[], AbstractContextManager["Site"]]

_SQLITE = "sqlite:///"


@contextmanager
def opened_site() -> Iterator[Site]:
    """The site that the tasks have, for the length of one page.

    SpecError when there is no ledger yet: a page that is looked at must not make one.
    """
    _refuse_absent()
    site = airflow_site()
    try:
        yield site
    finally:
        site.ledger.close()


def _refuse_absent() -> None:
    named = os.environ.get("OFFPEAK_LEDGER", "")
    if not named and AirflowConnections().get(LEDGER_CONNECTION) is not None:
        return
    store = Store(os.environ.get("OFFPEAK_STORE") or DEFAULT_STORE)
    if not named and store.remote:
        return  # the site says what is wrong with that
    address = named or f"{_SQLITE}{store.root}/ledger.sqlite"
    file = Path(address.removeprefix(_SQLITE).partition("?")[0])
    if address.startswith(_SQLITE) and not file.is_file():
        raise SpecError(
            f"There is no ledger at {file}. Either no run has been started yet, or this api-server is not told "
            "what the tasks are told: OFFPEAK_STORE, and OFFPEAK_LEDGER or the connection "
            f"{LEDGER_CONNECTION}, must be the same for both. Nothing is lost by it."
        )


def started_in(site: Site, dag_run_id: str, workloads: Collection[str]) -> list[Run]:
    """The runs of these workloads that the dag run started, newest first; clearing it makes further editions.

    A run from the command line has no dag run, and never counts here.
    """
    if not dag_run_id:
        return []
    return [run for name in workloads for run in site.ledger.runs(name, started_by=dag_run_id)]


def report_page(site: Site, run: Run) -> bytes:
    """The page as it was written; gathered afresh while the run goes on, and where none was written since it ended."""
    from offpeak.report import gather
    from offpeak.report.page import page
    from offpeak.report.write import PAGE

    return _written(site, run, PAGE) or page(gather(site, run.run_id)).encode("utf-8", "backslashreplace")


def report_facts(site: Site, run: Run) -> bytes:
    """The same for the JSON."""
    from offpeak.report import gather
    from offpeak.report.write import FACTS, as_json

    return _written(site, run, FACTS) or as_json(gather(site, run.run_id))


def _written(site: Site, run: Run, name: str) -> bytes | None:
    """None when there is none, it is of before the run ended, or this process cannot read the store."""
    from offpeak.report.write import FACTS

    if run.ended_at is None or not run.state.ended:
        return None
    store = site.store if run.store == site.store.root else Store(run.store)
    try:
        facts = store.read_bytes(f"{run_folder(run)}/{FACTS}")
        if datetime.fromisoformat(json.loads(facts)["made_at"]) < run.ended_at:
            return None
        return facts if name == FACTS else store.read_bytes(f"{run_folder(run)}/{name}")
    except (OSError, ValueError, KeyError, TypeError):
        return None  # what the ledger holds is shown then
