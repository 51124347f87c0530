"""What a run is a run of, what it will cost, what it is judged by, and where it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, Field

from offpeak import Prompt, Vector, gxe, parquet_table
from offpeak.assemble import Assembled
from offpeak.estimate import estimate
from offpeak.files_sql import files_sql, literal, quoted
from offpeak.prices import Price, Rates
from offpeak.progress import progress, summary
from offpeak.site import Site
from offpeak.spec import hash_of, spec_of
from offpeak.suite import suite_of
from tests.core.making import NOW, planned, refused, said, site, texts, workload, write_rows


@pytest.fixture
def at(tmp_path: Path) -> Site:
    return site(tmp_path)


def spec_hash(limit: int | None = None, again: bool = False, **changes: Any) -> str:
    return hash_of(spec_of(workload(**changes), limit=limit, again=again))


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": Prompt(system="Other.", user="{{ row.text }}")},
        {"prompt": Prompt(system="Sort bank tickets.", user="{{ row.text }}!")},
        {"model": "openai:gpt-5"},
        {"params": {"reasoning": {"effort": "low"}}},
        {"answer": str},
        {"keep": ["text"]},
        {"limit": 5},
        {"again": True},
    ],
    ids=str,
)
def test_a_change_of_what_is_asked_is_another_run(change: dict[str, Any]) -> None:
    assert spec_hash(**change) != spec_hash()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"max_output_tokens": 9},
        {"checks": [gxe.ExpectColumnValuesToNotBeNull(column="kind")]},
        {"into": parquet_table("{store}/other")},
        {"budget_usd": Decimal(1)},
        {"due": timedelta(minutes=9)},
    ],
    ids=str,
)
def test_checks_table_budget_and_due_may_change_within_a_run(change: dict[str, Any]) -> None:
    assert spec_hash(**change) == spec_hash()


def test_the_spec_is_json() -> None:
    spec = spec_of(workload(keep=["text"], params={"a": 1}), limit=3, again=False)
    assert orjson.loads(orjson.dumps(spec)) == spec


# -- the estimate


PRICE = Price(
    realtime=Rates(input=Decimal(2), output=Decimal(10)), batch=Rates(input=Decimal(1), output=Decimal(5))
)


def test_without_history_the_estimate_rests_on_the_bytes(at: Site) -> None:
    write_rows(at, texts("a" * 400, "b" * 400))
    plan = planned(workload(price=PRICE), at)
    made = estimate(plan.workload, at.ledger, plan.plan)
    size = sum(shard.size_bytes for shard in plan.plan.shards)
    assert made.input_tokens == pytest.approx(size / 4, abs=2)
    assert made.output_tokens == 2 * (6 + 2 * 12)
    assert made.batch_usd is not None
    assert made.realtime_usd == 2 * made.batch_usd
    assert made.batch_usd == pytest.approx(
        Decimal(made.input_tokens + 5 * made.output_tokens) / 1_000_000, rel=Decimal("0.01")
    )
    assert "four bytes a token" in made.basis


def test_with_history_it_rests_on_the_tokens_that_were(at: Site) -> None:
    write_rows(at, texts("a", "b"))
    first = planned(workload(price=PRICE), at)
    answer = '{"kind": "card", "urgent": true}'
    first.answer([said(line["custom_id"], answer, tokens=(1_000, 100)) for line in first.requests()])
    write_rows(at, texts("c", "d", "e"))
    second = planned(workload(price=PRICE), at, hour=9)
    made = estimate(second.workload, at.ledger, second.plan)
    assert (made.input_tokens, made.output_tokens) == (3_000, 300)
    assert made.batch_usd == Decimal(3 * (1_000 + 5 * 100)) / 1_000_000
    assert "last runs" in made.basis


def test_nothing_to_ask_costs_nothing_and_an_unknown_price_is_none(at: Site) -> None:
    write_rows(at, texts(None))
    plan = planned(workload(price=PRICE), at)
    assert estimate(plan.workload, at.ledger, plan.plan).batch_usd == 0
    unknown = workload(model="openai:my-own", name="other")
    made = estimate(unknown, at.ledger, plan.plan)
    assert (made.batch_usd, made.realtime_usd) == (None, None)


def test_an_embedding_has_no_output(at: Site) -> None:
    write_rows(at, texts("a"))
    made = workload(
        model="openai:text-embedding-3-small", answer=Vector(8), prompt=Prompt(user="{{ row.text }}")
    )
    assert estimate(made, at.ledger, planned(made, at).plan).output_tokens == 0


# -- the suite


def checks_of(answer: type[BaseModel], **changes: Any) -> list[str]:
    made = workload(answer=answer, **changes)
    suite = suite_of(made, Assembled(rows=90, outcomes={"answered": 90, "errored": 10}, dead_letters=10))
    return [str(check.expectation) for check in suite]


def test_the_suite_is_what_the_author_lists_and_what_the_answer_implies() -> None:
    class Ticket(BaseModel):
        score: float = Field(gt=0, le=1)
        note: str | None = Field(max_length=20)

    found = checks_of(Ticket, checks=[gxe.ExpectColumnMeanToBeBetween(column="score", min_value=0.2)])
    text = "\n".join(found)
    assert "mean" in text.lower()
    assert "score" in text
    assert "20" in text


def test_of_two_limits_the_narrower_counts() -> None:
    from offpeak.suite import _facts

    class Limited(BaseModel):
        a: int = Field(ge=0, gt=-5)
        b: int = Field(ge=-5, gt=0, le=9, lt=9)

    a, b = (_facts(column) for column in workload(answer=Limited).form.columns)
    assert (a.minimum, a.exclusive_minimum) == (0, False)
    assert (b.minimum, b.exclusive_minimum, b.maximum, b.exclusive_maximum) == (0, True, 9, True)


# -- progress


def test_progress_adds_up_while_rounds_go_on(at: Site) -> None:
    write_rows(at, texts("a", "b", "c"))
    plan = planned(workload(price=PRICE), at)
    custom_ids = [line["custom_id"] for line in plan.requests()]
    answer = json.dumps({"kind": "card", "urgent": True})
    plan.answer([said(custom_ids[0], answer), refused(custom_ids[1]), said(custom_ids[2], "no")])
    look = progress(at, plan.run.run_id)
    assert look.outcomes == {"answered": 1}, "the others may still be answered"
    assert look.rounds == 2
    (again,) = plan.shards()
    assert again.request_count == 1
    summed = summary(at, plan.run.run_id)
    assert summed["rows"] == 3
    assert summed["cost_usd"]["realtime"] == 2 * summed["cost_usd"]["actual"]
    assert json.loads(json.dumps(summed)) == summed
    assert summed["table"] is None


def test_time_left_is_negative_when_the_due_time_has_passed(at: Site) -> None:
    write_rows(at, texts("a"))
    plan = planned(workload(due=timedelta(minutes=30)), at)
    look = progress(at, plan.run.run_id)
    assert look.left(NOW) == timedelta(minutes=30)
    assert look.left(NOW + timedelta(hours=1)) == timedelta(minutes=-30)


# -- SQL over files


@pytest.mark.parametrize("name", ['a"b', "select", "a b", "ä'; --", "x\ny"])
@pytest.mark.parametrize("use", [quoted, literal])
def test_names_and_texts_get_into_sql_as_they_are(
    name: str, use: Callable[[str], str], tmp_path: Path
) -> None:
    with files_sql(tmp_path) as sql:
        if use is literal:
            assert sql.execute(f"SELECT {literal(name)}").fetchall() == [(name,)]
        else:
            sql.execute(f"CREATE TABLE t ({quoted(name)} INTEGER)")
            assert [column[0] for column in sql.execute("SELECT * FROM t").description] == [name]
