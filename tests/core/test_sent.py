"""What was sent, read from the index beside a shard and, without one, from the shard itself."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.answer import Answer
from offpeak.blocks import lines_of
from offpeak.lines import Lines
from offpeak.providers import provider
from offpeak.providers.provider import Ask
from offpeak.requests import Fingerprints
from offpeak.sent import Sent
from offpeak.shards import Cut, ShardFile, ShardWriter, index_of
from offpeak.store import Store

ASK = Ask(model="gpt-5-mini", form=Answer.of(str).form, endpoint="", max_output_tokens=100, params={})
TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=40, unique=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(str(tmp_path_factory.mktemp("sent")))


def written(store: Store, texts: list[str], requests: int) -> tuple[list[ShardFile], list[str]]:
    """The texts as shards, and their fingerprints in order."""
    openai = provider("openai")
    users = pa.array([text.encode("utf-8", "replace").decode() for text in texts], pa.string())
    prints = Fingerprints("openai", ASK).of_column(pa.nulls(len(texts), pa.string()), users, system="S")
    shards = ShardWriter(store, f"runs/{secrets.token_hex(6)}", Cut(requests=requests, size_bytes=10**6))
    systems = pa.DictionaryArray.from_arrays(pa.array([0] * len(texts), pa.int32()), pa.array(["S"]))
    Lines(openai, ASK).write(shards, prints, systems, users)
    return shards.finish(), prints.to_pylist()


def sent(store: Store, file: ShardFile) -> Sent:
    return Sent(store=store, file=file.file, tag=file.tag, provider=provider("openai"))


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, requests=st.integers(1, 50), chosen=st.sets(st.integers(0, 60)))
def test_the_index_says_what_the_shard_itself_says(
    store: Store, texts: list[str], requests: int, chosen: set[int]
) -> None:
    files, prints = written(store, texts, requests)
    wanted = {prints[number] for number in chosen if number < len(prints)} | {"f" * 32}
    by_index = []
    for file in files:
        with sent(store, file) as quick:
            by_index += quick.fingerprints().to_pylist()
            found = list(quick.lines(wanted))
        raws = list(lines_of(Path(store.root) / file.file))
        store.delete(index_of(file.file))
        with sent(store, file) as slow:
            assert slow.fingerprints().to_pylist() == by_index[-file.request_count :]
            assert list(slow.lines(wanted)) == found
        assert [line.raw for line in found] == [
            raw for raw, one in zip(raws, slow.fingerprints().to_pylist(), strict=True) if one in wanted
        ]
    assert by_index == prints


def test_fingerprints_are_read_without_the_shards_file(store: Store) -> None:
    (file,), prints = written(store, ["a", "b", "c"], 50)
    store.delete(file.file)
    with sent(store, file) as quick:
        assert quick.fingerprints().to_pylist() == prints


def test_a_line_that_is_not_of_the_shard_is_an_error_and_no_request(store: Store) -> None:
    (file,), _ = written(store, ["a"], 50)
    store.delete(index_of(file.file))
    stranger = replace(file, tag="0123456789")
    with sent(store, stranger) as slow, pytest.raises(AssertionError, match="only its own requests"):
        slow.fingerprints()
