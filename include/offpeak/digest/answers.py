"""Answers: statements that cite ids, and whether those of one answer may stand.

What a schema can hold (lengths, how many) is in the models. That the ids stood in the window, and that there are
enough statements for it, is held against the row: such an answer is asked again with the reason, while a check over
the table would refuse a whole night for one wrong id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, create_model

from offpeak.digest.marks import line
from offpeak.digest.windows import size_bytes

MOST_IDS = 8
"""That one statement cites: the ones that carry it, not all that agree."""
HEADLINE_CHARACTERS = 120
SHOWN_IDS = 5
_MARK = re.compile(r"\[\s*#")
_AROUND = " #[](),"


def _bare(ids: list[str]) -> list[str]:
    """Each id once, without the mark's own signs, which models like to copy."""
    return list(dict.fromkeys(bare for one in ids if (bare := one.strip(_AROUND))))


Ids = Annotated[list[str], AfterValidator(_bare), Field(min_length=1, max_length=MOST_IDS)]


def statement_model(characters: int) -> type[BaseModel]:
    """One sentence or two, and the ids of the items that say so."""
    return create_model(
        "Statement",
        text=(Annotated[str, Field(min_length=1, max_length=characters)], ...),
        items=(
            Ids,
            Field(description="ids of the items that the statement rests on, as they stand in the marks"),
        ),
    )


def _statements(most: int, characters: int) -> Any:
    """The field: a list whose type is only known now."""
    model: Any = statement_model(characters)
    return (list[model], Field(min_length=1, max_length=most))


def notes_model(most: int, characters: int) -> type[BaseModel]:
    """What a window is condensed to."""
    return create_model("Notes", statements=_statements(most, characters))


def digest_model(most: int, characters: int) -> type[BaseModel]:
    """What a group's digest says."""
    return create_model(
        "GroupDigest",
        headline=(Annotated[str, Field(min_length=1, max_length=HEADLINE_CHARACTERS)], ...),
        statements=_statements(most, characters),
    )


def accept_notes(most_bytes: int, row: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Why the notes on a window may not stand, or ""."""
    statements = answer["statements"]
    if reason := _citations(statements, row["ids"]):
        return reason
    size = size_bytes(condensed(statements))
    if size > most_bytes:
        return (
            f"the statements have {size:,} bytes with their ids, and {most_bytes:,} are allowed; write less"
        )
    return ""


def accept_digest(least: int, row: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Why a group's digest may not stand, or "". A group of fewer items than `least` may have fewer statements."""
    statements, ids = answer["statements"], [source["id"] for source in row["sources"]]
    wanted = min(least, len(ids))
    if len(statements) < wanted:
        return f"there are {len(statements)} statements; write at least {wanted}"
    if _MARK.search(answer["headline"]):
        return f"the headline holds a mark ({answer['headline'][:80]!r}); name ids in `items` only"
    return _citations(statements, ids)


def _citations(statements: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> str:
    known = set(ids)
    strange = list(dict.fromkeys(one for said in statements for one in said["items"] if one not in known))
    if strange:
        more = f" and {len(strange) - SHOWN_IDS} more" if len(strange) > SHOWN_IDS else ""
        listed = ", ".join(repr(one[:40]) for one in strange[:SHOWN_IDS])
        return f"the ids {listed}{more} do not stand in the text; cite only ids that stand in its marks"
    for number, said in enumerate(statements, start=1):
        if not said["text"].strip():
            return f"statement {number} is blank"
        if not said["items"]:
            return f"statement {number} cites nothing; each needs the id of at least one item"
        if _MARK.search(said["text"]):
            return f"statement {number} holds a mark in its text; name ids in `items` only"
    return ""


def condensed(statements: Sequence[Mapping[str, Any]]) -> str:
    """What a window was condensed to, as it stands in a window of the next level."""
    return "\n".join(line(said["text"], said["items"]) for said in statements)
