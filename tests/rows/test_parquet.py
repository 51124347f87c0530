"""Parquet."""

from __future__ import annotations

import tracemalloc
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak.errors import InputError
from offpeak.rows.parquet import parquet
from tests.rows.opened import Read, opening, read

REFUSED = {
    "datapage_v1-corrupt-checksum": "CRC checksum verification failed",
    "incorrect_map_schema": "Map keys must be annotated as required",
}


def _read(tmp_path: Path, columns: dict[str, object], *, key: str = "id", rows: int = 16_384) -> Read:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    return read(parquet(str(path), key=key), opening(batch_rows=rows))


def _cases(folder: Path) -> list[Path]:
    return sorted((folder / "robustness" / "parquet").glob("*.parquet"))


def test_each_edge_case_file_is_read_exactly_or_refused_by_name(data_folder: Path, tmp_path: Path) -> None:
    """The key is added beside the case's own columns, which mostly have none."""
    cases = _cases(data_folder)
    assert len(cases) == 21
    refused = set()
    for path in cases:
        try:
            table = pq.read_table(path, page_checksum_verification=True, coerce_int96_timestamp_unit="us")
        except (pa.ArrowException, OSError):
            with pytest.raises(InputError, match=REFUSED[path.stem]) as caught:
                read(parquet(str(path), key="a"))
            assert str(path) in str(caught.value)
            refused.add(path.stem)
            continue
        keyed = tmp_path / path.name
        pq.write_table(table.append_column("row key", pa.array(range(table.num_rows))), keyed)
        got = read(parquet(str(keyed), key="row key"))
        accounted = {record["row key"] for record in got.records} | {
            problem.number - 1 for problem in got.problems
        }
        assert accounted == set(range(table.num_rows)), path
        assert len(got.records) + len(got.problems) == table.num_rows
    assert refused == set(REFUSED)


def test_files_with_a_key_of_their_own_are_read_as_they_are(data_folder: Path) -> None:
    folder = data_folder / "robustness" / "parquet"
    plain = read(parquet(str(folder / "alltypes_plain.parquet"), key="id"))
    assert sorted(record["id"] for record in plain.records) == list(range(8))
    nulls = read(parquet(str(folder / "int32_with_null_pages.parquet"), key="int32_field"))
    assert (len(nulls.records), len(nulls.problems)) == (725, 275)
    nested = read(parquet(str(folder / "repeated_no_annotation.parquet"), key="id"))
    assert nested.records[-1]["phoneNumbers"]["phone"][0] == {"number": 1111111111, "kind": "home"}
    members = read(parquet(str(folder / "concatenated_gzip_members.parquet"), key="long_col"))
    assert [record["long_col"] for record in members.records] == list(range(1, 514))


def test_the_naughty_strings_and_the_tickets_come_back_exactly(data_folder: Path) -> None:
    naughty = data_folder / "robustness" / "naughty_strings.parquet"
    lines = naughty.with_suffix(".jsonl").read_bytes().split(b"\n")
    got = read(parquet(str(naughty), key="string_id"))
    assert got.records == [orjson.loads(line) for line in lines if line]
    for name, count in (("banking77_train", 10_003), ("banking77_test", 3_080)):
        path = data_folder / "tickets" / f"{name}.parquet"
        got = read(parquet(str(path), key="ticket_id"), opening(batch_rows=1000))
        assert got.records == pq.read_table(path).to_pylist()
        assert (len(got.records), got.problems) == (count, [])
        assert got.firsts == [1 + 1000 * index for index in range(got.batches)]


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["a", None, "é"], pa.large_string()),
        pa.array(["a", None, "é"], pa.string_view()),
        pa.array(["a", None, "é"]).dictionary_encode(),
        pa.array([b"a", None, "é".encode()], pa.binary()),
        pa.array([b"a", None, "é".encode()], pa.large_binary()),
        pa.array([b"a", None, "é".encode()], pa.binary_view()),
        pa.array([b"a", None, "é".encode()]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type)[:20],
)
def test_text_of_every_kind_is_one_kind(tmp_path: Path, texts: pa.Array) -> None:
    got = _read(tmp_path, {"id": [1, 2, 3], "text": texts})
    assert [record["text"] for record in got.records] == ["a", None, "é"]
    assert got.schemas == {"id: int64\ntext: string"}


@pytest.mark.parametrize("kind", [pa.binary(), pa.string(), pa.large_string()])
def test_bytes_that_are_no_utf_8_are_a_problem_of_their_row(tmp_path: Path, kind: pa.DataType) -> None:
    spoilt = pa.array([b"ok", b"\xff\xfe", b"fine"], pa.binary()).cast(pa.large_binary())
    spoilt = spoilt.cast(kind, safe=False) if kind != pa.binary() else spoilt.cast(kind)
    got = _read(tmp_path, {"id": ["a", "b", "c"], "text": spoilt})
    assert [(record["id"], record["text"]) for record in got.records] == [("a", "ok"), ("c", "fine")]
    assert [(problem.number, problem.excerpt) for problem in got.problems] == [(2, "id='b'")]
    assert "'text' is not valid UTF-8" in got.problems[0].reason


def test_a_row_number_is_its_place_in_the_file_whatever_the_batch(tmp_path: Path) -> None:
    texts = pa.array([b"ok"] * 24 + [b"\xff"], pa.binary())
    got = _read(tmp_path, {"id": list(range(25)), "text": texts}, rows=10)
    assert (got.firsts, [problem.number for problem in got.problems]) == ([1, 11, 21], [25])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (pa.array([1, 2], pa.uint8()), [1, 2]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (
            pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes], pa.uuid()),
            [str(uuid.UUID(int=n)) for n in (1, 2)],
        ),
        (pa.array([date(2026, 3, 1), date(2026, 3, 2)]), ["2026-03-01", "2026-03-02"]),
        (pa.array([Decimal(10), Decimal(2)], pa.decimal128(38, 0)), ["10", "2"]),
    ],
    ids=lambda value: str(getattr(value, "type", ""))[:20],
)
def test_a_key_is_an_integer_or_text(tmp_path: Path, keys: pa.Array, expected: list[object]) -> None:
    assert [record["id"] for record in _read(tmp_path, {"id": keys}).records] == expected


@pytest.mark.parametrize(
    "keys",
    [
        [1.0, 2.0],
        [True, False],
        [[1], [2]],
        [datetime(2026, 3, 1, tzinfo=UTC)] * 2,
        [Decimal("1.5"), Decimal("2.5")],
    ],
)
def test_a_key_that_cannot_name_a_row_is_refused_with_the_cure(tmp_path: Path, keys: list[object]) -> None:
    with pytest.raises(InputError, match=r"which cannot name a row.*Use a column of integers or text"):
        _read(tmp_path, {"id": keys})


def test_a_null_or_empty_key_is_a_problem_of_its_row(tmp_path: Path) -> None:
    got = _read(tmp_path, {"id": ["a", None, "", "d"], "n": [1, 2, 3, 4]})
    assert [record["n"] for record in got.records] == [1, 4]
    assert [(problem.number, problem.reason.split(";")[0]) for problem in got.problems] == [
        (2, "the key 'id' is null or absent"),
        (3, "the key 'id' is empty"),
    ]


def test_an_unsigned_key_above_64_bits_is_a_problem_of_its_row(tmp_path: Path) -> None:
    got = _read(tmp_path, {"id": pa.array([1, 2**64 - 1], pa.uint64())})
    assert [record["id"] for record in got.records] == [1]
    assert "'id' does not fit the column's type int64" in got.problems[0].reason


def test_nested_columns_times_and_decimals_pass_through(tmp_path: Path) -> None:
    values = {
        "tags": [["a", None], []],
        "meta": [{"x": 1, "y": "b"}, {"x": None, "y": None}],
        "price": [Decimal("1.50"), Decimal("-2.00")],
        "at": pa.array([datetime(2026, 3, 1, tzinfo=UTC), None], pa.timestamp("ns", tz="UTC")),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    }
    got = _read(tmp_path, {"id": [1, 2], **values})
    assert got.records[0] == {
        "id": 1,
        "tags": ["a", None],
        "meta": {"x": 1, "y": "b"},
        "price": Decimal("1.50"),
        "at": datetime(2026, 3, 1, tzinfo=UTC),
        "map": [("k", 1)],
    }
    assert got.problems == []


def test_a_date_that_no_calendar_of_ours_holds_is_a_problem_of_its_row(tmp_path: Path) -> None:
    at = pa.array([0, 253_402_300_800_000_000, None], pa.timestamp("us"))  # the second is in the year 10000
    got = _read(tmp_path, {"id": [1, 2, 3], "at": at})
    assert [record["id"] for record in got.records] == [1, 3]
    assert [problem.number for problem in got.problems] == [2]


def test_a_cell_above_the_limit_is_a_problem_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for texts in (pa.array(["x" * 2000, "y"]), pa.array(["x" * 2000, "y"]).dictionary_encode()):
        pq.write_table(pa.table({"id": [1, 2], "text": texts}), path)
        got = read(parquet(str(path), key="id", max_cell_bytes=1000))
        assert [record["id"] for record in got.records] == [2]
        assert "'text' is larger than 1000 bytes" in got.problems[0].reason


def test_files_may_order_columns_differently_lack_some_and_differ_in_width(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([1], pa.int32()), "a": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": [True], "id": pa.array([2], pa.int64())}), tmp_path / "2.parquet")
    got = read(parquet("{store}/*.parquet", key="id"), opening(tmp_path))
    assert got.records == [{"id": 1, "a": "x", "b": None}, {"id": 2, "a": None, "b": True}]
    assert len(got.schemas) == 1


def test_files_that_disagree_on_a_type_are_refused_naming_both(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "a": ["x"]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"id": [2], "a": [5]}), tmp_path / "2.parquet")
    with pytest.raises(InputError, match=r"'a' is string in .*1\.parquet but int64 in .*2\.parquet"):
        read(parquet("{store}/*.parquet", key="id"), opening(tmp_path))


def test_a_missing_column_is_an_input_error_that_lists_those_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": [1], "text": ["x"]}), path)
    with pytest.raises(InputError, match=r"no column 'txt'.*It has: 'id', 'text'"):
        read(parquet(str(path), key="id"), opening(columns=("txt",)))


def test_names_with_dots_and_wanted_columns_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": [1], "a.b": ["x"], "a": [{"b": 1}], "c": [2]}), path)
    assert read(parquet(str(path), key="id"), opening(columns=("a.b",))).records == [{"a.b": "x", "id": 1}]
    assert read(parquet(str(path), key="id"), opening(columns=("a",))).records == [{"a": {"b": 1}, "id": 1}]


def test_what_is_no_parquet_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for content, phrase in (
        (b"", "is empty"),
        (b"id,a\n1,2\n" * 9, "cannot be read"),
        (b"PAR1" * 9, "cannot be"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"rows\.parquet {phrase}"):
            read(parquet(str(path), key="id"))


def test_a_file_without_rows_gives_none(tmp_path: Path) -> None:
    assert _read(tmp_path, {"id": pa.array([], pa.int64())}).records == []


def test_one_huge_row_group_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    text = [f"{number} " * 40 for number in range(200_000)]
    pq.write_table(
        pa.table({"id": list(range(200_000)), "text": text}), path, use_dictionary=False, compression="none"
    )
    assert pq.ParquetFile(path).num_row_groups == 1
    assert path.stat().st_size > 50 << 20
    del text
    before = pa.total_allocated_bytes()
    most = count = 0
    tracemalloc.start()
    for batch in parquet(str(path), key="id").batches(opening(batch_rows=2000)):
        count += batch.records.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    read_ahead = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_000
    assert most < 16 << 20
    assert read_ahead < 16 << 20


def test_a_remote_file_is_read_like_a_local_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "a.parquet")
    fsspec.filesystem("memory").pipe("/remote-parquet/a.parquet", (tmp_path / "a.parquet").read_bytes())
    got = read(parquet("{store}/*.parquet", key="id"), opening("memory://remote-parquet"))
    assert [record["id"] for record in got.records] == [1, 2]
