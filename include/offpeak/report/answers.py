"""The answers: how they are distributed, beside those of the last published run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from offpeak.ledger.records import Run
from offpeak.report.material import Material
from offpeak.report.wording import TEXT_CHARACTERS, cut
from offpeak.states import Outcome

Kind = Literal["counts", "quantiles", "lengths"]
_KINDS: tuple[Kind, ...] = ("counts", "quantiles", "lengths")
VALUES = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueShare:
    """One value of a closed column. Shares are of the answered rows; None where there was no earlier run."""

    value: str
    count: int
    share: float
    count_before: int | None
    share_before: float | None
    change_points: float | None
    """Percentage points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    name: str
    now: float
    before: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerColumn:
    """`counts` has values, `quantiles` (of numbers) and `lengths` (of text, in characters) have quantiles."""

    name: str
    kind: Kind
    values: tuple[ValueShare, ...] = ()
    others: int = 0
    """Answered rows with a value that is not listed."""
    quantiles: tuple[Quantile, ...] = ()
    largest: ValueShare | None = None
    """The value whose share changed most, if any did by a point or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    answered: int
    answered_before: int | None
    before_run: str
    """The run that it is compared with; empty when there is none."""
    before_at: datetime | None
    columns: tuple[AnswerColumn, ...]


def answers(found: Material) -> Answers | None:
    """None when the run has not been judged or its answers have no distribution."""
    spread = found.part("distribution")
    if not spread:
        return None
    before = found.previous
    spread_before = _mapping(before.facts.get("distribution")) if before else {}
    answered, answered_before = _answered(found.run), _answered(before) if before else None
    columns = []
    for name, made in spread.items():
        kind = next((kind for kind in _KINDS if kind in _mapping(made)), None)
        if kind is None:
            continue
        now, then = _mapping(made[kind]), _mapping(_mapping(spread_before.get(name)).get(kind))
        if kind == "counts":
            columns.append(_closed(name, now, then, totals=(answered, answered_before)))
        else:
            columns.append(_open(name, kind, now, then))
    return Answers(
        answered=answered,
        answered_before=answered_before,
        before_run=before.run_id if before else "",
        before_at=(before.ended_at or before.updated_at) if before else None,
        columns=tuple(columns),
    )


def _answered(run: Run) -> int:
    return int(_mapping(run.facts.get("outcomes")).get(Outcome.ANSWERED) or 0)


def _closed(
    name: str, now: Mapping[str, int], then: Mapping[str, int], *, totals: tuple[int, int | None]
) -> AnswerColumn:
    total = max(totals[0], sum(now.values()))
    total_before = max(totals[1] or 0, sum(then.values()))
    compared = bool(then) and total_before > 0
    shares = []
    for value in sorted({*now, *then}, key=lambda value: (-now.get(value, 0), -then.get(value, 0), value)):
        share = now.get(value, 0) / total if total else 0.0
        before = then.get(value, 0) / total_before if compared else None
        shares.append(
            ValueShare(
                value=cut(value, TEXT_CHARACTERS),
                count=now.get(value, 0),
                share=share,
                count_before=then.get(value, 0) if compared else None,
                share_before=before,
                change_points=None if before is None else 100 * (share - before),
            )
        )
    moved = [one for one in shares if one.change_points is not None and abs(one.change_points) >= 1]
    return AnswerColumn(
        name=name,
        kind="counts",
        values=tuple(shares[:VALUES]),
        others=total - sum(one.count for one in shares[:VALUES]),
        largest=max(moved, key=lambda one: abs(one.change_points or 0), default=None),
    )


def _open(name: str, kind: Kind, now: Mapping[str, Any], then: Mapping[str, Any]) -> AnswerColumn:
    return AnswerColumn(
        name=name,
        kind=kind,
        quantiles=tuple(
            Quantile(name=quantile, now=float(value), before=_float(then.get(quantile)))
            for quantile, value in now.items()
            if _float(value) is not None
        ),
    )


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
