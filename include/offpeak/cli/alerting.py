"""Alerts of a run that the command line carries: brought up to date when something was foreseen or collected."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offpeak.site import Site
    from offpeak.workload import Workload

EVERY_SECONDS = 10.0


class Alerting:
    """Watches one run; see `drive`. Never raises for an alert that could not be told."""

    def __init__(self, site: Site, workload: Workload, run_id: str) -> None:
        self._site, self._workload, self._run_id = site, workload, run_id
        self._looked_at, self._foreseen, self._news = time.monotonic(), "", False

    def __call__(self, happened: str) -> None:
        self._news = self._news or "collected" in happened
        if time.monotonic() - self._looked_at < EVERY_SECONDS:
            return
        self._looked_at = time.monotonic()
        foreseen = str(self._site.ledger.run(self._run_id).facts.get("outlook", {}).get("at", ""))
        if self._news or foreseen != self._foreseen:
            self._foreseen, self._news = foreseen, False
            self.end()

    def end(self) -> None:
        """Raise and resolve what there is, now."""
        tell(self._site, self._workload, self._run_id)


def tell(site: Site, workload: Workload, run_id: str) -> None:
    """Bring the run's alerts up to date with what is foreseen of it, and tell the workload's channels."""
    from offpeak.alerts.raising import raise_alerts

    raise_alerts(site, workload, run_id)
