"""Segments: a reply comes back exactly as it was, once, whatever was cut off, merged or written twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.providers.provider import Reply, Usage
from offpeak.realtime import replies, segments
from offpeak.realtime.segments import Recorder, read_reply, segment_folder, write_reply
from offpeak.requests import custom_id
from offpeak.states import Outcome
from offpeak.store import Store
from tests.realtime.making import Bench, bench, whole
from tests.run.making import Place

ANY_TEXT = st.text(st.characters(), max_size=40)  # halves of characters, NUL and line feeds among them
COUNTS = st.integers(0, 2**70)
REPLIES = st.builds(
    Reply,
    custom_id=ANY_TEXT,
    outcome=st.sampled_from(Outcome),
    text=st.none() | ANY_TEXT,
    vector=st.none() | st.binary(max_size=64),
    model=ANY_TEXT,
    usage=st.builds(Usage, **dict.fromkeys(Usage.__dataclass_fields__, COUNTS)),
    code=ANY_TEXT,
    message=ANY_TEXT,
    transient=st.booleans(),
)


@given(reply=REPLIES)
def test_a_reply_comes_back_exactly_as_it_was(reply: Reply) -> None:
    line = write_reply(reply)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_reply(line.rstrip(b"\r\n")) == reply


def test_two_halves_of_a_character_stay_halves() -> None:
    reply = Reply(custom_id="a", outcome=Outcome.ANSWERED, text="\ud83d\ude00 \ud83d", message="\ude00")
    assert read_reply(write_reply(reply)) == reply


@given(reply=REPLIES, share=st.floats(0, 1, exclude_max=True))
def test_a_line_that_was_cut_off_is_no_reply(reply: Reply, share: float) -> None:
    line = write_reply(reply).rstrip(b"\n")
    assert read_reply(line[: int(len(line) * share)]) is None


@pytest.mark.parametrize("line", [b"", b"null", b"[]", b"{}", b'{"outcome": "no such"}', b"\xff"])
def test_what_is_no_reply_is_none(line: bytes) -> None:
    assert read_reply(line) is None


# -- the recorder


def folder_of(made: Bench) -> str:
    site = made.place.site()
    return segment_folder(str(site.ledger.run(made.run_id).facts["folder"]), 1, 1)


def reply_to(made: Bench, number: int) -> Reply:
    tag = made.shards()[0].tag
    return Reply(custom_id=custom_id(tag, f"{number:032x}"), outcome=Outcome.ANSWERED, text=f"{number}")


def recorded(made: Bench) -> list[Reply]:
    return list(replies(made.place.site(), made.shards()[0]))


def record(made: Bench, numbers: range) -> None:
    async def add_all() -> None:
        recorder = Recorder(Store(str(made.place.store)), folder_of(made))
        for number in numbers:
            await recorder.add(reply_to(made, number))
        await recorder.finish()

    asyncio.run(add_all())


def test_small_segments_are_merged_and_every_reply_is_there_once(
    openai_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FLUSH_ANSWERS", 2)
    monkeypatch.setattr(segments, "MERGED_SEGMENTS", 5)
    made = bench(openai_place, 1)
    record(made, range(101))
    assert [reply.text for reply in sorted(recorded(made), key=lambda reply: reply.custom_id)] == [
        str(number) for number in range(101)
    ]
    assert len(made.segments()) < 51 / 2


def test_at_most_64_replies_are_held_that_are_not_in_the_store(openai_place: Place) -> None:
    made = bench(openai_place, 1)

    async def add_some() -> None:
        recorder = Recorder(Store(str(openai_place.store)), folder_of(made))
        for number in range(200):
            await recorder.add(reply_to(made, number))
            if number % 20 == 3:
                assert len(recorded(made)) == (number + 1) // 64 * 64

    asyncio.run(add_some())


def test_a_reply_is_in_the_store_a_second_after_it_came(openai_place: Place) -> None:
    made = bench(openai_place, 1)

    async def add_one() -> None:
        recorder = Recorder(Store(str(openai_place.store)), folder_of(made))
        flushing = asyncio.create_task(recorder.keep_flushing())
        await recorder.add(reply_to(made, 1))
        async with asyncio.timeout(30):
            while not made.segments():
                await asyncio.sleep(0.01)
        flushing.cancel()

    asyncio.run(add_one())
    assert recorded(made) == [reply_to(made, 1)]


def test_two_writers_never_overwrite_each_other_and_a_reply_of_both_counts_once(openai_place: Place) -> None:
    made = bench(openai_place, 1)
    record(made, range(10))
    (first,) = made.segments()
    elsewhere = first.with_suffix(".away")
    first.rename(elsewhere)
    record(made, range(5, 15))  # it saw nothing of the first one's: both begin with the same number
    elsewhere.rename(first)
    assert len(made.segments()) == 2
    assert sorted(int(reply.text or "") for reply in recorded(made)) == list(range(15))


def test_a_segment_that_is_merged_away_while_it_is_read_loses_nothing(openai_place: Place) -> None:
    made = bench(openai_place, 1)
    record(made, range(3))
    record(made, range(3, 6))
    reading = replies(made.place.site(), made.shards()[0])
    found = [next(reading)]
    one, two = made.segments()
    (one.parent / "000009-merged.jsonl").write_bytes(one.read_bytes() + two.read_bytes())
    two.unlink()
    found.extend(reading)
    assert sorted(int(reply.text or "") for reply in found) == list(range(6))


def test_a_torn_last_line_is_asked_again_and_nothing_else(openai_place: Place) -> None:
    made, site = bench(openai_place, 50), openai_place.site()
    made.answer(site)
    last = made.segments()[-1]
    last.write_bytes(last.read_bytes()[:-20])
    assert whole(made.answer(site), made.ids(), made.shards()[0].tag)
    assert openai_place.billed() == 51


def test_replies_to_other_requests_are_not_this_shards(openai_place: Place) -> None:
    made, site = bench(openai_place, 5), openai_place.site()
    made.answer(site)
    stray = replace(reply_to(made, 7), custom_id=custom_id("0" * 10, "1" * 32))
    Path(made.segments()[0]).with_name("999999-stray.jsonl").write_bytes(write_reply(stray))
    assert whole(list(replies(site, made.shards()[0])), made.ids(), made.shards()[0].tag)
