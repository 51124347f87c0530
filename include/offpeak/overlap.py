"""Overlap: what is read and what is written, each in a thread of its own beside the work in between.

Both only help where the work there leaves the interpreter free, as reading, writing and Arrow do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each made while the one before is used. `items` runs in one thread, its end included, and sees
    the context variables of whoever asks first."""
    run: Callable[..., Any] = copy_context().run
    with ThreadPoolExecutor(1, "offpeak-ahead") as thread:
        coming = thread.submit(run, next, items, _END)
        try:
            while (item := coming.result()) is not _END:
                coming = thread.submit(run, next, items, _END)
                yield item
        finally:
            coming.cancel()
            thread.submit(run, getattr(items, "close", int)).result()


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
