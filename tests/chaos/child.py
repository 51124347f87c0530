"""What happens in a forked child: a real run by the real library, wrapped in boundaries."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from datetime import timedelta
from functools import partialmethod
from pathlib import Path

from offpeak.emulator import Emulator
from offpeak.site import Site, utc_now
from tests.chaos.boundaries import Crossings
from tests.chaos.job import Job
from tests.run.making import QUICK, Place

NAP = timedelta(milliseconds=50)
ROWS = 12


class Elsewhere(Emulator):
    """An emulator that another process runs."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url


def place_of(job: Job) -> Place:
    return Place(
        folder=Path(job.folder),
        emulator=Elsewhere(job.url),
        provider=job.provider,
        ledger_url=job.ledger_url,
    )


def site_of(job: Job, place: Place) -> Site:
    """A new worker's site; with `behind_seconds`, one whose clock was set back."""
    site = place.site(replace(QUICK, settle=timedelta(seconds=job.settle_seconds)))
    behind = timedelta(seconds=job.behind_seconds)
    return replace(site, now=lambda: utc_now() - behind) if behind else site


def live(job: Job) -> None:
    """Do the job. Never returns when the job says where to die and that place is reached."""
    temporary = Path(job.folder) / "tmp"
    temporary.mkdir(exist_ok=True)
    tempfile.tempdir = str(temporary)
    random.seed()  # two forks of one zygote must not draw the same waits
    _shorten_waits(job.lanes)
    Crossings(job.log, job.kill).wrap_everything()
    {"run": _run, "cancel": _cancel}[job.task](job, place_of(job))


def _shorten_waits(lanes: int) -> None:
    """Waits that stand for time passing elsewhere: nothing is skipped, it only comes sooner."""
    from offpeak import drive
    from offpeak.providers import anthropic_client, openai_client

    drive.AT_ONCE = lanes
    drive.LONGEST_NAP = NAP
    for client in (openai_client.OpenAIClient, anthropic_client.AnthropicClient):
        made = partialmethod(client.__init__, wait=lambda seconds: None)
        client.__init__ = made  # type: ignore[assignment,method-assign]


def _run(job: Job, place: Place) -> None:
    """Start the run or join it, and carry it to its end; what is published already stays as it is."""
    from offpeak.drive import drive
    from offpeak.states import RunState

    workload, site = place.workload(shard_requests=job.shard_rows), site_of(job, place)
    last = next(iter(site.ledger.runs(workload.name, limit=1)), None)
    if last is not None and last.state is RunState.PUBLISHED:
        return
    drive(workload, site, place.begin(workload, site).run_id)


def _cancel(job: Job, place: Place) -> None:
    """Bring every shard in flight, then cancel the run; again if a process before this one died over it."""
    from offpeak.advance import advance
    from offpeak.cancel import cancel
    from offpeak.errors import RunEnded
    from offpeak.run import connect
    from offpeak.states import RunState, ShardState

    workload, site = place.workload(shard_requests=job.shard_rows), site_of(job, place)
    last = next(iter(site.ledger.runs(workload.name, limit=1)), None)
    if last is None or last.state is not RunState.CANCELLED:
        run = place.begin(workload, site)
        client = connect(workload, site)
        for number in sorted({shard.key.number for shard in site.ledger.shards(run.run_id)}):
            while site.ledger.shards(run.run_id, number=number)[-1].state is not ShardState.IN_FLIGHT:
                try:
                    advance(workload, site, client, run.run_id, number)
                except RunEnded:  # another process was faster, and says so
                    break
        last = run
    cancel(workload, site, last.run_id, patience=timedelta(seconds=20))
