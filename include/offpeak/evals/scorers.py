"""Scorers: how right an answer is, from 0 to 1.

A scorer reads something in the answer and holds it against a column of the case. A scorer of your own is a plain
function `(row, answer) -> float or bool`. Nothing that a model wrote is executed here: code is scored only by such a
function, and what it does with the text is its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offpeak.answer import TEXT_COLUMN
from offpeak.errors import InputError, SpecError
from offpeak.evals.reading import choice_of, fields_of, last_number, normalised, set_of, text_of

OwnScorer = Callable[[Mapping[str, Any], Any], float]
"""A user's own: the case's row and the answer (a text, or a dict of its fields) to a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """One metric. `grade` is given what `read` found in the answer's column, and the case's row."""

    name: str
    column: str
    """The answer's column it looks at; empty for all of them."""
    against: str
    """The case's column with the right answer; empty when there is none."""
    read: Callable[[Any], Any]
    grade: Callable[[Any, Mapping[str, Any]], float]
    stage: str = ""
    """`similarity` or `judge` when its score comes from a second layer."""

    def of(self, row: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
        """The score of one answer. InputError, which names the case's row, when it cannot be made."""
        value = answer[self.column] if self.column else _whole(answer)
        try:
            score = float(self.grade(self.read(value), row))
        except Exception as error:
            raise InputError(f"{type(error).__name__}: {error}") from error
        if not 0.0 <= score <= 1.0:
            raise InputError(f"it gave {score!r}, and a score lies between 0 and 1")
        return score

    def seen(self, answer: Mapping[str, Any]) -> Hashable:
        """What of the answer must be the same for two answers to be the same to this scorer."""
        found = self.read(answer[self.column] if self.column else _whole(answer))
        return found if isinstance(found, (str, float, int, frozenset, type(None))) else text_of(found)


def _whole(answer: Mapping[str, Any]) -> Any:
    return answer[TEXT_COLUMN] if set(answer) == {TEXT_COLUMN} else dict(answer)


def _scorer(
    column: str,
    against: str | None,
    name: str,
    read: Callable[[Any], Any],
    grade: Callable[[Any, Any], float],
) -> Scorer:
    expected = column if against is None else against
    return Scorer(
        name=name or column,
        column=column,
        against=expected,
        read=read,
        grade=lambda found, row: grade(found, row[expected]),
    )


def exact(column: str = TEXT_COLUMN, *, against: str | None = None, name: str = "") -> Scorer:
    """1 when the answer's column and the case's are equal as written, surrounding space aside."""
    return _scorer(
        column, against, name, lambda value: text_of(value).strip(), lambda a, b: a == text_of(b).strip()
    )


def normalised_match(column: str = TEXT_COLUMN, *, against: str | None = None, name: str = "") -> Scorer:
    """1 when both are equal but for case, spaces and punctuation."""
    return _scorer(column, against, name, normalised, lambda a, b: a == normalised(b))


def matches(pattern: str, column: str = TEXT_COLUMN, *, against: str | None = None, name: str = "") -> Scorer:
    """What the pattern finds (its first group, else all of it) in the answer must equal the case's column.

    With `against=""` it is enough that it is found. SpecError for a pattern that is none.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SpecError(f"matches({pattern!r}) is no regular expression: {error}. Correct it.") from None

    def read(value: Any) -> str | None:
        found = compiled.search(text_of(value))
        return None if found is None else (found[1] if compiled.groups else found[0]) or ""

    if against == "":
        return Scorer(
            name=name or column, column=column, against="", read=read, grade=lambda a, row: a is not None
        )
    return _scorer(column, against, name, read, lambda a, b: a is not None and a == text_of(b))


def numeric(
    column: str = TEXT_COLUMN,
    *,
    against: str | None = None,
    tolerance: float = 0.0,
    relative: float = 1e-9,
    name: str = "",
) -> Scorer:
    """1 when the last number of the answer is that of the case, within `tolerance` or a share `relative` of it."""

    def grade(found: float | None, expected: Any) -> float:
        right = last_number(expected)
        if found is None or right is None:
            return 0.0
        return math.isclose(found, right, rel_tol=relative, abs_tol=tolerance)

    return _scorer(column, against, name, last_number, grade)


def choice(column: str = TEXT_COLUMN, *, against: str | None = None, name: str = "") -> Scorer:
    """1 when both choose the same letter, however it is written: `B`, `(B)`, `b.`, `The answer is (B).`"""
    return _scorer(column, against, name, choice_of, lambda a, b: bool(a) and a == choice_of(b))


def json_fields(
    fields: Sequence[str], *, against: str = "", column: str = "", name: str = "json_fields"
) -> Scorer:
    """The share of `fields` that are equal, of the answer (or of the JSON in its `column`) and of the case.

    The case's fields are its columns of these names, or those of the object or JSON text in `against`.
    """
    if not fields:
        raise SpecError("json_fields() needs the names of the fields that are compared.")

    def grade(found: Mapping[str, Any], row: Mapping[str, Any]) -> float:
        right = fields_of(row[against]) if against else row
        return sum(one in found and text_of(found[one]) == text_of(right.get(one)) for one in fields) / len(
            fields
        )

    return Scorer(name=name, column=column, against=against, read=fields_of, grade=grade)


def overlap_f1(column: str = TEXT_COLUMN, *, against: str | None = None, name: str = "") -> Scorer:
    """F1 of two sets of items, lists or texts between commas; 1 when both are empty."""

    def grade(found: frozenset[str], expected: Any) -> float:
        right = set_of(expected)
        return 1.0 if not found and not right else 2 * len(found & right) / (len(found) + len(right))

    return _scorer(column, against, name, set_of, grade)


def similarity(column: str = TEXT_COLUMN, *, against: str | None = None, name: str = "similarity") -> Scorer:
    """Cosine of the two texts' embeddings, below 0 counted as 0. Needs the suite's `embeddings=`."""

    def later(found: Any, row: Any) -> float:
        raise AssertionError("a similarity is made from vectors")

    expected = column if against is None else against
    return Scorer(
        name=name, column=column, against=expected, read=normalised, grade=later, stage="similarity"
    )


def own(function: OwnScorer, *, name: str = "") -> Scorer:
    """A function of yours as a scorer; a function in the list of scorers is made one by itself."""
    named = name or getattr(function, "__name__", "")
    if not named.isidentifier():
        raise SpecError(f"The scorer {function!r} has no name of its own. Write own(function, name='...').")
    return Scorer(
        name=named, column="", against="", read=lambda value: value, grade=lambda a, row: function(row, a)
    )


def scorers_of(given: Sequence[Scorer | OwnScorer]) -> tuple[Scorer, ...]:
    """Each as a Scorer. SpecError for what is none, and when two have one name."""
    made = []
    for one in given:
        if not isinstance(one, Scorer) and not callable(one):
            raise SpecError(f"scorers: {one!r} is neither a scorer nor a function (row, answer) -> score.")
        made.append(one if isinstance(one, Scorer) else own(one))
    names = [one.name for one in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpecError(f"scorers: two are called {', '.join(twice)}; give one of them name='...'.")
    return tuple(made)
