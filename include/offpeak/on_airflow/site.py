"""The site on Airflow: connections are Airflow's own, the ledger may be one of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from offpeak.connections import Connection
from offpeak.memory import keep_little
from offpeak.polling import Pace
from offpeak.site import Interval, Site
from offpeak.store import Store

LEDGER_CONNECTION = "offpeak_ledger"


@dataclass(frozen=True, slots=True)
class AirflowConnections:
    """Airflow's connections, through whatever secrets backend it has."""

    def get(self, connection_id: str) -> Connection | None:
        """The connection; None when Airflow knows none of that id."""
        from airflow.sdk.bases.hook import BaseHook
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            found = BaseHook.get_connection(connection_id)
        except AirflowNotFoundException:
            return None
        return Connection(
            id=connection_id,
            conn_type=found.conn_type or "",
            host=found.host or "",
            login=found.login or "",
            password=found.password or "",
            port=found.port,
            schema=found.schema or "",
            extra=found.extra_dejson or {},
        )


def airflow_site() -> Site:
    """The site of this Airflow: OFFPEAK_STORE, and the ledger from OFFPEAK_LEDGER, else from the connection
    `offpeak_ledger` if there is one, else SQLite in a local store."""
    keep_little()
    connections = AirflowConnections()
    ledger = None
    if not os.environ.get("OFFPEAK_LEDGER") and connections.get(LEDGER_CONNECTION) is not None:
        from offpeak.rows.databases import database_url

        store = Store(os.environ.get("OFFPEAK_STORE") or "offpeak-store")
        url = database_url(LEDGER_CONNECTION, connections, store)
        ledger = url.render_as_string(hide_password=False)
    return Site.open(ledger=ledger, connections=connections, pace=Pace())


def interval_of(context: Any) -> Interval:
    """The dag run's data interval. A run triggered without one may name `start` and `end` in its conf;
    else it is an empty interval at the moment it was triggered for."""
    dag_run = context["dag_run"]
    conf = dag_run.conf or {}
    if "end" in conf:
        end = datetime.fromisoformat(conf["end"])
        return Interval(start=datetime.fromisoformat(conf.get("start", conf["end"])), end=end)
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    if start is None or end is None:
        start = end = dag_run.run_after
    return Interval(start=_plain(start), end=_plain(end))


def _plain(at: datetime) -> datetime:
    """The same moment as a datetime of the standard library, in UTC. Airflow's are of pendulum in some places:
    after `astimezone(UTC)` those lose their zone with the next addition."""
    utc = at.astimezone(UTC)
    return datetime.combine(utc.date(), utc.time(), tzinfo=UTC)
