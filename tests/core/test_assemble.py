"""Assembling: rows in are outcomes out, in every mixture, and the money adds up."""

from __future__ import annotations

import json
import struct
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from offpeak import Prompt, Vector
from offpeak.assemble import Assembled, assemble
from offpeak.blocks import lines_of
from offpeak.distribution import distribution
from offpeak.errors import ReconcileError
from offpeak.ledger import Run
from offpeak.site import Site
from offpeak.states import RunState
from tests.core.making import (
    NOW,
    Planned,
    embedded,
    errored,
    planned,
    read,
    refused,
    said,
    site,
    texts,
    truncated,
    workload,
    write_rows,
)


@pytest.fixture
def at(tmp_path: Path) -> Site:
    return site(tmp_path)


def ids(plan: Planned) -> dict[str, str]:
    """The custom_id of each open request, by its user text without a note."""
    found = {}
    for shard in plan.shards():
        for raw in lines_of(Path(plan.site.store.root) / shard.file):
            line = orjson.loads(raw)
            found[line["body"]["input"].split("\n\n")[0]] = line["custom_id"]
    return found


def good(custom_id: str, kind: str = "card", tokens: tuple[int, int] = (100, 10)) -> bytes:
    return said(custom_id, json.dumps({"kind": kind, "urgent": False}), tokens=tokens)


def assembled(plan: Planned) -> tuple[Assembled, list[dict[str, Any]], list[dict[str, Any]]]:
    made = assemble(plan.workload, plan.site, plan.site.ledger.run(plan.run.run_id))
    return made, read(plan.file("staged.parquet")), read(plan.file("dead_letters.parquet"))


def spent(plan: Planned) -> Decimal:
    amounts = [spend.cost_usd for spend in plan.site.ledger.spent(run_id=plan.run.run_id)]
    assert None not in amounts
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def paid(rows: list[dict[str, Any]]) -> Decimal:
    return sum((row["_cost_usd"] for row in rows), Decimal(0))


def fail(plan: Planned) -> None:
    plan.site.ledger.move_run(plan.run.run_id, RunState.FAILED, since=(RunState.RUNNING,), now=NOW, error="x")


def test_every_kind_of_row_ends_in_one_outcome_and_bears_its_own_cost(at: Site) -> None:
    write_rows(at, texts("paid before"))
    before = planned(workload(), at)
    before.answer([good(ids(before)["paid before"])])
    fail(before)

    rows = texts("answered", None, "refused", "answered", "again", "lost", "paid before")
    write_rows(at, [*rows, {"id": "k1", "text": "a repeated key"}])
    plan = planned(workload(rounds=2), at, hour=9)
    assert plan.decisions() == ["ask", "bad", "ask", "fold", "ask", "ask", "carry", "duplicate"]
    first = ids(plan)
    tally = plan.answer(
        [good(first["answered"]), refused(first["refused"]), said(first["again"], "no", tokens=(100, 10))]
    )
    assert tally.outcomes == {"answered": 1, "refused": 1, "invalid": 1, "missing": 1}
    second = ids(plan)
    assert set(second) == {"again", "lost"}
    plan.answer([good(second["again"], "refund", tokens=(130, 20))])

    made, staged, letters = assembled(plan)
    assert made.rows == 7
    assert made.outcomes == {"answered": 4, "errored": 1, "refused": 1, "missing": 1, "duplicate": 1}
    assert made.dead_letters == 4
    by_key = {row["id"]: row for row in staged}
    assert [row["id"] for row in staged] == ["k1", "k2", "k3", "k4", "k5", "k6", "k7"]
    assert (by_key["k1"]["kind"], by_key["k4"]["kind"]) == ("card", "card")
    assert (by_key["k5"]["kind"], by_key["k5"]["_input_tokens"]) == ("refund", 230)
    assert by_key["k7"]["_run"] == before.run.run_id
    assert {row["_run"] for row in staged} == {before.run.run_id, plan.run.run_id}
    assert by_key["k1"]["_cost_usd"] > 0
    assert [by_key[key]["_cost_usd"] for key in ("k2", "k4", "k7")] == [0, 0, 0]
    assert by_key["k5"]["_cost_usd"] > by_key["k1"]["_cost_usd"], "both rounds are paid"
    assert paid(staged) == spent(plan)

    assert [(letter["key"], letter["outcome"], letter["rounds"]) for letter in letters] == [
        ("k2", "errored", None),
        ("k3", "refused", 1),
        ("k6", "missing", 2),
        ("k1", "duplicate", None),
    ]
    assert "the prompt needs text" in letters[0]["reason"]
    assert letters[1]["raw"] == "I cannot help with that."
    assert letters[1]["user"] == "refused"
    assert letters[1]["system"] == "Sort bank tickets."
    assert "ended completed without a result" in letters[2]["reason"]
    assert "the key was already used by an earlier row of this run" in letters[3]["reason"]
    assert letters[3]["number"] == 8


KINDS = ("answered", "invalid", "refused", "truncated", "errored", "missing")


def line(kind: str, custom_id: str) -> list[bytes]:
    made = {
        "answered": good(custom_id),
        "invalid": said(custom_id, "{}"),
        "refused": refused(custom_id),
        "truncated": truncated(custom_id),
        "errored": errored(custom_id),
    }
    return [made[kind]] if kind in made else []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.sampled_from(["a", "b", "c", "d", "", None]), max_size=12),
    keys=st.lists(st.integers(1, 9), min_size=12, max_size=12),
    fates=st.lists(st.sampled_from(KINDS), min_size=12, max_size=12),
    rounds=st.integers(1, 3),
)
def test_rows_are_outcomes_in_every_mixture(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[str | None],
    keys: list[int],
    fates: list[str],
    rounds: int,
) -> None:
    at = site(tmp_path_factory.mktemp("mixture"))
    table = pa.table({"id": pa.array(keys[: len(rows)], pa.int64()), "text": pa.array(rows, pa.string())})
    write_rows(at, table)
    plan = planned(workload(rounds=rounds, shard_requests=2), at)
    fate = iter(fates * 9)
    while open_shards := plan.shards():
        number = open_shards[0].key.number
        mine = [orjson.loads(raw)["custom_id"] for raw in lines_of(Path(at.store.root) / open_shards[0].file)]
        plan.answer([part for custom_id in mine for part in line(next(fate), custom_id)])
        assert number
    made, staged, letters = assembled(plan)
    assert sum(made.outcomes.values()) == len(rows)
    assert len(staged) == made.rows == len(set(keys[: len(rows)]))
    assert Counter(row["_outcome"] for row in staged) + Counter(
        {"duplicate": len(rows) - made.rows}
    ) == Counter(made.outcomes)
    assert len(letters) == made.dead_letters == len(rows) - made.outcomes.get("answered", 0)
    assert paid(staged) == spent(plan)
    for row in staged:
        assert (row["kind"] is not None) == (row["_outcome"] == "answered")


def test_a_result_file_that_lacks_a_request_stops_the_run(at: Site) -> None:
    write_rows(at, texts("a", "b", "c"))
    plan = planned(workload(rounds=1), at)
    plan.answer([good(custom_id) for custom_id in ids(plan).values()])
    (name,) = at.store.names(f"{plan.plan.folder}/results/*.parquet")
    path = Path(at.store.root) / name
    pq.write_table(pq.ParquetFile(path).read().slice(0, 2), path)
    with pytest.raises(ReconcileError) as caught:
        assembled(plan)
    message = str(caught.value)
    assert "3 rows went in, but 2 have an outcome" in message
    assert "Nothing was published" in message
    assert plan.plan.folder in message
    assert not plan.file("staged.parquet").exists()


def test_an_answer_carried_twice_stops_the_run(at: Site) -> None:
    write_rows(at, texts("a"))
    first = planned(workload(), at)
    first.answer([good(custom_id) for custom_id in ids(first).values()])
    fail(first)
    second = planned(workload(), at, hour=9)
    assert second.decisions() == ["carry"]
    carried = pq.ParquetFile(second.file("carried.parquet")).read()
    pq.write_table(pa.concat_tables([carried, carried]), second.file("carried.parquet"))
    with pytest.raises(ReconcileError, match="1 rows went in, and 1 results too many were found"):
        assembled(second)


def test_a_run_of_which_nothing_came_back_is_assembled_all_the_same(at: Site) -> None:
    write_rows(at, texts(None, None))
    made, staged, letters = assembled(planned(workload(), at))
    assert made.outcomes == {"errored": 2}
    assert [row["kind"] for row in staged] == [None, None]
    assert len(letters) == 2


HOSTILE = [
    "'; DROP TABLE rows; --",
    '"quoted" \\ {{ row.id }} ${x} %s',
    "<script>alert(1)</script>",
    "\x00nul\x00",
    "a\u2028b\u2029c\r\nd",
    "ＡＢ 🏦 ﷽ \u202e",
    "=cmd|' /C calc'!A0",
]


def test_hostile_texts_stay_exactly_as_they_are(at: Site) -> None:
    class Said(BaseModel):
        said: str

    write_rows(at, [{"id": f"{n} {text}", "text": f"{n} {text}"} for n, text in enumerate(HOSTILE)])
    plan = planned(workload(answer=Said, keep=["text"]), at)
    back = {user: json.dumps({"said": f"echo {user}"}) for user in ids(plan)}
    plan.answer([said(made, back[user]) for user, made in list(ids(plan).items())[:-1]] + [refused("x")])
    _, staged, letters = assembled(plan)
    for n, row in enumerate(staged[:-1]):
        assert row["id"] == row["text"] == f"{n} {HOSTILE[n]}"
        assert row["said"] == f"echo {row['text']}"
    assert letters[0]["key"] == f"6 {HOSTILE[6]}"
    assert letters[0]["user"] == f"6 {HOSTILE[6]}"


def test_kept_columns_may_be_called_like_anything_and_hold_anything(at: Site) -> None:
    row = {
        "_id": 7,
        "text": "a",
        "outcome": "won",
        "reason": "because",
        "code": 3,
        "raw": b"\x00\xff",
        "rounds": [1, None],
        "decision": {"kind": "x", "n": None},
        "key": Decimal("1.50"),
        "select": NOW,
        'quo"ted': NOW.date(),
    }
    write_rows(at, [row])
    from offpeak import parquet

    keep = [name for name in row if name not in ("_id", "text", "raw")]
    plan = planned(workload(rows=parquet("{store}/in/*.parquet", key="_id"), keep=keep), at)
    plan.answer([refused(custom_id) for custom_id in ids(plan).values()])
    made, (staged,), (letter,) = assembled(plan)
    assert made.outcomes == {"refused": 1}
    for name in keep:
        assert staged[name] == row[name], name
    assert staged["_id"] == 7
    assert (letter["key"], letter["outcome"], letter["rounds"]) == ("7", "refused", 1)


def test_vectors_stay_float32_and_a_row_without_one_is_null(at: Site) -> None:
    write_rows(at, texts("a", "b", "a"))
    made = workload(
        model="openai:text-embedding-3-small",
        answer=Vector(3),
        prompt=Prompt(user="{{ row.text }}"),
        rounds=1,
    )
    plan = planned(made, at)
    packed = struct.pack("<3f", 0.1, -2.5, 3.4e38)
    plan.answer([embedded(ids(plan)["a"], packed)])
    _, staged, _ = assembled(plan)
    table = pq.ParquetFile(plan.file("staged.parquet")).read()
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 3)
    exact = list(struct.unpack("<3f", packed))
    assert [row["vector"] for row in staged] == [exact, None, exact]
    second = planned(made, at, hour=9)
    assert second.decisions() == ["ask", "ask", "fold"]


EARLIER, THIS = "an earlier release", "this release"


def as_lists(path: Path) -> None:
    """The results file as earlier releases wrote it: a vector is a list."""
    table = pq.ParquetFile(path).read()
    vectors = [one and struct.unpack("<3f", one) for one in table["vector"].to_pylist()]
    at = table.schema.get_field_index("vector")
    pq.write_table(table.set_column(at, "vector", pa.array(vectors, pa.list_(pa.float32(), 3))), path)


@pytest.mark.parametrize("first", [EARLIER, THIS])
@pytest.mark.parametrize("second", [EARLIER, THIS])
@pytest.mark.parametrize("third", [EARLIER, THIS])
def test_vectors_are_carried_from_unpublished_runs_and_assembled_whichever_release_wrote_them(
    at: Site, first: str, second: str, third: str
) -> None:
    of = workload(
        model="openai:text-embedding-3-small",
        answer=Vector(3),
        prompt=Prompt(user="{{ row.text }}"),
        rounds=2,
    )
    vectors = {text: struct.pack("<3f", 0.1, -ord(text), 3.4e38) for text in "abcd"}
    write_rows(at, texts(*"ab"))
    for hour, text, release in ((8, "a", first), (9, "b", second)):
        plan = planned(of, at, hour=hour)
        assert plan.decisions() == (["ask", "ask"] if text == "a" else ["carry", "ask"])
        plan.answer([embedded(ids(plan)[text], vectors[text])])
        (results,) = plan.file("results").iterdir()
        if release == EARLIER:
            as_lists(results)
        fail(plan)

    write_rows(at, texts(*"abcd"))
    plan = planned(of, at, hour=10)
    assert plan.decisions() == ["carry", "carry", "ask", "ask"]
    assert pq.read_schema(plan.file("carried.parquet")).field("vector").type == pa.list_(pa.float32())
    plan.answer([embedded(ids(plan)["c"], vectors["c"]), errored(ids(plan)["d"])])
    if third == EARLIER:
        (results,) = plan.file("results").iterdir()
        as_lists(results)
    plan.answer([embedded(ids(plan)["d"], vectors["d"])])
    made, staged, _ = assembled(plan)
    assert made.outcomes == {"answered": 4}
    assert [struct.pack("<3f", *row["vector"]) for row in staged] == list(vectors.values())


def test_vectors_of_another_length_are_not_carried(at: Site) -> None:
    write_rows(at, texts("a"))
    short, long = (
        workload(
            model="openai:text-embedding-3-small", answer=Vector(count), prompt=Prompt(user="{{ row.text }}")
        )
        for count in (3, 4)
    )
    plan = planned(short, at)
    plan.answer([embedded(ids(plan)["a"], bytes(12))])
    fail(plan)
    assert planned(long, at, hour=9).decisions() == ["ask"]


def test_the_staged_file_has_the_tables_columns_in_order(at: Site) -> None:
    write_rows(at, texts("a"))
    made = workload(keep=["text"])
    plan = planned(made, at)
    plan.answer([good(custom_id) for custom_id in ids(plan).values()])
    assembled(plan)
    assert pq.read_schema(plan.file("staged.parquet")).names == made.table_columns()


# -- how answers are distributed


def test_distributions_are_by_the_kind_of_column(at: Site) -> None:
    from typing import Literal

    class Measured(BaseModel):
        n: Literal["x", "y"]
        x: float
        sure: bool
        words: str
        tags: list[str]

    write_rows(at, texts("a", "b", "c"))
    plan = planned(workload(answer=Measured, rounds=1), at)
    answers = [
        {"n": "x", "x": 1.0, "sure": True, "words": "one", "tags": []},
        {"n": "x", "x": 3.0, "sure": False, "words": "three", "tags": ["t"]},
    ]
    made = list(ids(plan).values())
    plan.answer([said(i, json.dumps(a)) for i, a in zip(made, answers, strict=False)] + [refused(made[2])])
    assembled(plan)
    found = distribution(plan.workload, plan.file("staged.parquet"))
    assert found["n"] == {"counts": {"x": 2}}
    assert found["sure"] == {"counts": {"false": 1, "true": 1}}
    assert (found["x"]["quantiles"]["min"], found["x"]["quantiles"]["max"]) == (1.0, 3.0)
    assert (found["words"]["lengths"]["min"], found["words"]["lengths"]["max"]) == (3.0, 5.0)
    assert "tags" not in found
    assert isinstance(plan.run, Run)
