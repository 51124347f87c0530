"""Overlap: what is read and what is written, each in a thread of its own beside the work in between.

Both only help where the work there leaves the interpreter free, as reading, writing and Arrow do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each made while the one before is used. `items` runs in one thread, its end included, and sees
    the context variables of whoever asks first."""
    # a thread of its own: a pool's ends with the pool, which garbage collection may find before this generator
    wanted: SimpleQueue[bool] = SimpleQueue()
    made: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
    thread = beside("offpeak-ahead", _make, items, wanted, made)
    reader = current_thread()
    try:
        wanted.put(True)
        while (item := _next(made)) is not _END:
            wanted.put(True)
            yield item
    finally:
        wanted.put(False)
        if current_thread() is reader:  # another one collects garbage, and may be what `items` waits for
            thread.join()
            while made.qsize() > 1:  # what nobody asked for any more
                made.get()
            _next(made)


def beside(name: str, function: Callable[..., Any], *given: Any) -> Thread:
    """A thread that has begun to call the function, with the context variables of whoever asks; the process does not
    wait for its end."""
    run: Callable[..., Any] = copy_context().run
    thread = Thread(target=run, args=(function, *given), name=name, daemon=True)
    thread.start()
    return thread


def _make(items: Iterator[Any], wanted: SimpleQueue[bool], made: SimpleQueue[Any]) -> None:
    """Put an item, or what went wrong, for each one that is wanted, and how the end went."""
    while wanted.get():
        made.put(_tried(next, items, _END))
    made.put(_tried(getattr(items, "close", int)))


def _tried(function: Callable[..., Any], *given: Any) -> tuple[Any, BaseException | None]:
    try:
        return function(*given), None
    except BaseException as error:  # noqa: BLE001  it is raised again by whoever asked
        return _END, error


def _next(made: SimpleQueue[tuple[Any, BaseException | None]]) -> Any:
    item, error = made.get()
    if error is not None:
        raise error
    return item


class Behind:
    """Calls made one after the other in one thread, each while the next one's arguments are made."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._last: Future[Any] | None = None

    def call(self, function: Callable[..., Any], *given: Any) -> None:
        """Have it called; first waits for the call before, and raises what that raised."""
        self.wait()
        self._last = self._thread.submit(function, *given)

    def wait(self) -> None:
        """Until the last call has ended; raises what it raised, once."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


@contextmanager
def behind() -> Iterator[Behind]:
    """What is called through it has ended at the end of the block; an error of the last call is raised there."""
    with ThreadPoolExecutor(1, "offpeak-behind") as thread:
        calls = Behind(thread)
        yield calls
        calls.wait()
