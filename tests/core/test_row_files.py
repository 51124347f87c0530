"""Rows come out of their files in whatever order they are wanted."""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak import row_files
from offpeak.row_files import Grouped, RowFiles, Rows, RowsAt
from tests.core.taking import TAKES, Place, taken

SCHEMA = pa.schema([("said", pa.string()), ("tags", pa.list_(pa.string())), ("count", pa.int64())])


def write(path: Path, count: int, name: str, *, group: int) -> Path:
    """A file of `count` rows with the columns of SCHEMA in another order, one of them more narrow, and another."""
    table = pa.table(
        {
            "other": list(range(count)),
            "count": pa.array(range(count), pa.int32()),
            "tags": [None if n % 5 == 4 else [name] * (n % 3) for n in range(count)],
            "said": [None if n % 4 == 3 else f"{name} {n} 🛒" for n in range(count)],
        },
        schema=pa.schema(
            [
                ("other", pa.int64()),
                ("count", pa.int32()),
                ("tags", pa.list_(pa.string())),
                ("said", pa.string()),
            ]
        ),
    )
    pq.write_table(table, path, row_group_size=group)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    return [
        write(folder / "a.parquet", 700, "first", group=90),
        write(folder / "b.parquet", 0, "none", group=1),
        write(folder / "c.parquet", 9, "third", group=4),
    ]


@pytest.fixture(autouse=True, scope="module")
def small_batches() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_files, "UNPACK_ROWS", 64)
        patch.setattr(row_files, "READ_ROWS", 50)
        yield


@settings(deadline=None, max_examples=100)
@given(takes=TAKES)
def test_rows_are_taken_from_any_place_in_any_order(
    files: list[Path], tmp_path_factory: pytest.TempPathFactory, takes: list[list[list[Place]]]
) -> None:
    held = [pq.read_table(path, columns=SCHEMA.names).to_pylist() for path in files]
    rows = RowFiles(files, SCHEMA, tmp_path_factory.mktemp("work"))
    for places, found in taken(rows.take, takes):
        found.validate(full=True)
        assert found.schema == SCHEMA
        blank = dict.fromkeys(SCHEMA.names)
        assert found.to_pylist() == [blank if file < 0 else held[file][row] for file, row in places]


def test_only_the_files_that_are_needed_are_unpacked(files: list[Path], tmp_path: Path) -> None:
    rows = RowFiles(files, SCHEMA, tmp_path)
    assert list(tmp_path.iterdir()) == []
    rows.take(np.array([2], np.int64), np.array([0], np.int64))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_behind_the_end_of_its_file_is_an_error(files: list[Path], tmp_path: Path) -> None:
    rows = RowFiles(files, SCHEMA, tmp_path)
    with pytest.raises(IndexError, match=r"c\.parquet has 9 rows, and no place 9"):
        rows.take(np.array([2], np.int64), np.array([9], np.int64))


def test_a_file_is_read_so_many_rows_at_a_time_and_to_its_end(files: list[Path]) -> None:
    rows = Rows(files[0], ["said", "count"])
    parts = [rows.take(count) for count in (1, 0, 120, 49, 600, 5)]
    assert [part.num_rows for part in parts] == [1, 0, 120, 49, 530, 0]
    assert pa.concat_tables(parts) == pq.read_table(files[0], columns=["said", "count"])


@pytest.mark.parametrize("known", [False, True])
def test_single_rows_are_taken_by_their_numbers_and_hold_no_more_than_themselves(
    tmp_path: Path, known: bool
) -> None:
    path = write(tmp_path / "long.parquet", 5_000, "x" * 500, group=1_000)
    footer = pq.read_metadata(path) if known else None
    rows = RowsAt(path, ["said", "count"], footer)
    wanted = [[0, 1], [2, 998, 999, 1_000, 3_500], [3_500, 4_999]]
    found = [rows.take(np.array(one)) for one in wanted]
    assert [table["count"].to_pylist() for table in found] == wanted
    assert found[0]["said"].to_pylist() == [f"{'x' * 500} {number} 🛒" for number in (0, 1)]
    assert sum(table.get_total_buffer_size() for table in found) < 20_000
    with pytest.raises(IndexError, match=r"5,000 rows, and no row 5,000"):
        rows.take(np.array([5_000]))


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 9), max_size=12), least=st.integers(1, 20))
def test_tables_are_written_together_as_groups_of_at_least_so_many_rows(sizes: list[int], least: int) -> None:
    numbers = iter(range(sum(sizes)))
    tables = [pa.table({"n": list(islice(numbers, size))}, SMALL) for size in sizes]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "groups.parquet"
        with Grouped(path, SMALL, least, compression="zstd") as out:
            for table in tables:
                out.add(table)
        file = pq.ParquetFile(path)
        assert file.read()["n"].to_pylist() == list(range(sum(sizes)))
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert all(least <= rows < least + 9 for rows in groups[:-1])


SMALL = pa.schema([("n", pa.int64())])
