"""JSON lines."""

from __future__ import annotations

import csv
import gzip
import tracemalloc
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from offpeak.errors import InputError, SpecError
from offpeak.rows.jsonl import jsonl
from tests.rows.opened import Read, opening, read


def _read(
    tmp_path: Path, content: bytes | str, *, columns: tuple[str, ...] | None = None, **options: object
) -> Read:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(jsonl(str(path), key="id", **options), opening(columns=columns))  # type: ignore[arg-type]


def test_every_malformed_line_is_a_problem_with_its_number_and_every_good_row_is_read(
    data_folder: Path,
) -> None:
    path = data_folder / "robustness" / "malformed_lines.jsonl"
    with (data_folder / "robustness" / "malformed_lines_expected.csv").open(newline="") as text:
        expected = {int(line["line"]): line for line in csv.DictReader(text)}
    got = read(jsonl(str(path), key="ticket_id"), opening(columns=("ticket_id", "text"), batch_rows=100))
    raw = path.read_bytes().split(b"\n")
    good = [number for number, line in expected.items() if line["kind"] == "good_row"]
    assert got.records == [orjson.loads(raw[number - 1]) for number in good]
    reasons = {problem.number: problem.reason for problem in got.problems}
    blank = [number for number, line in expected.items() if line["expect"] == "blank"]
    # every line is accounted for once: a record, a problem, or blank
    assert sorted([*good, *reasons, *blank]) == sorted(expected)
    assert len(reasons) == len(got.problems) == 205
    for number, line in expected.items():
        if line["expect"] == "invalid":
            assert "not valid" in reasons[number], line
        if line["expect"] == "valid" and line["kind"].startswith("y_object"):
            assert "'ticket_id' is null or absent" in reasons[number]
        elif line["expect"] == "valid" and line["kind"].startswith("y_"):
            assert "not an object" in reasons[number]


def test_every_case_of_the_json_test_suite_is_read_as_it_is_or_is_a_problem(
    data_folder: Path, tmp_path: Path
) -> None:
    cases = pq.read_table(data_folder / "robustness" / "json_cases.parquet").to_pylist()
    cases = [case for case in cases if b"\n" not in case["content"] and case["content"].strip()]
    lines = [b'{"id": %d, "x": %s}' % (number, case["content"]) for number, case in enumerate(cases, 1)]
    path = tmp_path / "cases.jsonl"
    path.write_bytes(b"\n".join(lines))
    got = read(jsonl(str(path), key="id"), opening(columns=("id",)))
    problems = {problem.number for problem in got.problems}
    assert {record["id"] for record in got.records} | problems == set(range(1, len(cases) + 1))
    wrong = {number for number, case in enumerate(cases, 1) if case["expect"] == "invalid"}
    right = {number for number, case in enumerate(cases, 1) if case["expect"] == "valid"}
    assert not right & problems
    # text that closes our object early and opens another makes a valid line of an invalid case
    assert all(b"}" in cases[number - 1]["content"] for number in wrong - problems)


def test_the_naughty_strings_come_back_exactly(data_folder: Path) -> None:
    path = data_folder / "robustness" / "naughty_strings.jsonl"
    got = read(jsonl(str(path), key="string_id"))
    assert got.problems == []
    assert len(got.records) == 388
    assert got.records == [orjson.loads(line) for line in path.read_bytes().split(b"\n") if line]
    assert got.records == pq.read_table(path.with_suffix(".parquet")).to_pylist()


def test_columns_that_a_line_lacks_are_null_there(data_folder: Path) -> None:
    path = data_folder / "products" / "products.jsonl"
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines() if line]
    names = list(dict.fromkeys(name for line in lines for name in line))
    key = names[0]
    got = read(jsonl(str(path), key=key))
    assert got.problems == []
    assert [[record[name] for name in names] for record in got.records] == [
        [line.get(name) for name in names] for line in lines
    ]
    assert any(name not in line for line in lines for name in names)


def test_only_wanted_columns_are_read_and_the_key_always(tmp_path: Path) -> None:
    got = _read(tmp_path, '{"id": 1, "a": "x", "b": {"c": 1}}\n', columns=("a",))
    assert got.records == [{"a": "x", "id": 1}]


def test_a_column_that_no_line_has_is_an_input_error_that_lists_those_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl has no column 'txt'.*It has: 'id', 'text'"):
        _read(tmp_path, '{"id": 1, "text": "x"}\n{"id": 2}\n', columns=("txt",))


def test_an_empty_file_has_no_rows_and_no_complaint(tmp_path: Path) -> None:
    assert _read(tmp_path, b"", columns=("text",)) == Read([], [], 0, [], set())
    assert _read(tmp_path, b"\n \r\n\t\n").records == []


def test_a_file_of_nothing_but_bad_lines_gives_only_problems(tmp_path: Path) -> None:
    got = _read(tmp_path, b"{\nnot json\n", columns=("text",))
    assert ([problem.number for problem in got.problems], got.records) == ([1, 2], [])


def test_blank_lines_count_but_are_no_records(tmp_path: Path) -> None:
    got = _read(tmp_path, b'{"id":1}\n\n  \r\n{"id":2}\r\n[]')
    assert got.records == [{"id": 1}, {"id": 2}]
    assert [(problem.number, problem.excerpt) for problem in got.problems] == [(5, "[]")]


def test_line_separators_of_unicode_are_data(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\u0085d\x0b\x0ce\rf"
    got = _read(tmp_path, orjson.dumps({"id": 1, "text": text}).replace(b"\\r", b"\\u000d") + b"\n")
    assert got.records == [{"id": 1, "text": text}]


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        (b'{"id": 1, "x": "\\ud800"}', "not valid JSON"),
        (b'{"id": 1, "x": NaN}', "not valid JSON"),
        (b'{"id": 1, "x": -Infinity}', "not valid JSON"),
        (b'{"id": 1, "x": 9223372036854775808}', "beyond 64 bits"),
        (b'{"id": 1, "x": [-123456789012345678901234567890]}', "beyond 64 bits"),
        (b'{"id": 1, "x": ' + b"9" * 300 + b"}", "beyond 64 bits"),
        (b'{"id": 1, "x": 1e999}', "number is infinity"),
        (b'{"id": 1, "x": "\xff"}', "not valid UTF-8 (byte 17)"),
        (b'{"id": 1, "x": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper than 64"),
        (b'{"id": 1, "x": ' + b"[" * 100_000, "not valid JSON"),
        (b'{"id": 1.5}', "the key 'id' is a number with a fraction"),
        (b'{"id": true}', "the key 'id' is true or false"),
        (b'{"id": [1]}', "the key 'id' is an array"),
        (b'{"id": null, "x": 1}', "the key 'id' is null or absent"),
        (b'{"x": 1}', "the key 'id' is null or absent"),
        (b'"text"', "the line is a string, not an object"),
    ],
)
def test_a_line_that_cannot_be_held_is_a_problem_and_its_neighbours_are_read(
    tmp_path: Path, line: bytes, phrase: str
) -> None:
    got = _read(tmp_path, b'{"id": 7, "x": null}\n' + line + b'\n{"id": 8, "x": null}\n', columns=("id",))
    assert [record["id"] for record in got.records] == [7, 8]
    assert [problem.number for problem in got.problems] == [2]
    assert phrase in got.problems[0].reason
    assert len(got.problems[0].excerpt) <= 500


def test_an_empty_key_is_a_problem(tmp_path: Path) -> None:
    got = _read(tmp_path, b'{"id": ""}\n{"id": "a"}\n')
    assert got.records == [{"id": "a"}]
    assert "the key 'id' is empty" in got.problems[0].reason


def test_the_largest_integers_of_64_bits_are_exact(tmp_path: Path) -> None:
    got = _read(tmp_path, b'{"id": 9223372036854775807}\n{"id": -9223372036854775808}\n')
    assert [record["id"] for record in got.records] == [2**63 - 1, -(2**63)]


def test_a_late_value_of_another_kind_changes_the_type_of_the_whole_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": 1, "n": 5, "s": "a"}\n' * 100 + b'{"id": 2, "n": 5.5, "s": {"k": [1, "x"]}}\n')
    got = read(jsonl(str(path), key="id"), opening(batch_rows=10))
    assert len(got.schemas) == 1
    assert [record["n"] for record in got.records] == [5.0] * 100 + [5.5]
    assert [record["s"] for record in got.records] == ["a"] * 100 + ['{"k":[1,"x"]}']


def test_files_that_disagree_on_a_type_share_one_that_holds_both(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "x", "zip": 12345, "only_a": true}\n')
    (tmp_path / "b.jsonl").write_text('{"zip": "01234", "id": 7}\n')
    got = read(jsonl("{store}/*.jsonl", key="id"), opening(tmp_path))
    assert got.records == [
        {"id": "x", "zip": "12345", "only_a": True},
        {"id": "7", "zip": "01234", "only_a": None},
    ]


def test_an_integer_that_no_double_holds_is_a_problem_in_a_column_of_doubles(tmp_path: Path) -> None:
    got = _read(tmp_path, b'{"id": 1, "n": 0.5}\n{"id": 2, "n": 9007199254740993}\n')
    assert [record["id"] for record in got.records] == [1]
    assert [problem.number for problem in got.problems] == [2]
    assert "'n' is an integer that no double holds" in got.problems[0].reason


def test_nested_values_stay_nested(tmp_path: Path) -> None:
    got = _read(tmp_path, b'{"id": 1, "m": {"a": [1, 2]}}\n{"id": 2, "m": {"b": "x"}}\n{"id": 3, "m": {}}\n')
    assert [record["m"] for record in got.records] == [
        {"a": [1, 2], "b": None},
        {"a": None, "b": "x"},
        {"a": None, "b": None},
    ]


def test_objects_that_are_always_empty_are_text_because_no_file_holds_an_empty_struct(tmp_path: Path) -> None:
    assert _read(tmp_path, b'{"id": 1, "m": {}, "l": []}\n').records == [{"id": 1, "m": "{}", "l": []}]


def test_a_cell_above_the_limit_is_a_problem_of_its_row(tmp_path: Path) -> None:
    got = _read(tmp_path, b'{"id": 1, "x": "%s"}\n{"id": 2, "x": "y"}\n' % (b"y" * 2000), max_cell_bytes=1000)
    assert [record["id"] for record in got.records] == [2]
    assert [problem.reason for problem in got.problems] == [
        "the cell 'x' is larger than 1000 bytes; shorten it"
    ]


def test_one_enormous_line_is_one_problem_and_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as out:
        out.write(b'{"id": 1}\n')
        for _ in range(64):
            out.write(b"y" * (1 << 20))
        out.write(b'\n{"id": 2}\n')
    source = jsonl(str(path), key="id", max_cell_bytes=1 << 20)
    tracemalloc.start()
    got = read(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got.records == [{"id": 1}, {"id": 2}]
    assert [(problem.number, len(problem.excerpt)) for problem in got.problems] == [(2, 500)]
    assert "too long to be one record" in got.problems[0].reason
    assert peak < 24 << 20


def test_a_byte_order_mark_and_gzip_are_no_matter(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"id": 1}\n{"id": 2}\n'
    assert _read(tmp_path, content).records == [{"id": 1}, {"id": 2}]
    assert _read(tmp_path, gzip.compress(content)).records == [{"id": 1}, {"id": 2}]


def test_a_gzip_file_that_breaks_off_is_an_input_error(tmp_path: Path) -> None:
    content = gzip.compress(b'{"id": 1}\n' * 1000)
    with pytest.raises(InputError, match=r"rows\.jsonl cannot be read"):
        _read(tmp_path, content[:-20])


def test_a_file_of_another_kind_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a Parquet file, not text"):
        _read(tmp_path, b"PAR1....")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "utf-8"])
def test_a_stated_encoding_is_used(tmp_path: Path, encoding: str) -> None:
    lines = '{"id": 1, "text": "Où"}\n{"id": 2, "text": "né"}\n'
    assert _read(tmp_path, lines.encode(encoding), encoding=encoding).records == [
        {"id": 1, "text": "Où"},
        {"id": 2, "text": "né"},
    ]


def test_a_line_that_is_not_in_the_stated_encoding_is_a_problem(tmp_path: Path) -> None:
    got = _read(tmp_path, b'{"id": 1, "text": "\xe9"}\n{"id": 2, "text": "\x81"}\n', encoding="cp1252")
    assert got.records == [{"id": 1, "text": "é"}]
    assert [problem.number for problem in got.problems] == [2]
    assert "encoding=" in got.problems[0].reason


def test_an_unknown_encoding_is_refused_at_once() -> None:
    for name in ("utf-99", "base64", ""):
        with pytest.raises(SpecError, match="no text encoding"):
            jsonl("a.jsonl", key="id", encoding=name)


def test_batches_are_bounded_by_rows_and_number_their_first_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(b'{"id": %d}\n' % number for number in range(1, 26)))
    got = read(jsonl(str(path), key="id"), opening(batch_rows=10))
    assert (got.batches, got.firsts, len(got.records)) == (3, [1, 11, 21], 25)
