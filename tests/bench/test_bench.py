"""The bench itself: its contenders do the same work, and what they took becomes a table. No times are judged."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.contenders import ONCE, PARTS, Contender, contenders
from tests.bench.goals import reached
from tests.bench.measuring import Disagreement, Inputs, Measured, compare, measure
from tests.bench.record import Line, Record, record_of, records, remember
from tests.bench.scratch import prepare, rows_of_part
from tests.bench.table import BEGIN, END, PAGE, lines_of, rendered, write_page
from tests.bench.tickets import write_rows

ROWS = 600
"""Enough for all kinds of result lines and for equal rows."""
BUILD_AND_COLLECT = ("build", "chat", "anthropic", "floats", "base64")


def installed(part: str) -> list[Contender]:
    """The contenders of a part that can run here."""
    there = importlib.util.find_spec("airflow.providers.common.ai") is not None
    return [one for one in PARTS[part] if there or "common_ai" not in one.module]


SLOW = ("anthropic", "floats", "base64")


@pytest.fixture(
    scope="module",
    params=[pytest.param(part, marks=pytest.mark.slow if part in SLOW else ()) for part in BUILD_AND_COLLECT],
)
def done(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[Measured]]:
    part = str(request.param)
    rows = rows_of_part(part, ROWS)
    inputs = replace(prepare(part, rows, tmp_path_factory.mktemp(part)), warm=None)
    return part, measure(installed(part), inputs, repeat=1, check=True, tell=lambda _: None)


def test_the_contenders_of_a_part_make_the_same_of_the_same_input(done: tuple[str, list[Measured]]) -> None:
    part, measured = done
    outcomes = {one.contender.name: (one.times[0].count, one.times[0].digest) for one in measured}
    compared = {outcome for outcome in outcomes.values() if outcome[1]}
    assert len(compared) == 1, outcomes
    assert len([one for one in outcomes.values() if one[1]]) >= 2, "nobody to compare with"
    ((count, _),) = compared
    rows = rows_of_part(part, ROWS)
    assert count is not None
    # equal rows are one request; one line in a hundred is no answer
    assert 0.9 * rows <= count <= rows


def test_what_was_measured_becomes_a_table_with_a_row_for_each_contender(
    done: tuple[str, list[Measured]],
) -> None:
    part, measured = done
    record = record_of(part, ROWS, rows_of_part(part, ROWS), measured)
    said, _, head, rule, *rows = lines_of(record)
    assert said.startswith(f"{rows_of_part(part, ROWS):,} rows, measured once, ")
    assert head.startswith("| contender | rows/s | s | CPU s | peak MB |")
    assert rule.startswith("| --- | ---: |")
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [
        one.contender.name for one in measured
    ]
    assert rows[0].endswith("| 1.00 | 1.00 |"), "everything is compared with ours"
    assert all(time.peak_bytes > 10_000_000 for one in measured for time in one.times)


def test_the_rows_are_the_same_for_the_same_seed_and_some_are_alike(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for name in ("a", "b"):
        write_rows(tmp_path / name, 2_000)
    rows = pq.read_table(tmp_path / "a")
    assert rows.equals(pq.read_table(tmp_path / "b"))
    texts = rows["text"].to_pylist()
    assert 250 <= sum(map(len, texts)) / len(texts) <= 400
    assert 0.95 * len(texts) < len(set(texts)) < len(texts)


def test_contenders_that_do_not_agree_are_told_apart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_rows(data / "rows.parquet", 20)
    other = tmp_path / "other"
    write_rows(other / "rows.parquet", 20, seed=8)
    one = Contender(name="one", module="build_pandas")
    inputs = Inputs(data=data, warm=None, scratch=tmp_path)
    first = measure([one], inputs, repeat=1, check=True, tell=lambda _: None)[0].times[0]
    second = measure([one], replace(inputs, data=other), repeat=1, check=True, tell=lambda _: None)[0].times[
        0
    ]
    assert first.count == second.count == 20
    assert first.digest != second.digest
    with pytest.raises(Disagreement, match=r"do not agree .* here: 20 \(\w{16}\); there: 20 \(\w{16}\)"):
        compare({"here": first, "there": second})


def test_a_contender_that_fails_is_named_with_what_it_said(tmp_path: Path) -> None:
    inputs = Inputs(data=tmp_path / "nothing", warm=None, scratch=tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)pandas failed:.*rows\.parquet"):
        measure(
            [Contender(name="pandas", module="build_pandas")],
            inputs,
            repeat=1,
            check=True,
            tell=lambda _: None,
        )


def made_up(part: str = "build", size: int = 100_000, seconds: float = 2.0) -> Record:
    names = [one.name for one in PARTS[part]]
    lines = [
        Line(
            contender=name,
            wall_seconds=seconds * number,
            cpu_seconds=1.0 * number,
            peak_mb=100.0,
            imports_mb=80.0,
            written_mb=200.0,
            extra={},
        )
        for number, name in enumerate(names, 1)
    ]
    return Record(
        part=part,
        size=size,
        rows=size,
        repeat=3,
        machine="2 cores, 8 GB",
        versions="Python 3.11",
        date="2026-11-22",
        lines=tuple(lines),
    )


def test_a_record_takes_the_place_of_the_last_one_of_its_part_and_size(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    assert records(file) == []
    first, larger, again = made_up(), made_up(size=1_000_000), made_up(seconds=1.0)
    remember([first, larger], file)
    remember([again], file)
    assert records(file) == [again, larger]


def test_only_what_stands_between_the_markers_is_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", encoding="utf-8")
    write_page(page, [made_up()])
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Before\n\n{BEGIN}\n### Goals\n")
    assert "\n\n### Build: rows to request files\n\n100,000 rows, median of 3, 2026-11-22\n" in text
    assert "| build, 100,000 rows | ≥ 25 × common-ai | 2.00 × (CPU 2.00 ×) | no |" in text
    assert "| build, 100,000 rows | ≥ 0.2 × plain write | 5.00 × (CPU 5.00 ×) | yes |" in text
    assert text.endswith(f"{END}\n\nAfter.\n")
    assert "old" not in text
    assert "| common-ai | 25,000 | 4.00 | 2.00 | 100 | 80 | 200 | 2.00 | 2.00 |" in text
    assert "Measured on: 2 cores, 8 GB; Python 3.11." in text


def test_the_page_shows_what_was_last_measured() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == rendered(records()).strip()


def test_memory_that_grows_with_the_rows_misses_its_goal() -> None:
    small, large = made_up(), made_up(size=1_000_000)
    grown = replace(large, lines=(replace(large.lines[0], peak_mb=120.0), *large.lines[1:]))
    told = {one.what: one for one in reached([small, grown]) if "MB" in one.goal}
    assert told["build, 100,000 rows"].met
    assert not told["build, 1,000,000 rows"].met
    assert told["build, 1,000,000 rows"].reached == "120 MB, 1.20 × that of 100,000"


def test_a_second_night_that_asks_more_than_what_changed_misses_its_goal() -> None:
    nights = {
        "first_cpu_seconds": 30.0,
        "second_cpu_seconds": 5.0,
        "second_requests": 31_000.0,
        "changed_rows": 30_000.0,
    }
    one = made_up("whole", size=1_000_000)
    record = replace(one, lines=(replace(one.lines[0], extra=nights),))
    first, second = reached([record])
    assert first == ("whole, 1,000,000 rows", "≤ 40 s of own CPU", "30.0 s", True)
    assert not second.met
    assert second.reached == "0.17; 31,000 requests for 30,000 changed rows"


def every_contender() -> Iterator[Contender]:
    return (one for part in PARTS.values() for one in part)


@pytest.mark.parametrize("module", sorted({one.module for one in every_contender()}))
def test_every_contender_is_a_file_with_the_three_functions(module: str) -> None:
    path = Path(__file__).with_name("contenders") / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert [name for name in ("prepare", "run", "outcome") if f"def {name}(" not in text] == []


def test_what_holds_all_rows_in_memory_is_left_out_of_the_largest_runs() -> None:
    assert contenders("build", 1_000_000) == list(PARTS["build"])
    names = [one.name for one in contenders("build", 10_000_000)]
    assert names == ["offpeak", "DuckDB's JSON writer", "plain write"]
    assert contenders("whole", 10_000_000) == []


def test_parts_without_rows_are_measured_once() -> None:
    assert set(ONCE) <= set(PARTS)
    assert [rows_of_part(part, 10_000_000) for part in (*ONCE, "build", "floats")] == [
        *(1_000, 1, 1),
        *(10_000_000, 100_000),
    ]
