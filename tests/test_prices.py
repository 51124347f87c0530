"""Prices of the data file, and the cost of a request computed by hand."""

from __future__ import annotations

import re
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.errors import SpecError
from offpeak.prices import LongPrompt, Price, Rates, _prices, cost, costs, data_date, price_of
from offpeak.providers.provider import Usage
from offpeak.states import Route

MILLION = 1_000_000


def priced(provider: str, model: str) -> Price:
    price = price_of(provider, model)
    assert price is not None
    return price


def test_the_data_is_dated() -> None:
    assert data_date() == date(2026, 11, 22)


def test_a_batch_costs_half_of_realtime_to_the_last_digit() -> None:
    usage = Usage(input_tokens=1234, output_tokens=567)
    price = priced("openai", "gpt-5-mini")
    assert cost(price, usage, Route.REALTIME) == Decimal("0.0014425")
    assert cost(price, usage, Route.BATCH) == Decimal("0.00072125")


def test_cached_and_written_tokens_are_taken_out_of_the_input_and_cost_their_own() -> None:
    usage = Usage(
        input_tokens=1000,
        cached_tokens=600,
        cache_write_tokens=100,
        cache_write_long_tokens=50,
        output_tokens=10,
    )
    paid = cost(priced("anthropic", "claude-haiku-4-5"), usage, Route.BATCH)
    by_hand = (
        250 * Decimal("0.5")
        + 600 * Decimal("0.05")
        + 100 * Decimal("0.625")
        + 50 * Decimal(1)
        + 10 * Decimal("2.5")
    )
    assert paid == by_hand / MILLION


def test_reasoning_is_part_of_the_output_and_not_paid_twice() -> None:
    price = priced("openai", "gpt-5")
    with_reasoning = cost(price, Usage(output_tokens=100, reasoning_tokens=80), Route.BATCH)
    assert with_reasoning == cost(price, Usage(output_tokens=100), Route.BATCH) == Decimal("0.0005")


def test_the_step_for_long_prompts_is_taken_above_its_limit_only() -> None:
    price = priced("openai", "gpt-5.4")
    at = cost(price, Usage(input_tokens=272_000, output_tokens=MILLION), Route.BATCH)
    above = cost(price, Usage(input_tokens=272_001, output_tokens=MILLION), Route.BATCH)
    assert at == 272_000 * Decimal("1.25") / MILLION + Decimal("7.5")
    assert above == 272_001 * Decimal("2.5") / MILLION + Decimal("11.25")
    haiku = priced("anthropic", "claude-haiku-5-5")
    assert cost(haiku, Usage(input_tokens=100_001), Route.REALTIME) == 100_001 * Decimal("0.5") / MILLION


def test_a_missing_cached_price_means_the_plain_one_and_a_missing_batch_price_means_unknown() -> None:
    usage = Usage(input_tokens=1000, cached_tokens=1000)
    assert cost(priced("openai", "gpt-4.1"), usage, Route.BATCH) == Decimal("0.001")
    assert cost(priced("openai", "gpt-6.1-terra"), usage, Route.BATCH) is None
    assert cost(priced("openai", "gpt-6.1-terra"), usage, Route.REALTIME) == Decimal("0.00005")
    assert cost(None, usage, Route.BATCH) is None


@pytest.mark.parametrize(
    ("provider", "model", "like"),
    [
        ("openai", "gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("openai", "emulated/gpt-5-mini", "gpt-5-mini"),
        ("openai", "emulated/gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5"),
    ],
)
def test_snapshots_and_emulated_models_cost_what_their_model_does(
    provider: str, model: str, like: str
) -> None:
    assert price_of(provider, model) == priced(provider, like)


@pytest.mark.parametrize(
    "model", ["gpt-5-mini-turbo", "gpt-5-min", "ft:gpt-5-mini:me", "", "claude-haiku-4-5"]
)
def test_a_model_that_is_not_listed_has_no_price_rather_than_a_similar_one(model: str) -> None:
    assert price_of("openai", model) is None
    assert price_of("nobody", model) is None


def test_every_listed_batch_rate_is_at_most_the_realtime_one() -> None:
    count = 0
    for models in _prices().values():
        for model, price in models.items():
            assert re.fullmatch(r"[a-z0-9.-]+", model)
            for name in (
                ("input", "output", "cached", "cache_write", "cache_write_long") if price.batch else ()
            ):
                batch, realtime = getattr(price.batch, name), getattr(price.realtime, name)
                if batch is not None and realtime is not None:
                    assert batch <= realtime * Decimal("0.52"), (model, name)  # one listed rate is rounded up
                    count += 1
    assert count > 100


def test_a_price_by_hand_is_the_users_own_and_takes_no_floats() -> None:
    mine = Price(
        realtime=Rates(input=Decimal(3), output=Decimal(4)),
        batch=Rates(input=Decimal(1), output=Decimal(2), cached=Decimal(0)),
        long_prompt=LongPrompt(above_tokens=10, input_times=Decimal(3), output_times=Decimal(1)),
    )
    assert cost(mine, Usage(input_tokens=20, cached_tokens=5, output_tokens=1), Route.BATCH) == Decimal(
        "0.000047"
    )
    with pytest.raises(SpecError, match=r'rate input is 0\.1.*Decimal\("0\.25"\)'):
        Rates(input=0.1, output=Decimal(1))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="rate output"):
        Rates(input=Decimal(1), output=Decimal(-1))


AMOUNT = st.decimals(0, 100, places=4)
RATES = st.builds(
    Rates,
    input=AMOUNT,
    output=AMOUNT,
    cached=st.none() | AMOUNT,
    cache_write=st.none() | AMOUNT,
    cache_write_long=st.none() | AMOUNT,
)
LONG = st.builds(
    LongPrompt,
    above_tokens=st.integers(0, 500),
    input_times=st.sampled_from([Decimal(2), Decimal("1.5")]),
    output_times=st.sampled_from([Decimal(1), Decimal("1.25")]),
)
USAGE = st.tuples(*[st.integers(0, 1_000_000)] * 6)


@settings(max_examples=200, deadline=None)
@given(
    price=st.builds(Price, realtime=RATES, batch=st.none() | RATES, long_prompt=st.none() | LONG),
    usage=st.lists(USAGE, max_size=5),
)
def test_the_costs_of_many_requests_are_those_of_each_to_the_last_digit(
    price: Price, usage: list[tuple[int, ...]]
) -> None:
    table = np.array(usage, np.int64).reshape(-1, 6)
    for route in Route:
        each = [
            cost(price, Usage(**dict(zip(Usage.__dataclass_fields__, one, strict=True))), route)
            for one in usage
        ]
        found = costs(price, table, route)
        if found is None:
            assert price.batch is None
            assert route is Route.BATCH
            continue
        nano = Decimal("1e-9")
        assert [int(amount) * nano for amount in found] == [
            amount.quantize(nano, ROUND_HALF_EVEN) for amount in each if amount is not None
        ]


def test_costs_without_a_price_are_not_known_and_absurd_tokens_are_refused() -> None:
    assert costs(None, np.zeros((1, 6), np.int64), Route.BATCH) is None
    with pytest.raises(OverflowError, match="tokens of one request"):
        costs(priced("openai", "gpt-5-mini"), np.full((1, 6), 2**60), Route.BATCH)
