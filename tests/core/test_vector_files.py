"""Vectors come out of their files in whatever order they are wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.vector_files import VectorFiles

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


PLACES = st.one_of(
    st.tuples(st.just(0), st.integers(0, 699)), st.tuples(st.just(2), st.integers(0, 8)), st.just((-1, -1))
)
RUNS = st.tuples(st.just(0), st.integers(0, 600), st.integers(1, 99)).map(
    lambda run: [(run[0], run[1] + n) for n in range(run[2])]
)


@settings(deadline=None, max_examples=50)
@given(takes=st.lists(st.lists(PLACES.map(lambda place: [place]) | RUNS, max_size=6), max_size=3))
def test_vectors_are_taken_from_any_place_in_any_order(
    files: list[Path], tmp_path_factory: pytest.TempPathFactory, takes: list[list[list[tuple[int, int]]]]
) -> None:
    held = [pq.read_table(path)["vector"].to_pylist() for path in files]
    with VectorFiles(files, "vector", DIMENSIONS, tmp_path_factory.mktemp("work")) as vectors:
        flat = [[place for run in runs for place in run] for runs in takes]
        pairs = [np.array(places, np.int64).reshape(-1, 2) for places in flat]
        # all are there at once: one is written while the next is made
        for places, found in zip(flat, [vectors.take(one[:, 0], one[:, 1]) for one in pairs], strict=True):
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
