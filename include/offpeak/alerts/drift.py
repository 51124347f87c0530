"""Drift: whether a run's answers are like those of the runs before it. A documented rule, and no model of them.

Everything is measured against the median of the earlier runs, which one odd night does not move. A limit is
the widest of three: a floor that people care about, what the earlier runs differ by themselves (four
deviations, taken from their median absolute deviation), and what chance does to so few rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

LEAST_RUNS = 3
"""With fewer earlier runs nothing is said."""
LEAST_ROWS = 50
"""Of a run; smaller ones are neither judged nor compared with."""
DEVIATIONS = 4.0
INVALID_FLOOR = 0.02
"""The share of invalid rows may always rise by this much."""
MIX_FLOOR = 0.10
"""So large a part of the answers may always move to other values."""
CHANCES = 3.0
"""Standard errors of a mix that chance is given: of few rows, every night looks different."""
_SIGMA = 1.4826  # of a median absolute deviation, where what is measured is normally distributed
_BAD = ("invalid", "truncated", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One thing that is not as it was. Shares are from 0 to 1."""

    what: str
    """`invalid`, or the column whose mix of answers moved."""
    now: float
    """The share of rows that are invalid; of a column, the share that moved."""
    limit: float
    usual: float
    value: str = ""
    """Of a column: the value that moved most, and its share now and usually."""
    value_now: float = 0.0
    value_usual: float = 0.0


def drifts(facts: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> list[Drift]:
    """What has drifted in a judged run, from its facts and those of the runs it is compared with."""
    like = [one for one in earlier if _rows(one) >= LEAST_ROWS]
    if len(like) < LEAST_RUNS or _rows(facts) < LEAST_ROWS:
        return []
    found = [_invalid(facts, like)]
    found += [_mix(facts, like, column) for column in sorted(_closed(facts))]
    return [drift for drift in found if drift is not None]


def _invalid(facts: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> Drift | None:
    now, shares = _share_bad(facts), [_share_bad(one) for one in earlier]
    usual, rows = median(shares), _rows(facts)
    chance = math.sqrt(max(usual, 1 / rows) * (1 - usual) / rows)
    limit = usual + max(INVALID_FLOOR, DEVIATIONS * _deviation(shares), DEVIATIONS * chance)
    return Drift(what="invalid", now=now, limit=limit, usual=usual) if now > limit else None


def _mix(facts: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], column: str) -> Drift | None:
    now = _shares(facts, column)
    before = [shares for one in earlier if (shares := _shares(one, column))]
    if len(before) < LEAST_RUNS or not now:
        return None
    values = sorted(set(now).union(*before))
    middle = {value: median(shares.get(value, 0.0) for shares in before) for value in values}
    total = sum(middle.values()) or 1.0  # medians of shares need not add up to one
    usual = {value: share / total for value, share in middle.items()}
    apart = _distance(now, usual)
    own = [_distance(shares, usual) for shares in before]
    rows = _rows(facts)
    chance = 0.5 * sum(math.sqrt(share * (1 - share) / rows) for share in usual.values())
    limit = max(MIX_FLOOR, median(own) + DEVIATIONS * _deviation(own), CHANCES * chance)
    if apart <= limit:
        return None
    most = max(values, key=lambda value: abs(now.get(value, 0.0) - usual[value]))
    return Drift(
        what=column,
        now=apart,
        limit=limit,
        usual=median(own),
        value=most,
        value_now=now.get(most, 0.0),
        value_usual=usual[most],
    )


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The share of rows that would have to change their answer to get from one mix to the other."""
    return 0.5 * sum(abs(one.get(value, 0.0) - other.get(value, 0.0)) for value in {*one, *other})


def _deviation(values: Sequence[float]) -> float:
    middle = median(values)
    return _SIGMA * median(abs(value - middle) for value in values)


def _rows(facts: Mapping[str, Any]) -> int:
    return int(_outcome(facts, "answered")) + sum(_outcome(facts, bad) for bad in _BAD)


def _share_bad(facts: Mapping[str, Any]) -> float:
    rows = _rows(facts)
    return sum(_outcome(facts, bad) for bad in _BAD) / rows if rows else 0.0


def _outcome(facts: Mapping[str, Any], name: str) -> int:
    outcomes = facts.get("outcomes")
    count = outcomes.get(name) if isinstance(outcomes, Mapping) else None
    return count if isinstance(count, int) else 0


def _closed(facts: Mapping[str, Any]) -> list[str]:
    spread = facts.get("distribution")
    if not isinstance(spread, Mapping):
        return []
    return [name for name, made in spread.items() if isinstance(made, Mapping) and "counts" in made]


def _shares(facts: Mapping[str, Any], column: str) -> dict[str, float]:
    """By value of the column; nulls are a value of their own."""
    if column not in _closed(facts):
        return {}
    made = facts["distribution"][column]
    counts = {str(value): int(count) for value, count in made["counts"].items()}
    if made.get("nulls"):
        counts["(null)"] = int(made["nulls"])
    total = sum(counts.values())
    return {value: count / total for value, count in counts.items()} if total else {}
