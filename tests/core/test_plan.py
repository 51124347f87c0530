"""Plans over real files: every row counted once, nothing asked twice, bad rows told by file, number and key."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offpeak import Prompt, csv, jsonl
from offpeak.errors import InputError
from offpeak.requests import slow_line
from offpeak.rows.source import RowBatch, RowProblem
from offpeak.run import publish
from offpeak.site import Site
from offpeak.states import RunState
from tests.core.making import (
    NOW,
    Given,
    Planned,
    given_rows,
    narrow,
    planned,
    said,
    site,
    texts,
    workload,
    write_rows,
)


@pytest.fixture
def at(tmp_path: Path) -> Site:
    return site(tmp_path)


def users(plan: Planned) -> list[str]:
    return [line["body"]["input"] for line in plan.requests()]


def adds_up(plan: Planned) -> bool:
    made = plan.plan
    return made.rows == made.asked + made.folded + made.carried + made.bad


def answers(plan: Planned, kind: str = "card") -> list[bytes]:
    return [said(line["custom_id"], json.dumps({"kind": kind, "urgent": False})) for line in plan.requests()]


def finish(plan: Planned) -> None:
    """Collect, assemble and publish the run, without a check."""
    from offpeak.assemble import assemble

    assembled = assemble(plan.workload, plan.site, plan.site.ledger.run(plan.run.run_id))
    facts = {"table_rows": assembled.rows}
    for to, since in ((RunState.CHECKING, RunState.RUNNING), (RunState.PUBLISHING, RunState.CHECKING)):
        plan.site.ledger.move_run(plan.run.run_id, to, since=(since,), now=NOW, facts=facts)
    publish(plan.workload, plan.site, plan.run.run_id)


# -- reading


def test_rows_become_requests_in_their_order_with_nothing_lost(at: Site) -> None:
    write_rows(at, texts("a", "b"), "in/1.parquet")
    write_rows(at, [{"id": "k3", "text": "c"}], "in/2.parquet")
    plan = planned(workload(), at)
    assert users(plan) == ["a", "b", "c"]
    assert plan.decisions() == ["ask"] * 3
    assert [row["_number"] for row in plan.rows()] == [1, 2, 1]
    assert adds_up(plan)
    assert plan.plan.shards[0].request_count == 3


def test_each_line_is_the_obvious_one(at: Site) -> None:
    write_rows(at, texts("a\u2028b", 'c"\n'))
    made = workload()
    plan = planned(made, at)
    (shard,) = plan.plan.shards
    written = (Path(at.store.root) / shard.file).read_bytes()
    expected = b"".join(
        slow_line(
            made.provider, made.ask, f"{shard.tag}-{row['_fingerprint']}", "Sort bank tickets.", row["text"]
        )
        for row in [{**r, "text": r["_user"]} for r in plan.rows()]
    )
    assert written == expected


def test_a_system_text_that_is_empty_for_a_row_is_left_out_of_its_request(at: Site) -> None:
    write_rows(at, [{"id": "1", "text": "a", "who": "Be kind."}, {"id": "2", "text": "b", "who": ""}])
    plan = planned(workload(prompt=Prompt(system="{{ row.who }}", user="{{ row.text }}")), at)
    first, second = plan.requests()
    assert first["body"]["instructions"] == "Be kind."
    assert "instructions" not in second["body"]


def test_csv_and_json_lines_are_read_like_parquet(at: Site) -> None:
    folder = Path(at.store.root) / "in"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("id,text\n1,one\n2,two\n")
    with gzip.open(folder / "b.jsonl.gz", "wt") as out:
        out.write('{"id": 3, "text": "three"}\n\n{"id": 4, "text": "four"}\n')
    assert users(planned(workload(rows=csv("{store}/in/a.csv", key="id")), at)) == ["one", "two"]
    assert users(planned(workload(name="other", rows=jsonl("{store}/in/b.jsonl.gz", key="id")), at)) == [
        "three",
        "four",
    ]


def test_no_rows_are_a_plan_without_shards(at: Site) -> None:
    write_rows(at, pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())}))
    plan = planned(workload(), at)
    assert (plan.plan.rows, plan.plan.asked, plan.plan.shards) == (0, 0, ())


def test_a_source_without_any_batch_is_a_plan_without_shards(at: Site) -> None:
    plan = planned(workload(rows=Given(batches_=()), keep=["text"]), at)
    assert (plan.plan.rows, plan.plan.shards, plan.decisions()) == (0, (), [])
    finish(plan)


@pytest.mark.parametrize("kind", [pa.int32(), pa.uint64(), pa.int64(), pa.string(), pa.large_string()])
def test_a_key_is_an_integer_or_a_text(at: Site, kind: pa.DataType) -> None:
    keys = [7, 8] if pa.types.is_integer(kind) else ["7", "8"]
    write_rows(at, pa.table({"id": pa.array(keys, kind), "text": ["a", "b"]}))
    plan = planned(workload(), at)
    assert [row["id"] for row in plan.rows()] == keys


def test_a_key_of_another_type_is_refused_with_the_cure(at: Site) -> None:
    table = pa.table({"id": [1.5, 2.5], "text": ["a", "b"]})
    with pytest.raises(InputError, match="key column 'id' is of type double"):
        planned(workload(rows=given_rows(table)), at)


def test_nested_kept_columns_stay_as_they_are(at: Site) -> None:
    rows = [
        {"id": "1", "text": "a", "tags": ["x", None], "at": {"city": "B", "zip": 3}, "sum": Decimal("1.50")}
    ]
    write_rows(at, rows)
    plan = planned(workload(keep=["tags", "at", "sum"]), at)
    (row,) = plan.rows()
    assert (row["tags"], row["at"], row["sum"]) == (["x", None], {"city": "B", "zip": 3}, Decimal("1.50"))


def test_a_file_of_other_types_is_refused_by_name(at: Site) -> None:
    first = pa.table({"id": ["1"], "text": ["a"], "n": pa.array([1], pa.int64())})
    second = pa.table({"id": ["2"], "text": ["b"], "n": pa.array([[1]], pa.list_(pa.int64()))})
    with pytest.raises(InputError) as caught:
        planned(workload(rows=given_rows(first, second), keep=["n"]), at)
    assert "part-2 has other column types than the file before it" in str(caught.value)
    assert "Give the files one schema" in str(caught.value)


def test_a_kept_column_that_no_row_has_is_refused_also_when_the_prompt_takes_the_whole_row(at: Site) -> None:
    write_rows(at, texts("a"))
    with pytest.raises(InputError) as caught:
        planned(workload(prompt=Prompt(user="{{ row }}"), keep=["channel"]), at)
    assert "has no column 'channel'" in str(caught.value)
    assert "It has: 'id', 'text'" in str(caught.value)


# -- folding and carrying


def test_equal_requests_are_asked_once(at: Site) -> None:
    write_rows(at, texts("same", "other", "same", "same"))
    plan = planned(workload(), at)
    assert plan.decisions() == ["ask", "ask", "fold", "fold"]
    assert (plan.plan.asked, plan.plan.folded) == (2, 2)
    assert users(plan) == ["same", "other"]


def test_what_the_published_table_answers_is_not_asked_again(at: Site) -> None:
    write_rows(at, texts("a", "b"))
    first = planned(workload(), at)
    first.answer(answers(first))
    finish(first)
    write_rows(at, texts("a", "b", "c"))
    second = planned(workload(), at, hour=9)
    assert second.decisions() == ["carry", "carry", "ask"]
    assert users(second) == ["c"]
    assert adds_up(second)


def test_what_a_failed_run_paid_for_is_not_asked_again(at: Site) -> None:
    write_rows(at, texts("a", "b"))
    first = planned(workload(rounds=1), at)
    first.answer(answers(first)[:1])
    at.ledger.move_run(first.run.run_id, RunState.FAILED, since=(RunState.RUNNING,), now=NOW, error="x")
    second = planned(workload(), at, hour=9)
    assert second.decisions() == ["carry", "ask"]


def test_results_of_another_answer_model_are_no_hindrance(at: Site) -> None:
    from pydantic import create_model

    write_rows(at, texts("a"))
    other = create_model("Kind", kind=(list[int], ...), urgent=(str, ...))
    first = planned(workload(answer=other), at)
    first.answer([said(line["custom_id"], '{"kind": [3], "urgent": "x"}') for line in first.requests()])
    at.ledger.move_run(first.run.run_id, RunState.FAILED, since=(RunState.RUNNING,), now=NOW, error="x")
    second = planned(workload(), at, hour=9)
    assert second.decisions() == ["ask"]
    second.answer(answers(second))
    finish(second)


def test_again_asks_even_what_was_answered_and_can_be_assembled(at: Site) -> None:
    write_rows(at, texts("a", "b"))
    first = planned(workload(), at)
    first.answer(answers(first))
    finish(first)
    second = planned(workload(), at, hour=9, again=True)
    assert second.decisions() == ["ask", "ask"]
    second.answer(answers(second, "refund"))
    finish(second)


# -- bad rows


def test_bad_rows_within_the_limit_are_planned_around_and_told(at: Site) -> None:
    write_rows(at, [*texts("a", None, "c"), {"id": "k1", "text": "again"}])
    plan = planned(workload(max_failed=0.5), at)
    assert plan.decisions() == ["ask", "bad", "ask", "duplicate"]
    assert (plan.plan.asked, plan.plan.bad) == (2, 2)
    assert adds_up(plan)
    null, duplicate = plan.plan.bad_examples
    path = Path(at.store.root) / "in/a.parquet"
    assert null.startswith(f"{path}, row 2, key k2: the prompt needs text, which is null in this row")
    assert (
        duplicate == f"{path}, row 4, key k1: the key was already used by an earlier row; keys must be unique"
    )


def test_too_many_bad_rows_stop_the_plan_before_anything_is_written(at: Site) -> None:
    write_rows(at, texts("a", None, "", " \n"))
    with pytest.raises(InputError) as caught:
        planned(workload(max_failed=0.5), at)
    message = str(caught.value)
    assert "Workload sorting: 3 of 4 rows cannot be asked, more than its max_failed=0.5 allows" in message
    assert "Nothing was sent." in message
    assert "row 2, key k2: the prompt needs text" in message
    assert "row 3, key k3: the prompt is empty for this row" in message
    assert "raise max_failed" in message
    assert at.store.names("runs/**/*") == []


def test_a_repeated_key_is_told_by_its_line_and_file(at: Site) -> None:
    folder = Path(at.store.root) / "in"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text(
        '{"id": "x", "text": "a"}\n{"id": broken\n{"id": "y", "text": "b"}\n{"id": "x", "text": "c"}\n'
    )
    with pytest.raises(InputError) as caught:
        planned(workload(rows=jsonl("{store}/in/a.jsonl", key="id"), max_failed=0), at)
    assert f"{folder}/a.jsonl, line 2: " in str(caught.value)
    assert f"{folder}/a.jsonl, line 4, key x: the key was already used" in str(caught.value)


def test_an_unreadable_record_keeps_its_number_and_its_excerpt(at: Site) -> None:
    records = pa.RecordBatch.from_pylist([{"id": "1", "text": "a"}, {"id": "3", "text": None}])
    problem = RowProblem(origin="f", number=2, reason="the record is broken", excerpt='{"id": "\x00')
    source = Given(batches_=(RowBatch(records, "f", 1, (problem,)),))
    plan = planned(workload(rows=source), at)
    assert plan.decisions() == ["ask", "bad", "bad"]
    assert plan.plan.bad_examples[0].startswith("f, row 3, key 3: the prompt needs text")
    assert plan.plan.bad_examples[1] == 'f, row 2: the record is broken ("{\\"id\\": \\"\\u0000")'


def test_a_null_key_is_a_bad_row(at: Site) -> None:
    source = given_rows(pa.table({"id": ["1", None, None], "text": ["a", "b", "c"]}))
    plan = planned(workload(rows=source), at)
    assert plan.decisions() == ["ask", "bad", "bad"]
    assert "the key column id is null" in plan.plan.bad_examples[0]


def test_a_request_larger_than_a_batch_is_a_bad_row_and_the_others_go_on(at: Site) -> None:
    write_rows(at, texts("a", "x" * 4_000, "b", "\x01" * 700))
    plan = planned(narrow(workload(), size_bytes=3_000), at)
    assert plan.decisions() == ["ask", "bad", "ask", "bad"]
    assert (
        "the provider takes 2,936 in a whole batch; shorten the row or the prompt"
        in plan.plan.bad_examples[0]
    )
    for shard in plan.plan.shards:
        assert shard.size_bytes <= 2_936


def test_shards_keep_to_the_providers_count_and_bytes(at: Site) -> None:
    write_rows(at, texts(*(f"text number {number}" for number in range(50))))
    by_count = planned(narrow(workload(), requests=20), at)
    assert [shard.request_count for shard in by_count.plan.shards] == [20, 20, 10]
    by_bytes = planned(narrow(workload(name="other"), size_bytes=6_000), at)
    assert all(shard.size_bytes <= 6_000 - 64 for shard in by_bytes.plan.shards)
    assert sum(shard.request_count for shard in by_bytes.plan.shards) == 50
    assert users(by_count) == users(by_bytes)


# -- the limit


@pytest.mark.parametrize(("limit", "rows"), [(1, 1), (3, 3), (4, 4), (99, 6)])
def test_a_limit_reads_so_many_rows_unreadable_ones_counted(at: Site, limit: int, rows: int) -> None:
    def batch(first: int) -> RowBatch:
        records = pa.RecordBatch.from_pylist(
            [{"id": f"{first}", "text": f"t{first}"}, {"id": f"{first + 2}", "text": f"t{first + 2}"}]
        )
        return RowBatch(records, "f", first, (RowProblem(origin="f", number=first + 1, reason="broken"),))

    source = Given(batches_=(batch(1), batch(4)))
    plan = planned(workload(rows=source), at, limit=limit)
    assert plan.plan.rows == rows
    assert adds_up(plan)
    assert sorted(row["_number"] for row in plan.rows()) == list(range(1, rows + 1))


# -- what is kept small


def test_a_long_system_text_is_written_down_once_per_slice(at: Site) -> None:
    write_rows(at, texts(*(f"t{number}" for number in range(400))))
    plan = planned(workload(prompt=Prompt(system="s" * 100_000, user="{{ row.text }}")), at)
    assert plan.file("rows.parquet").stat().st_size < 500_000
    assert all(line["body"]["instructions"] == "s" * 100_000 for line in plan.requests()[:3])


def test_rows_under_a_long_prompt_are_rendered_in_slices(at: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offpeak.spool.SLICE_CHARACTERS", 100)
    records = pa.RecordBatch.from_pylist([{"id": str(n), "text": f"t{n}"} for n in (1, 2, 4, 5, 7)])
    problems = tuple(RowProblem(origin="f", number=n, reason="broken") for n in (3, 6))
    source = Given(batches_=(RowBatch(records, "f", 1, problems),))
    plan = planned(workload(rows=source, prompt=Prompt(user="x" * 35 + "{{ row.text }}")), at)
    assert pq.ParquetFile(plan.file("rows.parquet")).num_row_groups == 3
    assert {row["id"]: row["_number"] for row in plan.rows() if row["id"]} == {
        str(n): n for n in (1, 2, 4, 5, 7)
    }
    assert [text[35:] for text in users(plan)] == ["t1", "t2", "t4", "t5", "t7"]
    assert adds_up(plan)


def test_two_planners_of_one_run_write_into_folders_of_their_own(at: Site) -> None:
    from offpeak.plan import make_plan
    from offpeak.run import new_run
    from tests.core.making import hourly

    write_rows(at, texts("a"))
    made = workload()
    run, _ = at.ledger.open_run(new_run(made, at, hourly()), now=NOW)
    one, other = (make_plan(made, at, run, hourly()) for _ in range(2))
    assert one.folder != other.folder
    assert one.folder.startswith("runs/sorting/2026-11-22T080000Z~1/plan-")


def test_a_failing_source_leaves_no_shard_and_no_part(at: Site) -> None:
    def batches() -> Any:
        yield RowBatch(pa.RecordBatch.from_pylist(texts("a")), "f", 1)
        raise InputError("the second file is gone")

    class Breaks:
        key = "id"

        def describe(self) -> str:
            return "breaks"

        def batches(self, opening: object) -> Any:
            return batches()

    with pytest.raises(InputError, match="the second file is gone"):
        planned(workload(rows=Breaks()), at)
    assert [path for path in Path(at.store.root).rglob("runs/**/*") if path.is_file()] == []
