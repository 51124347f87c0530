"""Plans whose rows several tasks have read: the same as a plan that reads alone, or none of what they read is used."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak import Prompt, csv, jsonl
from offpeak.errors import InputError, SpecError
from offpeak.ledger import NewRun
from offpeak.plan import Reading, make_plan
from offpeak.run import new_run
from offpeak.site import Site
from offpeak.spool import SLICE_CHARACTERS
from offpeak.spool_shares import drop_shares, shares_of, spool_share
from offpeak.workload import Workload
from tests.core.making import given_rows, hourly, planned, read, site, texts, workload, write_rows


@pytest.fixture
def at(tmp_path: Path) -> Site:
    return site(tmp_path)


def several(at: Site, readers: int = 3, **changes: Any) -> Workload:
    """A workload over two files of several row groups: equal texts, a repeated key, a null, an empty text."""
    said = ["a", "b", None, "a", "", "c\u2028", *map(str, range(20)), "b"]
    table = pa.Table.from_pylist(
        [*texts(*said), {"id": "k1", "text": "late"}, {"id": None, "text": "keyless"}]
    )
    for name in ("a", "b"):
        path = write_rows(at, table, f"in/{name}.parquet")
        pq.write_table(table, path, row_group_size=7)
        table = table.set_column(0, "id", pa.array([f"b{row}" for row in range(table.num_rows)]))
    return workload(readers=readers, keep=["text"], **changes)


def asked_by(of: Workload, at: Site, **options: Any) -> NewRun:
    """What a dag run asks for."""
    return new_run(of, at, hourly(), started_by="scheduled__1", **options)


def spool_all(of: Workload, at: Site, new: NewRun) -> int:
    made = [spool_share(of, at, new, hourly(), number) for number in range(of.readers)]
    return sum(rows for rows in made if rows is not None)


def made(of: Workload, at: Site, new: NewRun) -> tuple[list[dict[str, Any]], ...]:
    """rows, plan and the counts of a plan from the shares of `new`."""
    run, _ = at.ledger.open_run(new, now=at.now())
    with shares_of(of, at, new) as shares:
        assert len(shares) == of.readers
        plan = make_plan(of, at, run, hourly(), Reading(shares=shares))
    folder = Path(at.store.root) / plan.folder
    counts = {
        name: getattr(plan, name) for name in ("rows", "asked", "folded", "bad", "key_type", "bad_examples")
    }
    return read(folder / "rows.parquet"), read(folder / "plan.parquet"), [counts]


@pytest.mark.parametrize("readers", [2, 3, 5, 40])
def test_a_plan_from_shares_is_the_plan_of_one_reader(at: Site, readers: int) -> None:
    of = several(at, readers)
    new = asked_by(of, at)
    assert spool_all(of, at, new) == 58
    rows, decided, (counts,) = made(of, at, new)
    alone = planned(several(at, 1), at, hour=9)
    assert rows == alone.rows()
    assert decided == read(alone.file("plan.parquet"))
    assert counts == {name: getattr(alone.plan, name) for name in counts}
    assert [row["_ordinal"] for row in rows] == list(range(58))


def test_a_limited_run_and_one_that_is_planned_have_nothing_to_be_read_for_them(at: Site) -> None:
    of = several(at, 2)
    assert spool_share(of, at, asked_by(of, at, limit=5), hourly(), 0) is None
    new = asked_by(of, at)
    started(of, at, new)
    for path in (Path(at.store.root) / "in").iterdir():
        path.unlink()
    assert spool_share(of, at, new, hourly(), 0) is None
    with pytest.raises(InputError):
        spool_share(of, at, asked_by(several_prompt(), at), hourly(), 0)
    assert at.store.names("runs/*/*shares*/*") == []


def started(of: Workload, at: Site, new: NewRun) -> None:
    """The run of `new`, planned and running."""
    run, _ = at.ledger.open_run(new, now=at.now())
    spool_all(of, at, new)
    with shares_of(of, at, new) as shares:
        plan = make_plan(of, at, run, hourly(), Reading(shares=shares))
    drop_shares(of, at, new)
    at.ledger.start_running(run.run_id, [], {"folder": plan.folder, "rows": plan.rows}, now=at.now())


def several_prompt() -> Workload:
    return workload(readers=2, keep=["text"], prompt=Prompt(user="Another prompt. {{ row.text }}"))


def test_rows_that_cannot_be_read_keep_their_file_and_line(at: Site, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_bytes(b'{"id": %d, "text": "t"}\n{no record\n' % number)
    of = workload(rows=jsonl(str(tmp_path / "*.jsonl"), key="id"), readers=3)
    new = asked_by(of, at)
    spool_all(of, at, new)
    rows, _, (counts,) = made(of, at, new)
    assert [(Path(row["_origin"]).name, row["_number"]) for row in rows if row["_problem"]] == [
        (f"{number}.jsonl", 2) for number in range(3)
    ]
    assert (counts["bad"], counts["key_type"]) == (3, "int64")


def test_shares_without_rows_are_a_plan_without_rows(at: Site) -> None:
    write_rows(at, pa.table({"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())}))
    of = workload(readers=2)
    new = asked_by(of, at)
    assert spool_all(of, at, new) == 0
    rows, decided, (counts,) = made(of, at, new)
    assert (rows, decided, counts["rows"]) == ([], [], 0)


def test_long_system_texts_stay_in_row_groups_of_their_own(at: Site) -> None:
    write_rows(at, texts(*map(str, range(9))))
    system = "x" * (SLICE_CHARACTERS // 4) + "{{ row.text }}"
    of = workload(readers=2, prompt=Prompt(system=system, user=system))
    new = asked_by(of, at)
    spool_all(of, at, new)
    with shares_of(of, at, new) as shares:
        run, _ = at.ledger.open_run(new, now=at.now())
        plan = make_plan(of, at, run, hourly(), Reading(shares=shares))
    assert pq.ParquetFile(Path(at.store.root) / plan.folder / "rows.parquet").num_row_groups == 3


def test_shares_are_used_only_if_all_are_there_and_saw_the_same_files(
    at: Site, caplog: pytest.LogCaptureFixture
) -> None:
    of = several(at, 2)
    new = asked_by(of, at)
    caplog.set_level(logging.WARNING)

    def used() -> int:
        caplog.clear()
        with shares_of(of, at, new) as shares:
            assert bool(shares) != ("the plan reads all rows itself" in caplog.text)
            return len(shares)

    assert used() == 0
    spool_share(of, at, new, hourly(), 0)
    assert used() == 0
    spool_share(of, at, new, hourly(), 1)
    assert used() == 2
    write_rows(at, texts("new"), "in/c.parquet")
    spool_share(of, at, new, hourly(), 1)
    assert used() == 0
    spool_share(of, at, new, hourly(), 0)
    assert used() == 2
    changed = several_prompt()
    with shares_of(changed, at, asked_by(changed, at)) as shares:
        assert shares == []
    (path,) = (path for path in (Path(at.store.root) / "in").iterdir() if path.name == "a.parquet")
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(range(table.num_rows - 1, -1, -1))), path, row_group_size=7)
    spool_share(of, at, new, hourly(), 1)
    assert used() == 0, "the file was written anew, with rows of the same size in another order"
    drop_shares(of, at, new)
    assert used() == 0
    assert at.store.names("runs/**/*.parquet") == []


def test_a_run_from_the_command_line_and_a_replay_look_for_no_shares(
    at: Site, caplog: pytest.LogCaptureFixture
) -> None:
    from dataclasses import replace

    of = several(at, 2)
    by_hand = new_run(of, at, hourly())
    replayed = replace(asked_by(of, at), spec={"replay": {}})
    for new in (by_hand, replayed):
        with shares_of(of, at, new) as shares:
            assert shares == []
    assert not caplog.records


def test_a_source_that_is_read_in_another_way_has_other_shares(at: Site, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,text\n1,h\u00e9".encode())
    (tmp_path / "b.csv").write_bytes("id,text\n2,h\u00e9".encode())
    wrong, right = (
        workload(rows=csv(str(tmp_path / "*.csv"), key="id", encoding=encoding), readers=2)
        for encoding in ("cp1252", "utf-8")
    )
    spool_share(wrong, at, asked_by(wrong, at), hourly(), 0)
    spool_share(right, at, asked_by(right, at), hourly(), 1)
    with shares_of(right, at, asked_by(right, at)) as shares:
        assert shares == []


def test_a_source_that_cannot_be_read_leaves_no_share(at: Site) -> None:
    of = workload(readers=2)
    with pytest.raises(InputError, match=r"in/\*.parquet"):
        spool_share(of, at, asked_by(of, at), hourly(), 1)
    assert at.store.names("runs/**/*") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"readers": 0}, "readers=0: give 1 to 100."),
        ({"readers": 101}, "readers=101: give 1 to 100."),
        ({"readers": "two"}, "readers='two': give 1 to 100."),
        (
            {"readers": 2, "rows": given_rows(pa.table({"id": [1]}))},
            "rows of a test can only be read as a whole",
        ),
    ],
)
def test_readers_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match="1 mistake") as caught:
        workload(**changes)
    assert said in str(caught.value)
