"""Addresses and globs."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from offpeak.errors import InputError, SpecError
from offpeak.rows.csv import csv
from offpeak.rows.files import find_files
from offpeak.rows.jsonl import jsonl
from offpeak.rows.override import from_file
from offpeak.rows.parquet import parquet
from offpeak.store import Store
from tests.rows.opened import opening, read


def _fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'{{"id": "{name}"}}\n')


def test_the_store_in_an_address_is_the_runs_own_and_files_come_by_name(tmp_path: Path) -> None:
    _fill(tmp_path, "in/b.jsonl", "in/a.jsonl", "in/c.txt")
    got = read(jsonl("{store}/in/*.jsonl", key="id"), opening(tmp_path))
    assert [record["id"] for record in got.records] == ["in/a.jsonl", "in/b.jsonl"]


def test_a_file_that_two_addresses_match_is_read_once(tmp_path: Path) -> None:
    _fill(tmp_path, "a.jsonl", "b.jsonl")
    got = read(jsonl(["{store}/b.jsonl", "{store}/*.jsonl"], key="id"), opening(tmp_path))
    assert [record["id"] for record in got.records] == ["b.jsonl", "a.jsonl"]


def test_two_stars_reach_into_folders(tmp_path: Path) -> None:
    _fill(tmp_path, "x/1/a.jsonl", "x/b.jsonl")
    found = find_files(["{store}/x/**/*.jsonl"], Store(str(tmp_path)))
    assert [Path(file.path).name for file in found] == ["a.jsonl", "b.jsonl"]


def test_a_name_with_glob_characters_that_exists_is_that_file(tmp_path: Path) -> None:
    _fill(tmp_path, "march [1].jsonl", "march 1.jsonl")
    got = read(jsonl(str(tmp_path / "march [1].jsonl"), key="id"))
    assert [record["id"] for record in got.records] == ["march [1].jsonl"]


def test_no_matching_file_names_the_pattern_and_the_nearest_entries(tmp_path: Path) -> None:
    _fill(tmp_path, "tickets_2026.jsonl", "other.bin")
    with pytest.raises(InputError) as caught:
        read(jsonl("{store}/tickets-2026.jsonl", key="id"), opening(tmp_path))
    message = str(caught.value)
    assert f"No file matches {tmp_path}/tickets-2026.jsonl" in message
    assert "holds tickets_2026.jsonl" in message
    assert "Nothing was sent" in message


def test_a_missing_folder_shows_what_its_parent_holds(tmp_path: Path) -> None:
    _fill(tmp_path, "inbox/a.jsonl")
    with pytest.raises(InputError, match=r"inbx/\*\.jsonl.*holds inbox"):
        read(jsonl("{store}/inbx/*.jsonl", key="id"), opening(tmp_path))


def test_a_folder_is_not_a_file_and_the_cure_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder, not a file.*/\*\.parquet"):
        read(parquet(str(tmp_path), key="id"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    _fill(tmp_path, "a.jsonl")
    (tmp_path / "a.jsonl").chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        read(jsonl("{store}/a.jsonl", key="id"), opening(tmp_path))


def test_remote_files_are_read_through_fsspec_like_local_ones() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("b", "a"):
        memory.pipe(f"/remote-rows/in/{name}.jsonl", f'{{"id": "{name}"}}\n'.encode())
    got = read(jsonl("{store}/in/*.jsonl", key="id"), opening("memory://remote-rows"))
    assert [record["id"] for record in got.records] == ["a", "b"]
    with pytest.raises(InputError, match=r"No file matches memory://remote-rows/in/c\.jsonl.*holds a\.jsonl"):
        read(jsonl("{store}/in/c.jsonl", key="id"), opening("memory://remote-rows"))


def test_an_unknown_kind_of_address_is_an_input_error_without_the_login() -> None:
    with pytest.raises(InputError, match=r"nosuch://host/a\.jsonl cannot be listed") as caught:
        read(jsonl("nosuch://me:hunter2@host/a.jsonl", key="id"))
    assert "hunter2" not in str(caught.value)


def test_a_description_shows_no_login() -> None:
    assert csv("ftp://me:hunter2@host/a.csv", key="id").describe() == "csv ftp://host/a.csv"


@pytest.mark.parametrize("make", [parquet, csv, jsonl])
def test_a_spec_without_address_or_key_is_refused_at_once(make: type) -> None:
    for address, key in (("", "id"), ([], "id"), ("a.x", "")):
        with pytest.raises(SpecError, match="needs"):
            make(address, key=key)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.parquet", "parquet a.parquet"),
        ("A.CSV", "csv A.CSV"),
        ("a.tsv.gz", "csv a.tsv.gz"),
        ("x/a.ndjson", "jsonl x/a.ndjson"),
        ("a.json.gz", "jsonl a.json.gz"),
    ],
)
def test_a_named_file_is_read_by_its_ending(name: str, kind: str) -> None:
    assert from_file(name, "id").describe() == kind


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.parquet.gz", ".gz"])
def test_an_ending_that_says_nothing_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(SpecError, match=r"\.parquet, \.csv, \.tsv, \.jsonl"):
        from_file(name, "id")
