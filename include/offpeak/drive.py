"""Driving a run in one process, without Airflow: the same steps, waited for here."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import partial
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
ASKING_AT_ONCE = 2
"""Shards that are asked in realtime at the same time, beside those: they share the account's limits anyway."""
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
        with (
            ThreadPoolExecutor(AT_ONCE, thread_name_prefix="shard") as pool,
            ThreadPoolExecutor(ASKING_AT_ONCE, thread_name_prefix="realtime") as asking,
        ):
            _Rota(workload, site, client, run_id).turn((pool, asking), numbers, watch)
    finally:
        client.close()


def _never() -> bool:
    return False


class _Rota:
    """Which shard is looked at when. What is asked in realtime takes long and has threads of its own."""

    def __init__(self, workload: Workload, site: Site, client: Client, run_id: str) -> None:
        self._site = site
        self._step = partial(advance, workload, site, client, run_id)
        self._waiting: list[tuple[datetime, int]] = []
        self._to_ask: list[int] = []
        self._running: dict[Future[Wait | Done], int] = {}
        self._asking: dict[Future[Wait | Done], int] = {}
        self._ending = False

    def turn(
        self, pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor], numbers: list[int], watch: Watch
    ) -> None:
        self._waiting = [(datetime.min.replace(tzinfo=UTC), number) for number in numbers]
        try:
            while self._waiting or self._to_ask or self._running or self._asking:
                self._begin(*pools)
                nap, going = self._nap(), [*self._running, *self._asking]
                if going:
                    finished, _ = wait(going, timeout=nap, return_when=FIRST_COMPLETED)
                    for future in finished:
                        self._note(future, watch)
                else:
                    time.sleep(nap)
                watch("")
        finally:
            self._ending = True
            for future in (*self._running, *self._asking):
                future.cancel()

    def _may_ask(self) -> bool:
        return not self._ending

    def _begin(self, pool: ThreadPoolExecutor, asking: ThreadPoolExecutor) -> None:
        now = self._site.now()
        while self._waiting and len(self._running) < AT_ONCE and self._waiting[0][0] <= now:
            _, number = heapq.heappop(self._waiting)
            self._running[pool.submit(self._step, number, may_ask=_never)] = number
        while self._to_ask and len(self._asking) < ASKING_AT_ONCE:
            number = self._to_ask.pop(0)
            self._asking[asking.submit(self._step, number, may_ask=self._may_ask)] = number

    def _nap(self) -> float:
        if len(self._running) >= AT_ONCE or not self._waiting:
            return LONGEST_NAP.total_seconds()
        left = (self._waiting[0][0] - self._site.now()).total_seconds()
        return min(max(left, 0.01), LONGEST_NAP.total_seconds())

    def _note(self, future: Future[Wait | Done], watch: Watch) -> None:
        where = self._running if future in self._running else self._asking
        number = where.pop(future)
        step = future.result()
        if isinstance(step, Done):
            watch(f"shard {number}: all answers collected after round {step.rounds}")
        elif step.asks:
            self._to_ask.append(number)
            watch(f"shard {number}: {step.why}")
        else:
            heapq.heappush(self._waiting, (min(step.until, step.wake or step.until), number))
            watch(f"shard {number}: {step.why}")
