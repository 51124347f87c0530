"""Real processes and threads that meet in one ledger."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

_FORK = multiprocessing.get_context("fork")
_WAIT_SECONDS = 60


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(0)` ... `work(count - 1)` return, each in a process of its own, all starting at once.

    An exception comes back as its class name and message, in place of the value."""
    start = _FORK.Barrier(count, timeout=_WAIT_SECONDS)
    processes, answers = [], []
    for number in range(count):
        receive, send = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_answer, args=(work, number, start, send))
        process.start()
        send.close()  # so that a process that died without an answer is an end of file, not a wait
        processes.append(process)
        answers.append(receive)
    found = [receive.recv() for receive in answers]
    for process in processes:
        process.join(_WAIT_SECONDS)
    assert [process.exitcode for process in processes] == [0] * count
    return found


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The same in threads of this process."""
    start = threading.Barrier(count, timeout=_WAIT_SECONDS)

    def one(number: int) -> Any:
        start.wait()
        return _tried(work, number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def _answer(work: Callable[[int], Any], number: int, start: Barrier, answer: Connection) -> None:
    start.wait()
    answer.send(_tried(work, number))


def _tried(work: Callable[[int], Any], number: int) -> Any:
    try:
        return work(number)
    except Exception as error:  # noqa: BLE001 - the test judges it, in its own process
        return f"{type(error).__name__}: {error}"
