"""Workers that die while they hold something: built as real processes that are really killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest

from offpeak.ledger import Ledger
from offpeak.ledger.holder import here, is_gone
from offpeak.site import worker_name
from offpeak.states import RunState
from tests.ledger.making import LEASE, NOW, batch_of, new_run, running

_FORK = multiprocessing.get_context("fork")


def _killed_inside(doing: Callable[[], AbstractContextManager[Any]]) -> str:
    """Enter the block in a process that then hangs, kill it, and give back its name as a worker."""
    receive, send = _FORK.Pipe(duplex=False)

    def child() -> None:
        with doing():
            send.send(worker_name())
            signal.pause()

    process = _FORK.Process(target=child)
    process.start()
    send.close()  # so that a child that failed is an end of file here, not a wait
    try:
        name: str = receive.recv()
    finally:
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    return name


def test_a_shard_held_by_a_killed_process_of_this_host_is_taken_over_at_once(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    [key] = running(ledger)

    def claim() -> AbstractContextManager[Any]:
        return nullcontext(ledger.claim(key, worker_name(), LEASE, now=NOW))

    dead = _killed_inside(claim)
    held = ledger.shard(key)
    assert held.holder.split(":")[:2] == dead.split(":")[:2]
    taken = ledger.claim(key, worker_name(), LEASE, now=NOW)
    assert taken is not None
    assert (taken.attempt, taken.intent_at) == (1, NOW)
    assert ledger.events(key.run_id)[-1].detail == f"by {taken.holder} from {held.holder}"


def test_a_living_process_of_this_host_keeps_its_shard(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    [key] = running(ledger)
    mine = worker_name()
    ledger.claim(key, mine, LEASE, now=NOW)
    assert ledger.claim(key, worker_name(), LEASE, now=NOW) is None
    assert ledger.shard(key).holder == mine


def test_a_dead_process_of_another_host_keeps_its_shard_until_the_lease_ends() -> None:
    dead_pid = _killed_inside(nullcontext).split(":")[1]
    assert is_gone(f"{here()}:{dead_pid}:x")
    assert is_gone(f"{socket.gethostname()}:{dead_pid}:x")
    assert not is_gone(f"elsewhere:{dead_pid}:x")
    # another container of the same host name counts its processes for itself
    assert not is_gone(f"{socket.gethostname()}/1:{dead_pid}:x")


@pytest.mark.parametrize("holder", ["", "me", f"{here()}", f"{here()}:", f"{here()}:x:y", f"{here()}:0:y"])
def test_a_holder_that_names_no_process_is_never_thought_dead(holder: str) -> None:
    assert not is_gone(holder)
    assert not is_gone(f"{here()}:99999999999999999999:x")


def test_a_process_killed_in_a_transaction_leaves_no_trace_and_no_lock(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    [key] = running(ledger)

    @contextmanager
    def half() -> Iterator[None]:
        with ledger._database.changing(NOW) as change:
            change.event(key.run_id, "half a change")
            yield

    _killed_inside(half)
    assert ledger.claim(key, worker_name(), LEASE, now=NOW) is not None
    assert "half a change" not in [event.what for event in ledger.events(key.run_id)]


def test_a_stage_left_open_by_a_killed_process_is_continued(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    run, _ = ledger.open_run(new_run(), now=NOW)
    _killed_inside(lambda: ledger.stage(run.run_id, "plan"))
    [left] = ledger.stages(run.run_id)
    assert left.ended_at is None
    with ledger.stage(run.run_id, "plan"):
        pass
    [stage] = ledger.stages(run.run_id)
    assert stage.started_at == left.started_at
    assert stage.ended_at is not None


def test_a_forked_child_uses_connections_of_its_own(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    [first, second] = running(ledger, shards=2)
    mine = ledger.claim(first, worker_name(), LEASE, now=NOW)
    assert mine is not None

    def child() -> None:
        shard = ledger.claim(second, "child", LEASE, now=NOW)
        assert shard is not None
        ledger.attach(second, "child", batch_of(shard, "of_the_child"), now=NOW)
        ledger.close()

    process = _FORK.Process(target=child)
    process.start()
    ledger.attach(first, mine.holder, batch_of(mine, "of_the_parent"), now=NOW)
    process.join()
    assert process.exitcode == 0
    assert ledger.owned_batch_ids("openai_default") == {"of_the_child", "of_the_parent"}


def test_a_process_that_ended_and_was_not_waited_for_is_gone() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and stays as a zombie
        assert is_gone(f"{here()}:{child}:abcd")
    finally:
        os.waitpid(child, 0)
    assert not is_gone(f"{here()}:{os.getpid()}:abcd")


def test_a_stage_that_was_ended_with_its_run_stays_ended(ledger: Ledger) -> None:
    (key,) = running(ledger)
    with ledger.stage(key.run_id, "check"):
        ledger.move_run(key.run_id, RunState.FAILED, since=(RunState.RUNNING,), now=NOW)
    late = ledger.stage(key.run_id, "check")
    late.__enter__()  # and is killed there
    assert [stage.ended_at is not None for stage in ledger.stages(key.run_id) if stage.name == "check"] == [
        True
    ]
