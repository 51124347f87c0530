"""The suite of a workload: what its author lists, what its answer model implies, and completeness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offpeak.checks import Check, ColumnFacts, Expected, suite
from offpeak.states import Outcome

if TYPE_CHECKING:
    from offpeak.answer import Column
    from offpeak.assemble import Assembled
    from offpeak.workload import Workload


def suite_of(workload: Workload, assembled: Assembled, *, in_part: bool = False) -> tuple[Check, ...]:
    """All checks of a run over its staged file. Of one that is published `in_part`, rows that were left for the
    next run count neither as answered nor as failed."""
    left = assembled.outcomes.get(Outcome.CANCELLED, 0) if in_part else 0
    rows_in = sum(assembled.outcomes.values()) - left
    # rows without a place in the table (no key of their own) count as failed too
    must_answer = (1 - workload.max_failed) * rows_in
    allowed = max(0.0, 1 - must_answer / assembled.rows) if assembled.rows else workload.max_failed
    expected = Expected(rows=assembled.rows, max_failed=min(1.0, allowed), key=workload.rows.key)
    facts = [_facts(column) for column in workload.form.columns]
    return suite(workload.checks, facts, expected)


def _facts(column: Column) -> ColumnFacts:
    limits = column.limits
    least, above = limits.get("minimum"), limits.get("exclusiveMinimum")
    most, below = limits.get("maximum"), limits.get("exclusiveMaximum")
    # with both given, the narrower one is what counts
    open_below = above is not None and (least is None or above >= least)
    open_above = below is not None and (most is None or below <= most)
    text = column.type == "string" and column.values is None
    return ColumnFacts(
        name=column.name,
        nullable=column.nullable,
        values=column.values,
        minimum=above if open_below else least,
        maximum=below if open_above else most,
        exclusive_minimum=open_below,
        exclusive_maximum=open_above,
        min_length=limits.get("minLength") if text else None,
        max_length=limits.get("maxLength") if text else None,
        pattern=limits.get("pattern") if text else None,
    )
