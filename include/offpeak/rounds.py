"""Rounds: what is asked again, and how. A pure table and two functions over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from offpeak.errors import SpecError
from offpeak.states import Outcome


class Again(StrEnum):
    """What the next round does with a request that was not answered."""

    NO = "no"  # a dead letter at once
    SAME = "same"
    MORE_ROOM = "more_room"  # with twice the output limit
    WITH_NOTE = "with_note"  # with the reason it was not accepted shown to the model


POLICY: Mapping[Outcome, Again] = {
    Outcome.ANSWERED: Again.NO,
    Outcome.INVALID: Again.WITH_NOTE,
    Outcome.REFUSED: Again.NO,
    Outcome.TRUNCATED: Again.MORE_ROOM,
    Outcome.ERRORED: Again.SAME,  # only if transient
    Outcome.EXPIRED: Again.SAME,
    Outcome.CANCELLED: Again.SAME,  # a run that was itself cancelled opens no further round
    Outcome.MISSING: Again.SAME,
    Outcome.DUPLICATE: Again.NO,
}

MORE_ROOM_FACTOR = 2.0


def policy_of(changes: Mapping[str, str]) -> Mapping[Outcome, Again]:
    """The policy with a workload's own rules in it; SpecError for a word that is none."""
    made = dict(POLICY)
    for outcome, how in changes.items():
        if outcome not in _CHANGEABLE:
            raise SpecError(
                f"policy names {outcome!r}; outcomes that can be asked again are {_listed(_CHANGEABLE)}."
            )
        if how not in set(Again):
            raise SpecError(f"policy[{outcome!r}]={how!r}; say one of {_listed(Again)}.")
        made[Outcome(outcome)] = Again(how)
    return made


_CHANGEABLE = (
    Outcome.INVALID,
    Outcome.REFUSED,
    Outcome.TRUNCATED,
    Outcome.ERRORED,
    Outcome.EXPIRED,
    Outcome.MISSING,
)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(str(word) for word in words)


def again(
    outcome: Outcome, policy: Mapping[Outcome, Again], *, transient: bool, round_number: int, rounds: int
) -> Again:
    """Whether and how a request with this outcome is asked again; `rounds` is how often at most in all."""
    if round_number >= rounds:
        return Again.NO
    if outcome is Outcome.ERRORED and not transient:
        return Again.NO  # it would fail the same way; no policy changes that
    return policy[outcome]


def note(reason: str) -> str:
    """What is said to the model after the user text when its last answer was not accepted."""
    return (
        "(An earlier answer to this was not accepted: "
        f"{reason[:500]}. Answer again and keep exactly to the required format.)"
    )
