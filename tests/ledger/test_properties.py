"""The shard's state machine against a model of it: any order of verbs, by any worker, with any clock."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from offpeak.errors import LedgerConflict
from offpeak.ledger import Ledger, ShardKey
from offpeak.states import BatchStatus, ShardState
from tests.ledger.making import LEASE, NOW, batch_of, new_shard, results_of, running, spend_of

MEMORY = Path("/dev/shm")
"""Each commit is synced to the disk; where there is a disk in memory the examples are many times faster."""

numbers = st.integers(1, 2)
honest = st.booleans()
"""Whether a verb of the holder's is used by the holder, else by anyone: most of those would only be refused."""
holders = st.sampled_from(["elsewhere:1:a", "elsewhere:2:b", "elsewhere:3:c"])
clocks = st.integers(-10, 20).map(lambda minutes: NOW + timedelta(minutes=minutes))
LATE = NOW + timedelta(minutes=30)
"""Past every wait and every lease."""
waits = st.none() | st.integers(-10, 20).map(lambda minutes: NOW + timedelta(minutes=minutes))


@dataclasses.dataclass(slots=True, kw_only=True)
class Model:
    """What the contract says one shard is now."""

    state: ShardState = ShardState.WRITTEN
    attempt: int = 0
    holder: str = ""
    lease_until: datetime = NOW
    intent_at: datetime | None = None
    not_before: datetime | None = None
    batch_id: str | None = None
    submissions: int = 0

    def can_be_claimed(self, holder: str, now: datetime) -> bool:
        if self.not_before is not None and self.not_before > now:
            return False
        if self.state is ShardState.SUBMITTING:
            return self.holder == holder or self.lease_until <= now
        return self.state is ShardState.WRITTEN

    def held_by(self, holder: str) -> bool:
        return self.state is ShardState.SUBMITTING and self.holder == holder


@pytest.fixture(scope="module", autouse=True)
def template() -> Iterator[None]:
    """A ledger that is migrated once and copied for every example."""
    with tempfile.TemporaryDirectory() as folder:
        Shards.template = Path(folder) / "template.sqlite"
        ledger = Ledger(f"sqlite:///{Shards.template}")
        running(ledger, shards=2)
        ledger.close()
        yield


class Shards(RuleBasedStateMachine):
    template: Path

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        path = Path(self.folder.name) / "ledger.sqlite"
        shutil.copy(self.template, path)
        self.ledger = Ledger(f"sqlite:///{path}")
        run_id = self.ledger.runs()[0].run_id
        self.keys = {n: ShardKey(run_id=run_id, round=1, number=n) for n in (1, 2)}
        self.models = {1: Model(), 2: Model()}
        self.batches = 0
        self.ended: dict[str, BatchStatus] = {}

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    @rule(number=numbers, holder=holders, now=clocks)
    def claim(self, number: int, holder: str, now: datetime) -> None:
        model = self.models[number]
        expected = model.can_be_claimed(holder, now)
        shard = self.ledger.claim(self.keys[number], holder, LEASE, now=now)
        assert (shard is not None) is expected
        if expected:
            if model.state is ShardState.WRITTEN:
                model.attempt, model.intent_at, model.state = model.attempt + 1, now, ShardState.SUBMITTING
            model.holder, model.lease_until = holder, now + LEASE

    @rule(number=numbers, holder=holders, now=clocks, honest=honest)
    def renew(self, number: int, holder: str, now: datetime, honest: bool) -> None:
        model = self.models[number]
        holder = model.holder if honest else holder
        if not model.held_by(holder):
            with pytest.raises(LedgerConflict):
                self.ledger.renew(self.keys[number], holder, LEASE, now=now)
            return
        self.ledger.renew(self.keys[number], holder, LEASE, now=now)
        model.lease_until = now + LEASE

    @rule(number=numbers, holder=holders, now=clocks, honest=honest)
    def attach(self, number: int, holder: str, now: datetime, honest: bool) -> None:
        self._attach(
            number, self.models[number].holder if honest else holder, now, f"batch_{self.batches + 1}"
        )

    @rule(number=numbers, holder=holders)
    def submit(self, number: int, holder: str) -> None:
        self.claim(number, holder, LATE)
        self._attach(number, holder, LATE, f"batch_{self.batches + 1}")

    @rule(number=numbers, holder=holders)
    def attach_the_batch_of_the_other_shard(self, number: int, holder: str) -> None:
        batch_id = self.models[3 - number].batch_id
        if batch_id is not None:
            self.claim(number, holder, LATE)
            self._attach(number, holder, LATE, batch_id)

    def _attach(self, number: int, holder: str, now: datetime, batch_id: str) -> None:
        model, key, other = self.models[number], self.keys[number], self.models[3 - number]
        batch = dataclasses.replace(batch_of(self.ledger.shard(key), batch_id), seen_at=now)
        if not model.held_by(holder) or batch_id == other.batch_id:
            with pytest.raises(LedgerConflict):
                self.ledger.attach(key, holder, batch, now=now)
            return
        self.ledger.attach(key, holder, batch, now=now)
        self.batches += 1
        model.state, model.batch_id, model.holder = ShardState.IN_FLIGHT, batch_id, ""
        model.not_before, model.submissions = None, model.submissions + 1

    @rule(number=numbers, holder=holders | st.none(), now=clocks, wait=waits)
    def release(self, number: int, holder: str | None, now: datetime, wait: datetime | None) -> None:
        model, key = self.models[number], self.keys[number]
        holder = holder or model.holder
        if not model.held_by(holder):
            with pytest.raises(LedgerConflict):
                self.ledger.release(key, holder, now=now, not_before=wait, note="")
            return
        self.ledger.release(key, holder, now=now, not_before=wait, note="")
        model.state, model.holder, model.not_before = ShardState.WRITTEN, "", wait
        model.intent_at = None

    @rule(number=numbers, now=clocks, wait=waits)
    def resubmit(self, number: int, now: datetime, wait: datetime | None) -> None:
        model, key = self.models[number], self.keys[number]
        batch_id = model.batch_id or "none"
        if model.state is not ShardState.IN_FLIGHT:
            with pytest.raises(LedgerConflict):
                self.ledger.resubmit(key, batch_id, now=now, not_before=wait, note="")
            return
        self.ledger.resubmit(key, batch_id, now=now, not_before=wait, note="")
        model.state, model.batch_id, model.not_before = ShardState.WRITTEN, None, wait
        model.intent_at = None

    @rule(statuses=st.lists(st.sampled_from(BatchStatus), min_size=1, max_size=3), now=clocks, which=numbers)
    def seen(self, statuses: list[BatchStatus], now: datetime, which: int) -> None:
        batches = self.ledger.batches(self.keys[1].run_id)
        for status in statuses if batches else ():
            batch = dataclasses.replace(batches[which % len(batches)], status=status, seen_at=now)
            self.ledger.seen(batch, now=now)
            self.an_ended_batch_stays_ended()

    @rule(number=numbers, now=clocks)
    def collect(self, number: int, now: datetime) -> None:
        model, key = self.models[number], self.keys[number]
        shard = results_of(self.ledger.shard(key))
        next_round = new_shard(key.run_id, number, in_round=2)
        if model.state in {ShardState.WRITTEN, ShardState.SUBMITTING}:
            with pytest.raises(LedgerConflict):
                self.ledger.collect(shard, spend_of(shard), next_round, now=now)
            return
        done = self.ledger.collect(shard, spend_of(shard), next_round, now=now)
        assert done is (model.state is ShardState.IN_FLIGHT)
        model.state = ShardState.COLLECTED

    @invariant()
    def the_ledger_is_as_the_model_says(self) -> None:
        for number, model in self.models.items():
            shard = self.ledger.shard(self.keys[number])
            assert (shard.state, shard.attempt, shard.holder) == (model.state, model.attempt, model.holder)
            assert (shard.batch_id, shard.intent_at) == (model.batch_id, model.intent_at)
            assert shard.not_before == model.not_before
            held = shard.state is ShardState.SUBMITTING
            assert (shard.holder != "", shard.lease_until is not None) == (held, held)

    @invariant()
    def no_attempt_has_two_batches_and_no_batch_two_shards(self) -> None:
        batches = self.ledger.batches(self.keys[1].run_id)
        assert len({(batch.key.number, batch.attempt) for batch in batches}) == len(batches)
        assert len({batch.batch_id for batch in batches}) == len(batches) == self.batches
        for number, model in self.models.items():
            assert sum(batch.key.number == number for batch in batches) == model.submissions

    @invariant()
    def what_was_collected_is_paid_once_and_goes_on_once(self) -> None:
        collected = sorted(n for n, model in self.models.items() if model.state is ShardState.COLLECTED)
        assert len(self.ledger.spent()) == len(collected)
        rounds = [shard.key for shard in self.ledger.shards(self.keys[1].run_id) if shard.key.round == 2]
        assert [key.number for key in rounds] == collected

    @invariant()
    def an_ended_batch_stays_ended(self) -> None:
        for batch in self.ledger.batches(self.keys[1].run_id):
            assert batch.batch_id not in self.ended or batch.status.ended
            if batch.status.ended:
                self.ended[batch.batch_id] = batch.status


TestShards = Shards.TestCase
TestShards.settings = settings(
    max_examples=80, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
