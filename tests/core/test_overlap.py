"""What is read ahead and written behind comes in order, and no error is lost."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from offpeak.overlap import ahead, behind

WHO = ContextVar("who", default="nobody")


def test_items_come_in_order_and_are_made_in_one_other_thread() -> None:
    threads = []

    def items() -> Iterator[int]:
        for number in range(100):
            threads.append(threading.get_ident())
            yield number

    assert list(ahead(items())) == list(range(100))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_the_next_item_is_made_while_one_is_used() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    for number in ahead(items()):
        if number == 1:
            assert made.wait(10), "the second item must not wait for the first to be used up"


def test_the_items_see_the_context_variables_of_whoever_asks_for_them() -> None:
    def items() -> Iterator[str]:
        yield WHO.get()
        yield WHO.get()

    token = WHO.set("this task")
    try:
        assert list(ahead(items())) == ["this task", "this task"]
    finally:
        WHO.reset(token)


def test_an_error_of_the_items_is_raised_after_those_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the source broke")

    found: list[int] = []
    with pytest.raises(OSError, match="the source broke"):
        found.extend(ahead(items()))
    assert found == [1]


def test_whoever_stops_early_has_the_items_closed_where_they_were_made() -> None:
    closed_in = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed_in.append(threading.get_ident())

    taken = ahead(items())
    assert next(taken) == 0
    taken.close()
    assert len(closed_in) == 1
    assert closed_in[0] != threading.get_ident()


def test_a_loop_that_was_left_in_a_cycle_of_garbage_ends_when_that_is_collected() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.set()

    def leave() -> None:
        cycle: list[object] = [taken := ahead(items())]
        cycle.append(cycle)
        next(taken)

    leave()
    collecting = threading.Thread(target=gc.collect, daemon=True)
    collecting.start()
    collecting.join(10)
    assert not collecting.is_alive(), "collecting garbage must not wait for a thread that is gone"
    assert closed.is_set()


def test_a_loop_may_be_collected_in_its_own_thread() -> None:
    collected, held = threading.Event(), []

    def items() -> Iterator[int]:
        yield 1
        collected.wait(10)
        held.clear()  # the last one who knew the loop
        yield 2

    others = threading.enumerate()
    held.append(ahead(items()))
    assert next(held[0]) == 1
    (thread,) = [one for one in threading.enumerate() if one not in others]
    collected.set()
    thread.join(10)
    assert not thread.is_alive()


def test_calls_behind_happen_in_order_and_have_ended_with_the_block() -> None:
    done: list[int] = []
    with behind() as calls:
        for number in range(100):
            calls.call(done.append, number)
    assert done == list(range(100))


def test_an_error_behind_is_raised_once_by_the_next_call_or_the_end() -> None:
    def fail() -> None:
        raise OSError("no space left")

    done: list[int] = []
    with behind() as calls:
        calls.call(fail)
        with pytest.raises(OSError, match="no space left"):
            calls.call(done.append, 1)
        calls.call(done.append, 2)
    assert done == [2]
    with pytest.raises(OSError, match="no space left"), behind() as calls:
        calls.call(fail)


def test_an_error_of_the_block_itself_is_the_one_that_is_raised() -> None:
    def fail() -> None:
        with behind() as calls:
            calls.call(list)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
