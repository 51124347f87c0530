"""Coverage: how every row ended, and examples of those that ended badly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offpeak.report.letters import Letters, OutcomeLetters, letters
from offpeak.report.material import Material
from offpeak.report.wording import cut
from offpeak.rounds import POLICY, Again
from offpeak.states import Outcome, ShardState

if TYPE_CHECKING:
    from offpeak.store import Store

MEANING: Mapping[Outcome, str] = {
    Outcome.ANSWERED: "has an answer that keeps to the schema",
    Outcome.INVALID: "the answer breaks the answer schema",
    Outcome.REFUSED: "the model declined to answer",
    Outcome.TRUNCATED: "the answer was cut at the output limit",
    Outcome.ERRORED: "the provider, or the row itself, failed",
    Outcome.EXPIRED: "was not run within the provider's window",
    Outcome.CANCELLED: "its batch was cancelled before it was run",
    Outcome.MISSING: "was sent, but is in no result file",
    Outcome.DUPLICATE: "has the key of an earlier row",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeLine:
    """One outcome, how many ended so, and why (bad outcomes of a judged run only)."""

    outcome: str
    meaning: str
    count: int
    share: float | None
    letters: OutcomeLetters | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """What a person should know about the result files of one shard."""

    round: int
    shard: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Rows in = asked + folded + carried + bad. `by_row` is false while only requests can be counted."""

    rows: int | None
    answered: int | None
    """Rows; None until the run is judged."""
    share: float | None
    asked: int | None
    folded: int | None
    carried: int | None
    bad: int | None
    by_row: bool
    requests_answered: int | None
    outcomes: tuple[OutcomeLine, ...]
    dead_letters: int | None
    letters_problem: str
    """Why dead letters cannot be shown; empty when they can or there are none."""
    bad_examples: tuple[str, ...]
    oddities: tuple[Oddity, ...]


def coverage(found: Material, store: Store) -> Coverage:
    """From the run's facts once it is judged, before that from the shards collected so far."""
    by_row = not found.unjudged
    counts = _judged(found) if by_row else _so_far(found)
    rows = found.count("rows")
    read = letters(found, store) if by_row else Letters()
    answered = counts.get(Outcome.ANSWERED, 0) if by_row else None
    examples = found.fact("bad_examples")
    return Coverage(
        rows=rows,
        answered=answered,
        share=answered / rows if answered is not None and rows else None,
        asked=found.count("requests"),
        folded=found.count("folded"),
        carried=found.count("carried"),
        bad=found.count("bad"),
        by_row=by_row,
        requests_answered=_so_far(found).get(Outcome.ANSWERED, 0) if found.shards else None,
        outcomes=_lines(counts, read),
        dead_letters=found.count("dead_letters") if by_row else None,
        letters_problem=read.problem,
        bad_examples=tuple(cut(one) for one in examples) if isinstance(examples, list) else (),
        oddities=tuple(
            Oddity(round=one.key.round, shard=one.key.number, note=cut(one.note))
            for one in found.shards
            if one.note and one.state is ShardState.COLLECTED
        ),
    )


def _judged(found: Material) -> dict[str, int]:
    return {name: count for name, count in found.part("outcomes").items() if isinstance(count, int)}


def _so_far(found: Material) -> dict[str, int]:
    """Requests by outcome, those left out that the next round asks again."""
    asked_again = {(one.key.number, one.key.round - 1): one.request_count for one in found.shards}
    total: Counter[str] = Counter()
    for shard in found.shards:
        again = asked_again.get((shard.key.number, shard.key.round))
        if shard.state is ShardState.COLLECTED:
            total.update(shard.outcomes if again is None else _kept(shard.outcomes, again))
    return dict(total)


def _kept(outcomes: Mapping[str, int], again: int) -> dict[str, int]:
    """What stays of a shard's outcomes when `again` of its requests are asked again."""
    never = {str(name) for name, how in POLICY.items() if how is Again.NO}
    kept = {name: count for name, count in outcomes.items() if name in never}
    # of the rest all are asked again but the errors that would only come again
    for_good = sum(outcomes.values()) - sum(kept.values()) - again
    return {**kept, **({Outcome.ERRORED.value: for_good} if for_good > 0 else {})}


def _lines(counts: Mapping[str, int], read: Letters) -> tuple[OutcomeLine, ...]:
    total = sum(counts.values())
    order = {str(outcome): place for place, outcome in enumerate(Outcome)}
    return tuple(
        OutcomeLine(
            outcome=name,
            meaning=next((text for outcome, text in MEANING.items() if outcome == name), ""),
            count=counts[name],
            share=counts[name] / total if total else None,
            letters=read.by_outcome.get(name),
        )
        for name in sorted(counts, key=lambda name: order.get(name, len(order)))
    )
