"""Shares of a spool: a source's rows read and rendered by several tasks, before one of them plans the run.

Folding needs every fingerprint in one place, so that the plan is one task's. What comes before it is not: with
`readers` above 1 each task spools its share into the store, and the plan copies them one after the other. Shares that
do not fit together (a file came in between, the workload was changed) are not used: the plan reads the source itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.rows.source import Share
from offpeak.spool import SEEN, opening_of, spool
from offpeak.states import RunState

if TYPE_CHECKING:
    from offpeak.ledger import NewRun
    from offpeak.site import Interval, Site
    from offpeak.workload import Workload

log = logging.getLogger(__name__)


def spool_share(workload: Workload, site: Site, new: NewRun, interval: Interval, number: int) -> int | None:
    """Read and render the share `number`, from 0, of what `new` will ask; the number of its rows, None where the
    plan needs none: the run is planned already, or its plan reads alone.

    It replaces what an earlier try has left. InputError when the source cannot be read.
    """
    names = _names(workload, new)
    if not names or _is_planned(site, new):
        return None
    opening = opening_of(workload, site, interval, Share(number, workload.readers))
    with site.store.writing(names[number]) as path:
        return spool(workload, opening, path, None).rows


def _is_planned(site: Site, new: NewRun) -> bool:
    """Whether the run that is to be started goes on, or is taken up, with the rows that it has."""
    run = site.ledger.latest(new.workload, new.interval_key)
    if run is None or run.spec_hash != new.spec_hash:
        return False
    return "folder" in run.facts and run.state not in (RunState.PUBLISHED, RunState.CANCELLED)


@contextmanager
def shares_of(workload: Workload, site: Site, new: NewRun) -> Iterator[Sequence[Path]]:
    """The shares that were spooled for `new`, on this disk; none if not all are there or they do not fit together."""
    import pyarrow.parquet as pq

    names, paths = _names(workload, new), []
    with ExitStack() as stack:
        if names and all(map(site.store.exists, names)):
            found = [stack.enter_context(site.store.reading(name)) for name in names]
            paths = found if len({pq.read_metadata(path).metadata[SEEN] for path in found}) == 1 else []
        if names and not paths:
            log.warning(
                "%s: the plan reads all rows itself, for of the %d shares some are not there, or the files changed "
                "while they were read.",
                workload.name,
                len(names),
            )
        yield paths


def drop_shares(workload: Workload, site: Site, new: NewRun) -> None:
    """Delete them: the run has its rows, or is to read them anew. A store that will not is told of in the log."""
    if names := _names(workload, new):
        folder = names[0].rpartition("/")[0]
        try:
            site.store.delete(folder)
        except OSError as error:
            log.warning("%s stays in the store, where nothing needs it: %s", folder, error)


def _names(workload: Workload, new: NewRun) -> list[str]:
    """In the store; none for a run whose plan reads alone: a limited one, a replay, any of the command line."""
    alone = workload.readers == 1 or not new.started_by or "replay" in new.spec
    if alone or new.spec.get("limit") is not None:
        return []
    told = f"{new.spec_hash} {new.started_by} {workload.rows!r}"
    token = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
    folder = f"runs/{workload.name}/{new.interval_key}~shares-{token}"
    return [f"{folder}/{number}-of-{workload.readers}.parquet" for number in range(workload.readers)]
