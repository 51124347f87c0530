"""The history that a forecast learns from is what the ledger holds of past batches."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from offpeak.forecast import History, past_batches
from offpeak.ledger import Ledger
from offpeak.states import BatchStatus
from tests.ledger.making import NOW, batch_of, flying, running

MINUTE = timedelta(minutes=1)


def history(tmp_path: Path) -> History:
    """Five batches: completed, cancelled, failed, still open, and completed without an end of its own."""
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    statuses = (BatchStatus.COMPLETED, BatchStatus.CANCELLED, BatchStatus.FAILED, BatchStatus.RUNNING)
    for number, key in enumerate(running(ledger, shards=5), 1):
        shard = flying(ledger, key, f"batch_{number}")
        status = statuses[number - 1] if number <= 4 else BatchStatus.COMPLETED
        ended = NOW + number * MINUTE if status.ended and number < 5 else None
        seen = batch_of(
            shard, f"batch_{number}", status=status, seen_at=NOW + 9 * MINUTE, ended_at=ended, total=0
        )
        ledger.seen(seen, now=NOW + 9 * MINUTE)
    found = past_batches(ledger, "openai", "gpt-5-mini", now=NOW + 30 * MINUTE)
    assert ledger.batch_times("openai", "another") == ledger.batch_times("anthropic", "gpt-5-mini") == []
    assert len(ledger.batch_times("openai", "gpt-5-mini", limit=2)) == 2
    ledger.close()
    return found


def test_batches_come_with_their_time_and_whether_they_finished(tmp_path: Path) -> None:
    found = {(one.lasted / MINUTE, one.finished) for one in history(tmp_path).batches}
    assert found == {(1, True), (2, False), (30, False), (9, True)}


def test_a_provider_that_tells_no_total_is_counted_by_the_shard(tmp_path: Path) -> None:
    assert {one.requests for one in history(tmp_path).batches} == {10}
