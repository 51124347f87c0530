"""Shares: one after the other they are what one reader would have read, whatever the files and however many."""

from __future__ import annotations

import csv as std_csv
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak import csv, jsonl, parquet
from offpeak.rows.documents import documents
from offpeak.rows.source import Measured, RowSource, Share
from offpeak.spool import numbers_of
from tests.rows.opened import opening, read

Row = tuple[str | None, str]
Files = list[list[Row]]

_KEYS = st.none() | st.text("ab é", max_size=3)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)
FILES = st.lists(st.lists(st.tuples(_KEYS, _TEXTS), max_size=6), min_size=1, max_size=5)


def _parquet(folder: Path, files: Files) -> RowSource:
    for number, rows in enumerate(files):
        table = pa.table(
            {"id": pa.array([key for key, _ in rows], pa.string()), "text": [text for _, text in rows]}
        )
        pq.write_table(table.cast(_SCHEMA), folder / f"{number}.parquet", row_group_size=2)
    return parquet(str(folder / "*.parquet"), key="id")


_SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string())])


def _jsonl(folder: Path, files: Files) -> RowSource:
    """Some lines are no record, and a late file changes the type of a column."""
    for number, rows in enumerate(files):
        lines = [
            orjson.dumps({"id": key, "text": text, "n": number / 2 if number > 2 else 1})
            for key, text in rows
        ]
        (folder / f"{number}.jsonl").write_bytes(
            b"".join(line + b"\n" for line in [*lines, b"{no record"][number % 2 :])
        )
    return jsonl(str(folder / "*.jsonl"), key="id")


def _csv(folder: Path, files: Files) -> RowSource:
    """Each file has its own order of columns, some a record of three cells."""
    for number, rows in enumerate(files):
        with (folder / f"{number}.csv").open("w", newline="", encoding="utf-8") as out:
            writer = std_csv.writer(out)
            writer.writerow(("id", "text") if number % 2 else ("text", "id"))
            writer.writerows((key or "", text) if number % 2 else (text, key or "") for key, text in rows)
            if number % 3 == 0:
                writer.writerow(("one", "too", "many"))
    return csv(str(folder / "*.csv"), key="id", encoding="utf-8")


def _documents(folder: Path, files: Files) -> RowSource:
    """A row is a file; one of them is not UTF-8."""
    for number, (_, text) in enumerate(row for rows in files for row in rows):
        (folder / f"{number:03d}.md").write_bytes(b"\xff" if number == 3 else text.encode())
    (folder / "zz.md").write_text("the last")
    return documents(str(folder / "*.md"))


def _all(
    source: RowSource, shares: Sequence[Share]
) -> tuple[list[dict[str, Any]], list[object], list[tuple[str, int]]]:
    """Records, problems, and each record's origin and number, over the shares."""
    batches = [batch for share in shares for batch in source.batches(opening(share=share, batch_rows=3))]
    return (
        [record for batch in batches for record in batch.records.to_pylist()],
        [problem for batch in batches for problem in batch.problems],
        [(batch.origin, number) for batch in batches for number in numbers_of(batch)],
    )


@pytest.mark.parametrize("kind", [_parquet, _jsonl, _csv, _documents])
@settings(max_examples=40, deadline=None)
@given(files=FILES, of=st.integers(1, 6))
def test_the_shares_together_are_the_whole(
    kind: Callable[[Path, Files], RowSource], files: Files, of: int
) -> None:
    with TemporaryDirectory() as name:
        source = kind(Path(name), files)
        shares = [Share(number, of) for number in range(of)]
        assert _all(source, shares) == _all(source, [Share()])
        assert len({share.seen for share in shares}) == 1
        assert of == 1 or shares[0].seen


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 50), max_size=30), of=st.integers(1, 8))
def test_every_item_is_in_one_share_and_no_share_has_more_than_its_part_and_an_item(
    sizes: list[int], of: int
) -> None:
    items = list(range(len(sizes)))
    picked = [
        list(Share(number, of).pick(items, lambda item: Measured(sizes[item], ""))) for number in range(of)
    ]
    assert [item for mine in picked for item in mine] == items
    for mine in picked:
        assert sum(sizes[item] for item in mine) <= sum(sizes) / of + max(sizes, default=0)


def test_a_file_that_comes_in_between_two_readers_is_seen(tmp_path: Path) -> None:
    source = _parquet(tmp_path, [[("a", "x"), ("b", "y")], [("c", "z")]])
    first, second = Share(0, 2), Share(1, 2)
    list(source.batches(opening(share=first)))
    pq.write_table(pa.table({"id": ["d"], "text": ["new"]}), tmp_path / "9.parquet")
    list(source.batches(opening(share=second)))
    assert first.seen != second.seen


@pytest.mark.parametrize("kind", [_parquet, _jsonl, _csv, _documents])
def test_a_file_that_is_written_anew_between_two_readers_is_seen(
    kind: Callable[[Path, Files], RowSource], tmp_path: Path
) -> None:
    """Also one of the same size."""
    source, seen = kind(tmp_path, [[("a", "one")]]), []
    for rewrites in (False, False, True):
        if rewrites:
            kind(tmp_path, [[("b", "two")]])
        share = Share(1, 2)
        list(source.batches(opening(share=share)))
        seen.append(share.seen)
    assert seen[0] == seen[1] != seen[2]


def test_files_elsewhere_are_shared_by_their_sizes() -> None:
    fs = fsspec.filesystem("memory")
    for number, text in enumerate(("short", "long" * 1_000, "short")):
        fs.pipe_file(f"/shares/{number}.jsonl", orjson.dumps({"id": number, "text": text}) + b"\n")
    source = jsonl("memory:///shares/*.jsonl", key="id")
    read_by = [
        [row["id"] for row in read(source, opening(share=Share(number, 3))).records] for number in range(3)
    ]
    assert read_by == [[0], [1], [2]]
