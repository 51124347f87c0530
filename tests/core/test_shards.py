"""Shards: cut by count and by the very bytes, in order, and never seen unfinished."""

from __future__ import annotations

import hashlib
import secrets
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.blocks import blocks_of, lines_in, lines_of
from offpeak.providers.provider import Limits
from offpeak.quota import Quota
from offpeak.shards import (
    ENVELOPE_BYTES,
    Cut,
    ShardWriter,
    estimated_tokens,
    index_of,
    new_tag,
    shard_file,
    total,
)
from offpeak.store import Store


def prints(*lines: bytes) -> pa.Array:
    """A made-up fingerprint for each line."""
    return pa.array([hashlib.blake2b(line, digest_size=16).hexdigest() for line in lines], pa.string())


def add(writer: ShardWriter, *lines: bytes) -> None:
    """As many lines at once as fit, again and again."""
    ends = np.cumsum([len(line) for line in lines])
    done = 0
    while done < len(lines):
        count = writer.fit(ends[done:] - (ends[done - 1] if done else 0))
        part = lines[done : done + count]
        writer.write(b"".join(part), prints(*part), np.cumsum([len(line) for line in part]))
        done += count


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("shards")))


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(12, 60), max_size=25),
    cut=st.builds(lambda r, b: Cut(requests=r, size_bytes=b), st.integers(1, 10), st.integers(60, 300)),
    slice_lines=st.integers(1, 25),
)
def test_no_line_is_lost_or_doubled_and_no_limit_is_broken(
    store: Store, sizes: list[int], cut: Cut, slice_lines: int
) -> None:
    folder = f"runs/{secrets.token_hex(6)}"
    writer = ShardWriter(store, folder, cut)
    sent = [f"{number:05d}".ljust(size - 1, "x").encode() for number, size in enumerate(sizes)]
    for start in range(0, len(sent), slice_lines):
        add(writer, *(line + b"\n" for line in sent[start : start + slice_lines]))
    shards = writer.finish()
    paths = [Path(store.root) / shard.file for shard in shards]
    assert [line for path in paths for line in lines_of(path)] == sent
    assert [shard.number for shard in shards] == list(range(1, len(shards) + 1))
    assert total(shards) == len(sizes)
    for shard, path in zip(shards, paths, strict=True):
        assert 1 <= shard.request_count <= cut.requests
        assert shard.size_bytes == path.stat().st_size <= cut.size_bytes
        assert shard.request_count == len(list(lines_of(path)))
        assert shard.file == shard_file(folder, 1, shard.number, shard.tag)
    assert sorted(store.names(f"{folder}/shards/*.jsonl")) == sorted(shard.file for shard in shards)
    for one, following in pairwise(shards):
        first = sizes[sum(s.request_count for s in shards[: one.number])]
        full = one.request_count == cut.requests or one.size_bytes + first > cut.size_bytes
        assert full, f"shard {following.number} was begun too early"


def test_each_shard_has_a_tag_of_its_own_and_the_next_line_is_made_with_it(store: Store) -> None:
    writer = ShardWriter(store, f"runs/{secrets.token_hex(6)}", Cut(requests=1, size_bytes=100))
    first = writer.tag
    add(writer, b"a\n")
    assert writer.tag == first
    assert writer.fit(np.array([2])) == 1
    second = writer.tag
    assert second != first
    writer.write(b"b\n", prints(b"b\n"), np.array([2]))
    assert [shard.tag for shard in writer.finish()] == [first, second]


def test_a_crash_leaves_finished_shards_and_no_part_of_the_open_one(store: Store) -> None:
    folder = f"runs/{secrets.token_hex(6)}"
    writer = ShardWriter(store, folder, Cut(requests=2, size_bytes=100))
    add(writer, b"1\n", b"2\n", b"3\n")
    assert len(store.names(f"{folder}/shards/*.jsonl")) == 1
    error = RuntimeError("no room on the disk")
    writer.abandon(error)
    assert store.names(f"{folder}/shards/*.jsonl") == [writer.written[0].file]
    left = {path.name for path in (Path(store.root) / folder / "shards").iterdir()}
    first = Path(writer.written[0].file).name
    assert left == {first, index_of(first)}


def test_an_open_shard_is_not_visible(store: Store) -> None:
    folder = f"runs/{secrets.token_hex(6)}"
    writer = ShardWriter(store, folder, Cut(requests=10, size_bytes=100))
    add(writer, b"1\n")
    assert store.names(f"{folder}/shards/*.jsonl") == []
    writer.finish()
    assert len(store.names(f"{folder}/shards/*.jsonl")) == 1


def test_no_requests_make_no_shard(store: Store) -> None:
    assert ShardWriter(store, "runs/none", Cut(requests=2, size_bytes=100)).finish() == []


def test_the_cut_keeps_room_for_the_envelope_and_takes_the_smaller_count() -> None:
    limits = Limits(requests=50_000, size_bytes=1_000)
    assert Cut.of(limits, 10) == Cut(requests=10, size_bytes=1_000 - ENVELOPE_BYTES)
    assert Cut.of(limits, 99_999).requests == 50_000
    assert len(b'{"requests":[]}') < ENVELOPE_BYTES


def test_a_quota_makes_shards_that_fit_within_it() -> None:
    cut = Cut.of(Limits(requests=50_000, size_bytes=1_000_000), 50_000, first=20)
    quota = Quota(enqueued_tokens={"gpt-5-mini": 1_000, "*": 90}, requests=300)
    assert cut.within(Quota(), "gpt-5-mini") == cut
    assert cut.within(quota, "gpt-5-mini") == Cut(requests=300, size_bytes=4_000, first=20)
    assert cut.within(quota, "o9") == Cut(requests=300, size_bytes=360, first=20)
    assert estimated_tokens(cut.within(quota, "o9").size_bytes) == 90
    wide = Quota(enqueued_tokens={"*": 10**9}, requests=10**6)
    assert cut.within(wide, "gpt-5-mini") == cut


def test_a_first_shard_may_be_smaller_than_the_others(store: Store) -> None:
    cut = Cut.of(Limits(requests=100, size_bytes=10_000), 4, first=2)
    writer = ShardWriter(store, f"runs/{secrets.token_hex(6)}", cut)
    add(writer, *(f"{number}\n".encode() for number in range(9)))
    assert [shard.request_count for shard in writer.finish()] == [2, 4, 3]


def test_lines_are_split_on_line_feeds_only(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes("a\u2028b\x0bc\x85\r\n\n  \r\nd\re".encode())
    assert list(lines_of(path)) == ["a\u2028b\x0bc\x85".encode(), b"d\re"]


def test_tags_are_hex_and_differ() -> None:
    tags = {new_tag() for _ in range(1_000)}
    assert len(tags) == 1_000
    assert all(len(tag) == 10 and int(tag, 16) >= 0 for tag in tags)


@given(st.integers(0, 10**12))
def test_tokens_are_estimated_upwards(size: int) -> None:
    assert 4 * estimated_tokens(size) >= size > 4 * (estimated_tokens(size) - 1)


@settings(max_examples=300, deadline=None)
@given(
    data=st.lists(
        st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b" ", b"\t", b"bc" * 9, b"\xc2\x85", b"\x0b"]),
        max_size=30,
    ),
    block_bytes=st.integers(1, 20),
)
def test_lines_are_the_same_wherever_the_blocks_of_the_file_end(data: list[bytes], block_bytes: int) -> None:
    whole = b"".join(data)
    naive = [line.rstrip(b"\r") for line in whole.split(b"\n") if line.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("offpeak.blocks.BLOCK_BYTES", block_bytes)
        assert [*lines_in(blocks_of(BytesIO(whole)))] == naive
