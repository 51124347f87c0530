"""Vectors come out of their files in whatever order they are wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from offpeak.vector_files import VectorFiles
from tests.core.taking import TAKES, Place, taken

DIMENSIONS = 3
VECTOR = pa.list_(pa.float32(), DIMENSIONS)


def write(path: Path, count: int, first: float, *, group: int = 2, kind: pa.DataType = VECTOR) -> Path:
    """A file of `count` vectors, every fourth of them null, beside another column."""
    vectors = [None if n % 4 == 3 else [first + n, -n, 0.1] for n in range(count)]
    table = pa.table({"other": list(range(count)), "vector": pa.array(vectors, kind)})
    pq.write_table(table, path, row_group_size=group)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    return [
        write(folder / "a.parquet", 700, 0.5, group=300),
        write(folder / "b.parquet", 0, 0.0),
        write(folder / "c.parquet", 9, 1000.0, kind=pa.list_(pa.float32())),
    ]


@settings(deadline=None, max_examples=50)
@given(takes=TAKES)
def test_vectors_are_taken_from_any_place_in_any_order(
    files: list[Path], tmp_path_factory: pytest.TempPathFactory, takes: list[list[list[Place]]]
) -> None:
    held = [pq.read_table(path)["vector"].to_pylist() for path in files]
    with VectorFiles(files, "vector", DIMENSIONS, tmp_path_factory.mktemp("work")) as vectors:
        for places, found in taken(vectors.take, takes):
            found.validate(full=True)
            assert found.type == VECTOR
            assert found.to_pylist() == [None if file < 0 else held[file][row] for file, row in places]


def test_only_the_files_that_are_needed_are_unpacked(files: list[Path], tmp_path: Path) -> None:
    with VectorFiles(files, "vector", DIMENSIONS, tmp_path) as vectors:
        assert list(tmp_path.iterdir()) == []
        vectors.take(np.array([2], np.int64), np.array([0], np.int64))
        (made,) = tmp_path.iterdir()
        assert made.stat().st_size == 9 * DIMENSIONS * 4


def test_a_place_behind_the_end_of_its_file_is_an_error(files: list[Path], tmp_path: Path) -> None:
    with (
        VectorFiles(files, "vector", DIMENSIONS, tmp_path) as vectors,
        pytest.raises(OSError, match="ends before row 10"),
    ):
        vectors.take(np.array([2], np.int64), np.array([9], np.int64))
