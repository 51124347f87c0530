"""The estimate's quantiles: from the cost of past runs, and only where there are enough of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from offpeak.estimate import Estimate, estimate
from offpeak.prices import Price, Rates
from offpeak.site import Site
from tests.core.making import Planned, planned, said, site, texts, workload, write_rows

PRICE = Price(
    realtime=Rates(input=Decimal(2), output=Decimal(10)), batch=Rates(input=Decimal(1), output=Decimal(5))
)
ANSWER = '{"kind": "card", "urgent": true}'


@pytest.fixture
def at(tmp_path: Path) -> Site:
    return site(tmp_path)


def past_run(at: Site, hour: int, tokens: tuple[int, int]) -> Planned:
    """A run of two requests that took so many tokens each."""
    write_rows(at, texts(f"a {hour}", f"b {hour}"))
    made = planned(workload(price=PRICE), at, hour=hour)
    made.answer([said(line["custom_id"], ANSWER, tokens=tokens) for line in made.requests()])
    return made


def next_estimate(at: Site, rows: int = 3) -> Estimate:
    write_rows(at, texts(*(f"new {number}" for number in range(rows))))
    made = planned(workload(price=PRICE), at, hour=23)
    return estimate(made.workload, at.ledger, made.plan)


def test_without_history_there_are_no_quantiles(at: Site) -> None:
    made = next_estimate(at)
    assert made.runs == 0
    assert made.batch_usd is not None
    assert made.batch_p50_usd is made.batch_p90_usd is made.realtime_p90_usd is None


def test_a_short_history_has_a_middle_but_no_p90(at: Site) -> None:
    for hour in range(3):
        past_run(at, hour, (1_000 * (hour + 1), 100))
    made = next_estimate(at)
    assert made.runs == 3
    assert made.batch_p50_usd == Decimal(3 * (2_000 + 5 * 100)) / 1_000_000
    assert made.realtime_p50_usd == 2 * made.batch_p50_usd
    assert made.batch_p90_usd is None
    assert made.realtime_p90_usd is None


def test_of_nine_runs_the_dearest_is_the_p90(at: Site) -> None:
    for hour in range(9):
        past_run(at, hour, (1_000, 100 * (hour + 1)))
    made = next_estimate(at, rows=10)
    assert made.runs == 9
    assert made.batch_p50_usd == Decimal(10 * (1_000 + 5 * 500)) / 1_000_000
    assert made.batch_p90_usd == Decimal(10 * (1_000 + 5 * 900)) / 1_000_000
    assert made.batch_usd == made.batch_p50_usd, "the mean, as before"


def test_what_was_asked_again_is_part_of_what_a_request_cost(at: Site) -> None:
    write_rows(at, texts("a", "b"))
    made = planned(workload(price=PRICE), at, hour=0)
    one, other = (line["custom_id"] for line in made.requests())
    made.answer([said(one, ANSWER, tokens=(1_000, 100)), said(other, "no", tokens=(1_000, 100))])
    (sample,) = at.ledger.token_samples("sorting", "gpt-5-mini")
    assert (sample.requests, sample.input_tokens) == (2, 1_000)
    (again,) = [shard for shard in at.ledger.shards(made.run.run_id) if shard.key.round == 2]
    assert again.request_count == 1
    made.answer([said(f"{again.tag}-{other.partition('-')[2]}", ANSWER, tokens=(1_000, 100))])
    (sample,) = at.ledger.token_samples("sorting", "gpt-5-mini")
    assert (sample.requests, sample.input_tokens, sample.output_tokens) == (2, 1_500, 150)


def test_a_run_without_tokens_says_nothing(at: Site) -> None:
    past_run(at, 0, (0, 0))
    assert at.ledger.token_samples("sorting", "gpt-5-mini") == []


def test_an_unknown_price_has_no_quantiles(at: Site) -> None:
    past_run(at, 0, (1_000, 100))
    write_rows(at, texts("c"))
    unknown = planned(workload(price=Price(realtime=PRICE.realtime)), at, hour=5)
    made = estimate(unknown.workload, at.ledger, unknown.plan)
    assert made.batch_p50_usd is None
    assert made.realtime_p50_usd is not None
