"""Driving a run in one process, without Airflow: the same steps, waited for here."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from offpeak.advance import Done, Wait, advance
from offpeak.errors import LedgerConflict
from offpeak.run import check, connect, fail, publish
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.ledger import Run
    from offpeak.providers.provider import Client
    from offpeak.site import Site
    from offpeak.workload import Workload

AT_ONCE = 4
"""Shards that are uploaded or collected at the same time."""
LONGEST_NAP = timedelta(seconds=1)
CONFLICTS = 60
"""So often another worker may be ahead of us before we give up."""

Watch = Callable[[str], None]
"""Told in a sentence whenever something happened, and at least once a nap."""


def drive(workload: Workload, site: Site, run_id: str, watch: Watch = lambda _: None) -> Run:
    """Carry a planned run to its end and return it. Joins in wherever it stands.

    Raises what the stages raise (see run.py); the run is then ended in the ledger with the reason,
    unless the error is transient: then it stays open, and the next call goes on.
    """
    conflicts = 0
    while True:
        run = site.ledger.run(run_id)
        try:
            if run.state is RunState.RUNNING:
                _advance_all(workload, site, run_id, watch)
                watch("checking")
                check(workload, site, run_id)
            elif run.state is RunState.CHECKING:
                watch("checking")
                check(workload, site, run_id)
            elif run.state is RunState.PUBLISHING:
                watch("publishing")
                publish(workload, site, run_id)
            else:
                return run
        except LedgerConflict:  # another worker is at the same step; see what it made of it
            conflicts += 1
            if conflicts > CONFLICTS:
                raise
            time.sleep(LONGEST_NAP.total_seconds())
        except Exception as error:
            if not getattr(error, "transient", False):
                fail(site, run_id, str(error))
            raise


def _advance_all(workload: Workload, site: Site, run_id: str, watch: Watch) -> None:
    """Advance every shard until all are done, a few at once, each again when its wait is over."""
    numbers = sorted({shard.key.number for shard in site.ledger.shards(run_id)})
    if not numbers:
        return
    client = connect(workload, site)
    try:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="shard") as pool:
            _Rota(workload, site, client, run_id).turn(pool, numbers, watch)
    finally:
        client.close()


class _Rota:
    """Which shard is looked at when."""

    def __init__(self, workload: Workload, site: Site, client: Client, run_id: str) -> None:
        self._step = lambda number: advance(workload, site, client, run_id, number)
        self._waiting: list[tuple[datetime, int]] = []
        self._running: dict[Future[Wait | Done], int] = {}

    def turn(self, pool: ThreadPoolExecutor, numbers: list[int], watch: Watch) -> None:
        self._waiting = [(datetime.min.replace(tzinfo=UTC), number) for number in numbers]
        try:
            while self._waiting or self._running:
                self._begin_due(pool)
                nap = self._nap()
                if self._running:
                    finished, _ = wait(self._running, timeout=nap, return_when=FIRST_COMPLETED)
                    for future in finished:
                        self._note(future, watch)
                else:
                    time.sleep(nap)
                watch("")
        finally:
            for future in self._running:
                future.cancel()

    def _begin_due(self, pool: ThreadPoolExecutor) -> None:
        now = datetime.now(UTC)
        while self._waiting and len(self._running) < AT_ONCE and self._waiting[0][0] <= now:
            _, number = heapq.heappop(self._waiting)
            self._running[pool.submit(self._step, number)] = number

    def _nap(self) -> float:
        if len(self._running) >= AT_ONCE or not self._waiting:
            return LONGEST_NAP.total_seconds()
        left = (self._waiting[0][0] - datetime.now(UTC)).total_seconds()
        return min(max(left, 0.01), LONGEST_NAP.total_seconds())

    def _note(self, future: Future[Wait | Done], watch: Watch) -> None:
        number = self._running.pop(future)
        step = future.result()
        if isinstance(step, Wait):
            heapq.heappush(self._waiting, (step.until, number))
            watch(f"shard {number}: {step.why}")
        else:
            watch(f"shard {number}: all answers collected after round {step.rounds}")
