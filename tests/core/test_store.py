"""The store, on the local disk and behind fsspec: a file appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from offpeak.errors import SpecError
from offpeak.store import Store


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield Store(str(tmp_path / "store"))
        return
    made = Store(f"memory://bucket-{secrets.token_hex(4)}/prefix/")
    yield made
    made.delete("")


def test_what_is_written_is_read_back_under_its_name(store: Store) -> None:
    address = store.write_bytes("runs/a/one.bin", b"\x00\xff")
    assert address == f"{store.root.rstrip('/')}/runs/a/one.bin"
    assert store.read_bytes("runs/a/one.bin") == b"\x00\xff"
    assert store.exists("runs/a/one.bin")
    assert not store.exists("runs/a/two.bin")


def test_a_finished_file_is_moved_in(store: Store, tmp_path: Path) -> None:
    local = tmp_path / "made.txt"
    local.write_text("done")
    assert store.put(local, "x/y.txt") == store.address("x/y.txt")
    assert store.read_bytes("x/y.txt") == b"done"
    assert not local.exists()


def test_a_second_write_replaces_the_first(store: Store) -> None:
    store.write_bytes("a.txt", b"old and longer")
    store.write_bytes("a.txt", b"new")
    assert store.read_bytes("a.txt") == b"new"


def test_names_are_found_by_pattern_sorted_and_without_folders_or_unfinished_files(store: Store) -> None:
    for name in ("runs/b/2.parquet", "runs/b/1.parquet", "runs/b/note.txt", "runs/b/deep/3.parquet"):
        store.write_bytes(name, b"x")
    store.write_bytes("runs/b/.1.parquet.ab12.part", b"x")
    assert store.names("runs/b/*.parquet") == ["runs/b/1.parquet", "runs/b/2.parquet"]
    assert store.names("runs/b/*") == ["runs/b/1.parquet", "runs/b/2.parquet", "runs/b/note.txt"]
    assert store.names("runs/c/*") == []


def test_a_file_a_folder_and_nothing_can_be_deleted(store: Store) -> None:
    store.write_bytes("a/b/c.txt", b"x")
    store.write_bytes("a/d.txt", b"x")
    store.delete("a/b")
    assert store.names("a/**/*.txt") == ["a/d.txt"]
    store.delete("a/d.txt")
    store.delete("a/d.txt")
    assert not store.exists("a/d.txt")


def test_an_error_inside_writing_leaves_the_old_file_and_nothing_else(store: Store) -> None:
    store.write_bytes("a/f.txt", b"old")

    def broken() -> None:
        with store.writing("a/f.txt") as path:
            path.write_bytes(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert store.read_bytes("a/f.txt") == b"old"
    assert store.names("a/*") == ["a/f.txt"]
    if not store.remote:
        assert [found.name for found in (Path(store.root) / "a").iterdir()] == ["f.txt"]


def test_a_file_is_not_there_before_its_block_has_ended(store: Store) -> None:
    with store.writing("a/f.txt") as path:
        path.write_bytes(b"half")
        assert not store.exists("a/f.txt")
        assert store.names("a/*") == []
        path.write_bytes(b"whole")
    assert store.read_bytes("a/f.txt") == b"whole"


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("a/f.txt", b"old")
    program = (
        "import sys; from offpeak.store import Store\n"
        f"with Store({str(tmp_path)!r}).writing('a/f.txt') as path:\n"
        "    path.write_bytes(b'half'); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    assert store.read_bytes("a/f.txt") == b"old"
    assert store.names("a/*") == ["a/f.txt"]


def test_readers_meet_the_old_content_or_the_new_never_a_part(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    contents = [bytes([65 + n]) * 300_000 for n in range(3)]
    store.write_bytes("f.bin", contents[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(60):
            store.write_bytes("f.bin", contents[turn % 3])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(store.read_bytes("f.bin"))
    writer.join()
    assert seen <= set(contents)


def test_others_may_read_a_file_as_the_folders_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Store(str(tmp_path)).write_bytes("f.txt", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f.txt").stat().st_mode) == 0o644


def test_store_in_an_address_stands_for_the_root(store: Store) -> None:
    assert store.expand("{store}/in/*.parquet") == f"{store.root.rstrip('/')}/in/*.parquet"
    assert store.expand("/elsewhere/*.parquet") == "/elsewhere/*.parquet"


def test_a_relative_root_is_made_absolute_and_an_empty_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store("here").root == str(tmp_path / "here")
    assert Store(f"file://{tmp_path}/x").root == str(tmp_path / "x")
    with pytest.raises(SpecError, match="address is empty"):
        Store("  ")


def test_a_remote_store_needs_a_named_ledger() -> None:
    with pytest.raises(SpecError, match="OFFPEAK_LEDGER"):
        Store("s3://bucket/prefix").default_ledger_url()
