"""Vectors come out of their files in whatever order they are wanted."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from offpeak.vector_files import VectorFiles
from tests.core.taking import TAKES, Place, taken

DIMENSIONS = 3
VECTOR = pa.list_(pa.float32(), DIMENSIONS)
KINDS = {"bytes": pa.binary(4 * DIMENSIONS), "lists": VECTOR, "lists of any length": pa.list_(pa.float32())}


def vector(row: int, first: float) -> tuple[float, ...] | None:
    """What a file has there: every fourth is null."""
    return None if row % 4 == 3 else (first + row, -row, 0.25)


def write(path: Path, count: int, first: float, kind: pa.DataType, *, group: int = 2) -> Path:
    """A file of `count` vectors beside another column."""
    given = [vector(row, first) for row in range(count)]
    if pa.types.is_fixed_size_binary(kind):
        column = pa.array([one and struct.pack("<3f", *one) for one in given], kind)
    else:
        column = pa.array(given, kind)
    pq.write_table(pa.table({"other": list(range(count)), "vector": column}), path, row_group_size=group)
    return path


@pytest.fixture(scope="module", params=KINDS)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two of one kind and one of another, as where some were written before an upgrade."""
    folder, kind = tmp_path_factory.mktemp("files"), KINDS[cast(str, request.param)]
    return [
        write(folder / "a.parquet", 700, 0.5, kind, group=300),
        write(folder / "b.parquet", 0, 0.0, kind),
        write(folder / "c.parquet", 9, 1000.0, VECTOR if kind != VECTOR else KINDS["bytes"]),
    ]


@settings(deadline=None, max_examples=50)
@given(takes=TAKES)
def test_vectors_are_taken_from_any_place_in_any_order(
    files: list[Path], tmp_path_factory: pytest.TempPathFactory, takes: list[list[list[Place]]]
) -> None:
    firsts = {0: 0.5, 2: 1000.0}
    with VectorFiles(files, "vector", DIMENSIONS, tmp_path_factory.mktemp("work")) as vectors:
        for places, found in taken(vectors.take, takes):
            found.validate(full=True)
            assert found.type == VECTOR
            expected = [None if file < 0 else vector(row, firsts[file]) for file, row in places]
            assert [one and tuple(one) for one in found.to_pylist()] == expected


def test_only_the_files_that_are_needed_are_unpacked(files: list[Path], tmp_path: Path) -> None:
    with VectorFiles(files, "vector", DIMENSIONS, tmp_path) as vectors:
        assert list(tmp_path.iterdir()) == []
        vectors.take(np.array([2], np.int64), np.array([0], np.int64))
        (made,) = tmp_path.iterdir()
        assert made.stat().st_size == 9 * DIMENSIONS * 4


def test_a_place_behind_the_end_of_its_file_is_an_error(files: list[Path], tmp_path: Path) -> None:
    with (
        VectorFiles(files, "vector", DIMENSIONS, tmp_path) as vectors,
        pytest.raises(OSError, match="ends before byte 120"),
    ):
        vectors.take(np.array([2], np.int64), np.array([9], np.int64))


def test_vectors_of_another_length_are_an_error(files: list[Path], tmp_path: Path) -> None:
    with VectorFiles(files, "vector", DIMENSIONS + 1, tmp_path) as vectors, pytest.raises(pa.ArrowException):
        vectors.take(np.array([0], np.int64), np.array([0], np.int64))
