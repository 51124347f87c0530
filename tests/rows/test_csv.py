"""CSV and TSV."""

from __future__ import annotations

import csv as std_csv
import json
import logging
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from offpeak.errors import InputError, SpecError
from offpeak.rows.csv import csv
from tests.rows.opened import Read, opening, read

CASES = (
    *("comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "newlines", "newlines_crlf"),
    *("quotes_and_newlines", "simple", "simple_crlf", "utf8"),
)


def _read(
    tmp_path: Path, content: bytes | str, *, columns: tuple[str, ...] | None = None, **options: object
) -> Read:
    path = tmp_path / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(csv(str(path), key="id", **options), opening(columns=columns))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES)
def test_every_case_of_csv_spectrum_is_read_as_expected(data_folder: Path, case: str) -> None:
    folder = data_folder / "robustness" / "csv"
    expected = json.loads((folder / f"{case}.expected.json").read_text())
    got = read(csv(str(folder / f"{case}.csv"), key=next(iter(expected[0]))))
    assert (got.records, got.problems) == (expected, [])


def test_the_cases_here_are_all_that_there_are(data_folder: Path) -> None:
    assert sorted(CASES) == sorted(path.stem for path in (data_folder / "robustness" / "csv").glob("*.csv"))


def test_real_files_are_read_in_full(data_folder: Path) -> None:
    folder = data_folder / "tickets"
    for name, key in (("nyc311_requests.csv", "Unique Key"), ("banking77_test.csv", "text")):
        got = read(csv(str(folder / name), key=key), opening(batch_rows=500))
        with (folder / name).open(newline="", encoding="utf-8") as text:
            assert got.records == list(std_csv.DictReader(text))
        assert got.problems == []
        assert len(got.schemas) == 1
    texts = pq.read_table(folder / "banking77_test.parquet")["text"].to_pylist()
    assert [record["text"] for record in got.records] == texts


def test_cells_stay_the_text_that_they_are(tmp_path: Path) -> None:
    got = _read(tmp_path, 'id,a,b,c\n007,1.0,NA,\n2, x ,null,""\n')
    assert got.records == [
        {"id": "007", "a": "1.0", "b": "NA", "c": ""},
        {"id": "2", "a": " x ", "b": "null", "c": ""},
    ]


def test_a_ragged_record_is_a_problem_with_its_physical_line(tmp_path: Path) -> None:
    got = _read(tmp_path, 'id,a\n1,"x\ny"\n2\n\n3,z,too many\n4,z\n')
    assert got.records == [{"id": "1", "a": "x\ny"}, {"id": "4", "a": "z"}]
    assert [(problem.number, problem.excerpt) for problem in got.problems] == [(4, "2"), (6, "3,z,too many")]
    assert "has 1 cells, the header 2" in got.problems[0].reason


def test_a_quote_left_open_costs_one_record_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    rows = "".join(f"{number},fine\n" for number in range(2, 2000))
    got = _read(tmp_path, f'id,a\n1,"open\n{rows}', max_cell_bytes=5000)
    assert [record["id"] for record in got.records] == [str(number) for number in range(2, 2000)]
    assert [problem.number for problem in got.problems] == [2]
    assert "is a quote left open?" in got.problems[0].reason


def test_a_quote_left_open_near_the_end_costs_one_record(tmp_path: Path) -> None:
    got = _read(tmp_path, 'id,a\n1,"open\n2,fine\n')
    assert got.records == [{"id": "2", "a": "fine"}]
    assert [problem.number for problem in got.problems] == [2]


def test_text_after_a_closing_quote_is_a_problem(tmp_path: Path) -> None:
    got = _read(tmp_path, 'id,a\n1,"x"y\n2,z\n')
    assert got.records == [{"id": "2", "a": "z"}]
    assert "not valid CSV: ',' expected after '\"'" in got.problems[0].reason


def test_a_cell_above_the_limit_is_a_problem_and_reading_goes_on(tmp_path: Path) -> None:
    got = _read(tmp_path, f"id,a\n1,{'x' * 300_000}\n2,y\n3,{'z' * 150_000}\n", max_cell_bytes=200_000)
    assert [(record["id"], len(record["a"])) for record in got.records] == [("2", 1), ("3", 150_000)]
    assert [problem.number for problem in got.problems] == [2]
    assert "longer than 200000 characters" in got.problems[0].reason


def test_an_empty_key_is_a_problem(tmp_path: Path) -> None:
    got = _read(tmp_path, "id,a\n,x\n2,y\n")
    assert got.records == [{"id": "2", "a": "y"}]
    assert [(problem.number, "'id' is empty" in problem.reason) for problem in got.problems] == [(2, True)]


def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows\.csv has more than one column 'a'"):
        _read(tmp_path, "id,a,a\n1,2,3\n")


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    assert _read(tmp_path, "id,a,,\n1,2,,\n").records == [{"id": "1", "a": "2"}]


def test_a_wrong_delimiter_shows_as_a_missing_column_with_the_header_as_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'id' \(the key\).*It has: 'id;a'"):
        _read(tmp_path, "id;a\n1;2\n")
    assert _read(tmp_path, "id;a\n1;2\n", delimiter=";").records == [{"id": "1", "a": "2"}]
    for delimiter in ("", ";;", '"', "\n"):
        with pytest.raises(SpecError, match="delimiter"):
            csv("a.csv", key="id", delimiter=delimiter)


def test_empty_files_have_no_rows(tmp_path: Path) -> None:
    assert _read(tmp_path, b"").records == []
    assert _read(tmp_path, b"\xef\xbb\xbf").records == []
    assert _read(tmp_path, b"id,a\r\n").records == []
    with pytest.raises(InputError, match="no column 'b'"):
        _read(tmp_path, b"id,a\r\n", columns=("b",))


def test_files_may_order_their_columns_differently_and_lack_some(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("id,a\n1,x\n")
    (tmp_path / "2.csv").write_text("b,id\ny,2\n")
    (tmp_path / "3.csv").write_text("")
    got = read(csv("{store}/*.csv", key="id"), opening(tmp_path))
    assert got.records == [{"id": "1", "a": "x", "b": None}, {"id": "2", "a": None, "b": "y"}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_and_every_line_end_are_read(tmp_path: Path, encoding: str, end: str) -> None:
    content = end.join(["id,a", "1,Où", f'2,"né{end}x"', "3,カード", ""])
    got = _read(tmp_path, content.encode(encoding))
    assert [record["a"] for record in got.records] == ["Où", f"né{end}x", "カード"]


def test_an_old_western_file_is_read_as_such_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "id,a\n1,plain\n2,Où est ma carte – 5 €\n3,déçu\n"
    with caplog.at_level(logging.WARNING):
        got = _read(tmp_path, text.encode("cp1252"))
    assert [record["a"] for record in got.records] == ["plain", "Où est ma carte – 5 €", "déçu"]
    assert "is not UTF-8 (first in line 3); it is read as cp1252, a guess" in caplog.text


def test_an_encoding_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    text = "id,a\n1,Где моя карта? Она ещё не пришла\n"
    with pytest.raises(InputError, match=r"not UTF-8 \(first in line 2\).*encoding="):
        _read(tmp_path, text.encode("cp1251"))
    assert _read(tmp_path, text.encode("cp1251"), encoding="cp1251").records[0]["a"].startswith("Где")


def test_damaged_lines_of_a_utf_8_file_are_problems_and_no_other_encoding_is_guessed(tmp_path: Path) -> None:
    got = _read(tmp_path, b"id,a,b\n1,\xc3\xa9,x\n2,\xe9,x\n3,ok,\xff\n4,ok,x\n", columns=("id", "a"))
    # a damaged cell in a column that nobody wants is no loss
    assert [record["id"] for record in got.records] == ["1", "3", "4"]
    assert [(problem.number, problem.excerpt) for problem in got.problems] == [(3, "2,\\xe9,x")]
    assert "not in the file's encoding" in got.problems[0].reason


def test_null_characters_are_data(tmp_path: Path) -> None:
    assert _read(tmp_path, b"id,a\n1,x\x00y\n").records == [{"id": "1", "a": "x\x00y"}]


def test_a_batch_starts_with_the_line_of_its_first_record(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,a\n" + "".join(f'{number},"x\ny"\n' for number in range(25)))
    got = read(csv(str(path), key="id"), opening(batch_rows=10))
    assert got.firsts == [2, 22, 42]


def test_a_remote_file_is_read_like_a_local_one() -> None:
    fsspec.filesystem("memory").pipe("/remote-csv/a.csv", "id,a\n1,é\n".encode("cp1252"))
    assert read(csv("memory://remote-csv/a.csv", key="id")).records == [{"id": "1", "a": "é"}]
