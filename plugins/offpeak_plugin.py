"""Offpeak inside Airflow's UI: the latest runs in the navigation, and the report as a tab of the dag run.

Every component of Airflow imports this file, every task too: the pages come in with the first request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

PREFIX = "/offpeak"

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@cache
def _pages() -> Any:
    from offpeak.on_airflow.pages.app import pages_app

    return pages_app()


class Pages:
    """The pages as an ASGI application that is made when it is first asked."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await _pages()(scope, receive, send)


class OffpeakPlugin(AirflowPlugin):
    """What Airflow reads: one application, one navigation entry, one tab."""

    name = "offpeak"
    fastapi_apps = [  # noqa: RUF012  (Airflow's own type)
        {"app": Pages(), "url_prefix": PREFIX, "name": "Offpeak"}
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "Offpeak",
            "href": "offpeak/runs",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "offpeak",
        },
        {
            "name": "Offpeak report",
            "href": "offpeak/runs/{DAG_ID}/{RUN_ID}/report.html",
            "destination": "dag_run",
            "url_route": "offpeak_report",
        },
    ]
