"""Prices: what tokens cost, from a dated data file, and the cost of one request's usage. Decimal only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offpeak.errors import SpecError
from offpeak.providers.provider import Usage
from offpeak.states import Route

if TYPE_CHECKING:
    import numpy as np

_FOLDER = Path(__file__).with_name("prices")
_MILLION = Decimal(1_000_000)
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_EMULATED = "emulated/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per million tokens. What is None is not known to have a price of its own.

    Without `cached`, cached tokens cost what uncached ones do; without `cache_write`, written ones cost
    what plain input does; without `cache_write_long`, they cost what `cache_write` ones do. None of that
    is ever too low by a discount that was not listed. Floats are refused: 0.1 is not a tenth.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_long: Decimal | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and item.default is None:
                continue
            if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
                raise SpecError(
                    f"The rate {item.name} is {value!r}. Give USD per million tokens as a Decimal of 0 or "
                    'more, e.g. Decimal("0.25").'
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPrompt:
    """Above this many input tokens, all rates of that one request are multiplied."""

    above_tokens: int
    input_times: Decimal
    """For input, cached and written tokens alike."""
    output_times: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model costs. `batch` None means that the cost of a batch is unknown: it is not guessed.

    Made by hand it is the user's own price:
    `Price(realtime=Rates(input=Decimal("0.25"), output=Decimal("2")), batch=Rates(...))`.
    """

    realtime: Rates
    batch: Rates | None = None
    long_prompt: LongPrompt | None = None


def cost(price: Price | None, usage: Usage, route: Route) -> Decimal | None:
    """What one request's usage costs in USD, unrounded; None when the price for the route is not known.

    Usage of one request, not a sum: the step for long prompts is taken per request.
    """
    rates = None if price is None else price.batch if route is Route.BATCH else price.realtime
    if price is None or rates is None:
        return None
    write = rates.input if rates.cache_write is None else rates.cache_write
    write_long = write if rates.cache_write_long is None else rates.cache_write_long
    cached = rates.input if rates.cached is None else rates.cached
    special = usage.cached_tokens + usage.cache_write_tokens + usage.cache_write_long_tokens
    went_in = (
        max(usage.input_tokens - special, 0) * rates.input
        + usage.cached_tokens * cached
        + usage.cache_write_tokens * write
        + usage.cache_write_long_tokens * write_long
    )
    came_out = usage.output_tokens * rates.output
    step = price.long_prompt
    if step is not None and usage.input_tokens > step.above_tokens:
        went_in, came_out = went_in * step.input_times, came_out * step.output_times
    return (went_in + came_out) / _MILLION


def costs(price: Price | None, usage: np.ndarray, route: Route) -> np.ndarray | None:
    """What each request's usage costs, in billionths of a dollar; None when the price for the route is not known.

    `usage` has the shape (requests, 6), int64, columns in the order of the fields of Usage. The same as `cost` of
    each, rounded half to even: exact, in whole numbers.
    """
    import numpy as np

    if price is None or (price.batch if route is Route.BATCH else price.realtime) is None:
        return None
    ordinary, beyond, digits = _weights(price, route)
    whole, whole_long = np.array(ordinary, np.int64), np.array(beyond, np.int64)
    step = price.long_prompt
    plain_input = np.maximum(usage[:, 0] - usage[:, 1] - usage[:, 2] - usage[:, 3], 0)
    tokens = np.column_stack((plain_input, *usage[:, 1:5].T))
    above = usage[:, 0] > (usage[:, 0].max(initial=0) if step is None else step.above_tokens)
    if usage.size and int(tokens.max()) * int(whole_long.max()) * 5 > np.iinfo(np.int64).max:
        raise OverflowError(f"{int(tokens.max()):,} tokens of one request are more than can be priced")
    made = tokens @ whole
    if above.any():
        made[above] = tokens[above] @ whole_long
    return _half_even(made, 10 ** (digits - 9))


@cache
def _weights(price: Price, route: Route) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """What one token of each kind costs, in an ordinary prompt and in a long one, times 10 to the power of the last."""
    each = [cost(replace(price, long_prompt=None), one, route) for one in _ONE_TOKEN]
    step = price.long_prompt
    times = [Decimal(1)] * 2 if step is None else [step.input_times, step.output_times]
    amounts = [_exact(amount) for amount in each]
    long = [amount * times[place == 4] for place, amount in enumerate(amounts)]
    digits = max(9, *(-int(amount.normalize().as_tuple().exponent) for amount in (*amounts, *long)))
    ordinary, beyond = (tuple(int(amount.scaleb(digits)) for amount in found) for found in (amounts, long))
    return ordinary, beyond, digits


_ONE_TOKEN = (
    Usage(input_tokens=1),
    Usage(cached_tokens=1),
    Usage(cache_write_tokens=1),
    Usage(cache_write_long_tokens=1),
    Usage(output_tokens=1),
)


def _exact(amount: Decimal | None) -> Decimal:
    assert amount is not None
    return amount


def _half_even(amounts: np.ndarray, unit: int) -> np.ndarray:
    """Whole numbers divided by `unit`, rounded half to even."""
    import numpy as np

    if unit == 1:
        return amounts
    whole, rest = np.divmod(amounts, unit)
    up = (2 * rest > unit) | ((2 * rest == unit) & (whole % 2 == 1))
    rounded: np.ndarray = whole + up
    return rounded


def price_of(provider: str, model: str) -> Price | None:
    """The list price of a model, None when it is not listed.

    A dated snapshot (`gpt-5-mini-2025-08-07`, `claude-haiku-4-5-20251001`) has its model's price unless it
    is listed itself; so has an emulated one (`emulated/gpt-5-mini`).
    """
    listed = _prices().get(provider, {})
    name = model.removeprefix(_EMULATED)
    return listed.get(name) or listed.get(_SNAPSHOT.sub("", name))


def data_date() -> date:
    """The day on which the price data was collected."""
    return date.fromisoformat(_data()["date"])


@cache
def _data() -> Mapping[str, Any]:
    newest = max(_FOLDER.glob("*.json"))
    data: Mapping[str, Any] = json.loads(newest.read_text("utf-8"))
    return data


@cache
def _prices() -> Mapping[str, Mapping[str, Price]]:
    return {
        provider: {model: _price(listed) for model, listed in models.items()}
        for provider, models in _data()["providers"].items()
    }


def _price(listed: Mapping[str, Any]) -> Price:
    step = listed["long_prompt"]
    return Price(
        realtime=_rates(listed["realtime"]),
        batch=_rates(listed["batch"]) if listed["batch"] else None,
        long_prompt=step
        and LongPrompt(
            above_tokens=step["above_tokens"],
            input_times=Decimal(step["input_times"]),
            output_times=Decimal(step["output_times"]),
        ),
    )


def _rates(listed: Mapping[str, str | None]) -> Rates:
    def optional(name: str) -> Decimal | None:
        value = listed[name]
        return None if value is None else Decimal(value)

    return Rates(
        input=Decimal(
            listed["input"] or "NaN"
        ),  # a NaN is refused by Rates: input and output are always listed
        output=Decimal(listed["output"] or "NaN"),
        cached=optional("cached"),
        cache_write=optional("cache_write"),
        cache_write_long=optional("cache_write_long"),
    )
