"""The sweep: every paid batch that no living run looks after is attached, kept, ended or told of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.asked import as_asked
from offpeak.errors import LedgerConflict, OffpeakError, ProviderError, SpecError
from offpeak.harvest import keep, keep_replies
from offpeak.patience import in_words
from offpeak.site import account_of
from offpeak.states import BatchStatus, Route, RunState, ShardState
from offpeak.strays import billed
from offpeak.submit import NotYet, attach_found, record_of, recover
from offpeak.swept import Act, Line, Swept

if TYPE_CHECKING:
    from offpeak.ledger.records import Run, Shard
    from offpeak.providers.provider import Account, Batch, Client, Listed, Upload
    from offpeak.site import Site
    from offpeak.workload import Workload

LOOK_BACK = timedelta(days=7)
IDLE = timedelta(hours=2)
"""An unfinished run that has not moved for so long is looked at; its trigger may still be waiting in silence."""
UNCOLLECTED = timedelta(minutes=30)
"""A living run collects a batch within minutes of its end; after this long nobody does."""
WINDOW = timedelta(hours=26)
"""No provider lets a batch run longer than 24 hours."""
A_DAY = timedelta(days=1)


Finder = Callable[["Run"], "Workload | None"]
"""The workload of a run; None for one that is not to be swept. SpecError when it cannot be found."""


def sweep(
    site: Site, workload_of: Finder, *, since: datetime | None = None, also: Iterable[Workload] = ()
) -> Swept:
    """Look once at everything that the ledger or the provider has of runs since `since` (7 days), and act.

    Safe at any time, beside living runs and other sweeps: what a living worker holds is left to it. The
    accounts of `also` are looked at even when no run has used them. Sends no request to any model. A
    provider that cannot be reached is a line of the result, not an error.
    """
    sweeper = _Sweeper(site, workload_of, since or site.now() - LOOK_BACK)
    try:
        sweeper.recover_submissions()
        sweeper.visit_accounts(also)
        sweeper.settle_in_flight()
        sweeper.keep_replies()
        sweeper.delete_uploads()
    finally:
        sweeper.close()
    return Swept(lines=tuple(sweeper.lines))


def sweep_dag_files(site: Site, references: Sequence[str], *, since: datetime | None = None) -> Swept:
    """Sweep the workloads of these DAG files (`FILE` or `FILE:NAME`), or, if there are none, of every run,
    from the DAG file that it recorded. SpecError for a named file that cannot be read."""
    from offpeak.dag_files import load, load_named, workloads

    given: dict[str, Workload] = {}
    for reference in references:
        path = Path(reference)
        found = workloads(path).values() if path.exists() else (load(reference),)
        given |= {workload.name: workload for workload in found}
    named = cache(load_named)

    def workload_of(run: Run) -> Workload | None:
        if given:
            return given.get(run.workload)
        if not run.facts.get("dag_file"):
            raise SpecError(
                "the run does not say which DAG file it came from; name it: offpeak sweep DAG_FILE."
            )
        return named(str(run.facts["dag_file"]), run.workload)

    return sweep(site, workload_of, since=since, also=given.values())


class _Sweeper:
    """The steps over one ledger, with a client for each account that is met."""

    def __init__(self, site: Site, workload_of: Finder, since: datetime) -> None:
        self._site, self._find, self._since = site, workload_of, since
        self._asked: dict[str, Workload | None] = {}
        self._clients: dict[tuple[str, str], tuple[Account, Client]] = {}
        self.lines: list[Line] = []

    def close(self) -> None:
        for _, client in self._clients.values():
            client.close()

    # -- the steps
    def recover_submissions(self) -> None:
        """Shards left in the middle of a submission: their batch is looked for, nothing is sent."""
        for run, shard, workload in self._of(ShardState.SUBMITTING, Route.BATCH):
            with self._troubles(run, shard):
                found = recover(workload, self._site, self._client(workload), shard)
                if found is None:
                    said = (
                        f"{_name(shard)}: its submission made no batch, as was proven; it may be sent again"
                    )
                    self._say(Act.FREED, said, run)
                elif isinstance(found, NotYet):
                    if self._site.ledger.shard(shard.key).holder != self._site.worker:
                        continue  # a living worker is at it
                    self._say(Act.UNPROVEN, f"{_name(shard)}: {found.why}", run)
                else:
                    self._say(Act.ATTACHED, f"{_name(shard)}: batch {found.id} was found", run, found.id)

    def visit_accounts(self, also: Iterable[Workload]) -> None:
        """Batches at the provider that carry our marks and that no shard owns."""
        for workload in also:
            self._open_account(workload)
        for run in self._site.ledger.runs(limit=1_000):
            asked = self._workload(run) if run.created_at >= self._since else None
            if asked is not None:
                self._open_account(asked)
        for account, client in list(self._clients.values()):
            try:
                owned = self._site.ledger.owned_batch_ids(account.id)
                for listed in client.ours(since=self._since, owned=owned):
                    self._meet(client, listed)
            except (ProviderError, LedgerConflict) as error:
                self._say(Act.STUCK, f"account {account.id}: {error}", person=not error.transient)

    def settle_in_flight(self) -> None:
        """Batches that the ledger knows, of runs that nobody carries on."""
        for run, shard, workload in self._of(ShardState.IN_FLIGHT):
            if run.state.ended or self._idle(run):
                with self._troubles(run, shard):
                    self._settle(run, shard, workload)

    def keep_replies(self) -> None:
        """Answers that runs which have ended got in realtime, and that no results hold yet."""
        for state in (ShardState.SUBMITTING, ShardState.WRITTEN):
            for run, shard, workload in self._of(state, Route.REALTIME):
                if not run.state.ended:
                    continue
                with self._troubles(run, shard):
                    if keep_replies(workload, self._site, shard):
                        outcomes = _counts(self._site.ledger.shard(shard.key))
                        self._say(
                            Act.HARVESTED, f"{_name(shard)}: {outcomes} kept of the realtime route", run
                        )

    def delete_uploads(self) -> None:
        """Uploaded shard files of ours that nothing needs. A file of another ledger's is not ours to judge."""
        for account, client in self._clients.values():
            deleted = 0
            try:
                for upload in list(client.uploads()):
                    if not self._needed(upload):
                        client.discard_upload(upload.id)
                        deleted += 1
            except ProviderError as error:
                self._say(Act.STUCK, f"account {account.id}: {error}", person=not error.transient)
            if deleted:
                said = f"{deleted:,} uploaded shard files in account {account.id}, no longer needed"
                self.lines.append(Line(act=Act.DELETED, said=said, count=deleted))

    # -- one batch
    def _meet(self, client: Client, listed: Listed) -> None:
        ledger, batch = self._site.ledger, listed.batch
        shard = ledger.tagged(listed.tag) if listed.tag else None
        if shard is None:
            act = Act.FOREIGN if listed.tag else Act.UNPROVEN
            said = f"batch {batch.id} ({batch.provider_status}, {batch.total:,} requests): {_UNKNOWN[act]}"
            self._say(act, said, batch_id=batch.id)
            return
        run = ledger.run(shard.key.run_id)
        if any(record.batch_id == batch.id for record in ledger.batches(run.run_id)):
            return  # attached in this very moment, or under another name of the account
        workload = self._workload(run)
        if workload is None:
            return
        with self._troubles(run, shard):
            if shard.state not in (ShardState.WRITTEN, ShardState.SUBMITTING):
                self._end_stray(client, workload, shard, batch)
            elif attach_found(self._site, shard, batch):
                self._say(Act.ATTACHED, f"{_name(shard)}: batch {batch.id} was found", run, batch.id)

    def _end_stray(self, client: Client, workload: Workload, shard: Shard, batch: Batch) -> None:
        run = self._site.ledger.run(shard.key.run_id)
        never_ran = batch.status is BatchStatus.FAILED and not batch.result_files
        if never_ran or batch.id in run.facts.get("strays", ()):
            return
        said = f"{_name(shard)} has batch {shard.batch_id}, and batch {batch.id} was made of it too"
        if not batch.status.ended:
            if batch.status is not BatchStatus.CANCELLING:
                batch = client.cancel(batch.id)
            self._say(Act.STRAY, f"{said}: it is {batch.provider_status}, to save its cost", run, batch.id)
            return
        spend = billed(workload, self._site, client, shard, batch)
        if self._site.ledger.stray(batch.id, spend):
            cost = "an unknown amount" if spend.cost_usd is None else f"${spend.cost_usd:.6f}"
            said += f": it billed {cost} for {spend.requests:,} requests, which is recorded as spent"
            self._say(Act.STRAY, said, run, batch.id, person=True)

    def _settle(self, run: Run, shard: Shard, workload: Workload) -> None:
        site, client = self._site, self._client(workload)
        batch = client.look(str(shard.batch_id))
        site.ledger.seen(record_of(shard, batch, site.now()), now=site.now())
        age = site.now() - (shard.intent_at or shard.updated_at)
        if batch.status.ended:
            fresh = batch.ended_at is not None and site.now() - batch.ended_at < UNCOLLECTED
            if run.state.ended or not fresh:
                keep(workload, site, client, shard, batch)
                self._say_kept(run, shard, batch)
        elif run.state is RunState.CANCELLED and batch.status is not BatchStatus.CANCELLING:
            batch = client.cancel(batch.id)
            said = f"{_name(shard)}: batch {batch.id} of the cancelled run is {batch.provider_status}"
            self._say(Act.CANCELLED, said, run, batch.id)
        elif run.state.ended or age > WINDOW:
            said = f"{_name(shard)}: batch {batch.id} is {batch.provider_status} for {in_words(age)}"
            self._say(Act.RUNNING, said, run, batch.id, person=age > WINDOW)

    def _say_kept(self, run: Run, shard: Shard, batch: Batch) -> None:
        shard = self._site.ledger.shard(shard.key)
        if shard.state is not ShardState.COLLECTED:
            said = f"{_name(shard)}: batch {batch.id} failed before anything ran; nothing was billed"
            self._say(Act.FREED, said, run, batch.id)
            return
        said = f"{_name(shard)}: {_counts(shard)} kept of batch {batch.id}"
        if not run.state.ended:
            said += f"; nobody carries on this {run.state} run: start it again to take it up, or cancel it"
        self._say(Act.HARVESTED, said, run, batch.id, person=not run.state.ended)

    # -- what there is
    def _of(self, state: ShardState, route: Route | None = None) -> Iterator[tuple[Run, Shard, Workload]]:
        """The shards in a state, of runs since the beginning, whose files and workload are here."""
        for shard in self._site.ledger.shards_in((state,)):
            if route not in (None, shard.route):
                continue
            run = self._site.ledger.run(shard.key.run_id)
            if run.created_at >= self._since and run.store == self._site.store.root:
                workload = self._workload(run)
                if workload is not None:
                    yield run, shard, workload

    def _workload(self, run: Run) -> Workload | None:
        """The run's workload as it asked; None, and a line, when it is not known here."""
        if run.run_id not in self._asked:
            self._asked[run.run_id] = None
            try:
                found = self._find(run)
                self._asked[run.run_id] = None if found is None else as_asked(found, run)
            except SpecError as error:
                in_doubt = [s for s in self._site.ledger.shards(run.run_id) if s.state in _UNSETTLED]
                if in_doubt:
                    said = f"{len(in_doubt)} batches may be at the provider, and the workload is not known: {error}"
                    self._say(Act.STUCK, said, run, person=True)
        return self._asked[run.run_id]

    def _client(self, workload: Workload) -> Client:
        account = account_of(workload, self._site)
        at = (account.provider, account.id)
        if at not in self._clients:
            self._clients[at] = (account, workload.provider.connect(account))
        return self._clients[at][1]

    def _open_account(self, workload: Workload) -> None:
        try:
            self._client(workload)
        except SpecError as error:
            line = Line(act=Act.STUCK, said=f"workload {workload.name}: {error}", for_person=True)
            if line not in self.lines:
                self.lines.append(line)

    def _idle(self, run: Run) -> bool:
        ledger = self._site.ledger
        moved = [run.updated_at, *(shard.updated_at for shard in ledger.shards(run.run_id))]
        return self._site.now() - max(moved) >= IDLE

    def _needed(self, upload: Upload) -> bool:
        shard = self._site.ledger.tagged(upload.tag)
        if shard is None:
            return True
        if shard.state is ShardState.COLLECTED:
            return False
        state = self._site.ledger.run(shard.key.run_id).state
        can_go_on = shard.state is ShardState.IN_FLIGHT or not state.ended or state is RunState.FAILED
        is_its_own = upload.id == shard.upload_id and can_go_on
        return is_its_own or self._site.now() - upload.created_at < A_DAY

    def _say(
        self, act: Act, said: str, run: Run | None = None, batch_id: str = "", *, person: bool = False
    ) -> None:
        run_id = run.run_id if run else ""
        self.lines.append(Line(act=act, said=said, run_id=run_id, batch_id=batch_id, for_person=person))

    @contextmanager
    def _troubles(self, run: Run, shard: Shard) -> Iterator[None]:
        """What goes wrong with one shard is said, and does not keep the others from being looked at."""
        try:
            yield
        except (OffpeakError, OSError) as error:
            gone = getattr(error, "code", "") == "not_found"
            person = gone or not getattr(error, "transient", False)
            self._say(Act.STUCK, f"{_name(shard)}: {error}", run, shard.batch_id or "", person=person)


_UNSETTLED = (ShardState.SUBMITTING, ShardState.IN_FLIGHT)
_UNKNOWN = {
    Act.FOREIGN: "made by Offpeak, but with another ledger; it was left alone",
    Act.UNPROVEN: "it may be ours, which shows once it has ended; it was left alone",
}


def _counts(shard: Shard) -> str:
    return ", ".join(f"{count:,} {outcome}" for outcome, count in shard.outcomes.items())


def _name(shard: Shard) -> str:
    return f"shard {shard.key.number} round {shard.key.round}"
