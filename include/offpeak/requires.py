"""Requiring: a workload whose model or prompt changed asks nothing before an evaluation suite has passed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offpeak.errors import GateRefused
from offpeak.spec import asks_of
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.site import Site
    from offpeak.workload import Workload


def require_passed(workload: Workload, site: Site, run: Run) -> None:
    """GateRefused when `requires` names a suite that has not passed what the workload asks now.

    What the last published run asked is not held up: a suite gates changes. Nor is a replay, which a person starts.
    """
    if not workload.requires or "replay" in run.spec:
        return
    from offpeak.evals.gate import passed

    asks = asks_of(workload)
    last = next(iter(site.ledger.runs(workload.name, states=(RunState.PUBLISHED,), limit=1)), None)
    if last is not None and last.spec.get("asks") == asks:
        return
    standing = passed(site.ledger, workload.requires, asks)
    if not standing.ok:
        changed = "was never published" if last is None else "asks something else than its last published run"
        raise GateRefused(
            f"Workload {workload.name} {changed}, and it requires {workload.requires} to have passed it: "
            f"{standing.said} Nothing was sent or billed; readers keep the last good table. Until it has passed, go "
            "back to the former model and prompt, or take requires= out."
        )
