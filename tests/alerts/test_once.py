"""Two processes at one alert: one of them tells the channel. And a sender that is killed loses no message."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from offpeak.alerts import raise_alerts, webhook
from offpeak.alerts.channels import Channel
from offpeak.alerts.message import Message
from offpeak.alerts.send import deliver
from offpeak.ledger import Ledger
from offpeak.site import Site
from offpeak.states import RunState
from tests.alerts.making import Desk, watch
from tests.alerts.servers import Hook
from tests.ledger.workers import in_processes, in_threads

PROCESSES, ROUNDS = 4, 5


def failed_runs(ledger_url: str, folder: Path) -> list[str]:
    ledger = Ledger(ledger_url)
    desk = Desk(ledger=ledger, folder=folder)
    ids = []
    for hour in range(ROUNDS):
        run = desk.run(interval_key=f"2026-11-22T0{hour}0000Z")
        desk.end(run, RunState.FAILED, error=f"disk {'x' * hour} is full")
        ids.append(run.run_id)
    ledger.close()
    return ids


def test_each_alert_is_told_once_by_processes_that_all_see_it_first(
    ledger_url: str, tmp_path: Path, hook: Hook
) -> None:
    ids = failed_runs(ledger_url, tmp_path)

    def work(number: int) -> list[str]:
        ledger = Ledger(ledger_url)
        desk = Desk(ledger=ledger, folder=tmp_path)
        told: list[str] = []
        for run_id in ids:
            raised = raise_alerts(desk.site, watch(webhook(hook.url)), run_id)
            assert not raised.problem, raised.problem
            told += raised.told
        ledger.close()
        return told

    told = in_processes(PROCESSES, work)
    assert all(isinstance(one, list) for one in told), told
    assert sum(len(one) for one in told) == ROUNDS
    assert sorted(hook.titles()) == sorted(f"Failed: {run_id}" for run_id in ids)


def test_threads_that_share_a_workers_name_tell_once(ledger_url: str, tmp_path: Path, hook: Hook) -> None:
    run_id = failed_runs(ledger_url, tmp_path)[0]
    ledger = Ledger(ledger_url)
    site = Desk(ledger=ledger, folder=tmp_path).site
    in_threads(4, lambda number: raise_alerts(site, watch(webhook(hook.url)), run_id).problem)
    assert hook.titles() == [f"Failed: {run_id}"]
    ledger.close()


@pytest.mark.parametrize(("sent_before", "messages"), [(False, 1), (True, 2)])
def test_a_sender_killed_in_the_middle_is_followed_at_once_on_its_host(
    ledger_url: str, tmp_path: Path, hook: Hook, sent_before: bool, messages: int
) -> None:
    """Killed before the channel had it: one message. Killed after: two, the documented window; same id."""
    run_id = failed_runs(ledger_url, tmp_path)[0]

    def dying(channel: Channel, message: Message, site: Site) -> None:
        if sent_before:
            deliver(channel, message, site)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        raise_alerts(
            Desk(ledger=Ledger(ledger_url), folder=tmp_path).site,
            watch(webhook(hook.url)),
            run_id,
            deliver=dying,
        )
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    ledger = Ledger(ledger_url)
    raised = raise_alerts(Desk(ledger=ledger, folder=tmp_path).site, watch(webhook(hook.url)), run_id)
    assert len(raised.told) == 1
    assert hook.titles() == [f"Failed: {run_id}"] * messages
    assert len({headers["Idempotency-Key"] for headers in hook.headers}) == 1
    ledger.close()
