"""What a scorer reads in an answer: a number, a choice, a plain form of a text. Text is only ever read here.

Nothing that a model wrote is executed, parsed as a program or put into a pattern.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

_NUMBER = re.compile(
    r"(?<![\w.])[-−+]?\s?[$£€]?\s?(?:\d{1,3}(?:[,\u00a0\u202f' ]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?"
    r"|(?<![\w.])[-−+]?[$£€]?\.\d+"
)
_CHOICE = re.compile(r"\(\s*([A-Z])\s*\)|\b([A-Z])\b(?=\s*(?:[).:,]|$))|^\s*([A-Za-z])\s*$", re.MULTILINE)
_SAID = re.compile(
    r"\b(?:answer|option|choice)\b(?:\s+is)?\s*[:=]?\s*[*_`\"']*\(?\s*([A-Za-z])\b(?!['’])", re.IGNORECASE
)
MOST_CHARACTERS = 100_000
"""Of an answer that is searched for a number or a choice: from its end."""


def text_of(value: Any) -> str:
    """A value as a person would compare it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def normalised(value: Any) -> str:
    """Lower case, one form of each character, no punctuation, single spaces."""
    text = unicodedata.normalize("NFKC", text_of(value)).casefold()
    kept = (" " if unicodedata.category(char)[0] in "PZC" else char for char in text)
    return " ".join("".join(kept).split())


def last_number(value: Any) -> float | None:
    """The last number of a text (`1,234.50`, `−3`, `$ 5`, `2e3`), or the number that the value is."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    found = None
    for match in _NUMBER.finditer(text_of(value)[-MOST_CHARACTERS:]):
        found = match[0]
    if found is None:
        return None
    plain = re.sub(r"[,\u00a0\u202f' $£€+]", "", found).replace("−", "-")
    try:
        return float(plain)
    except (ValueError, OverflowError):
        return None


def choice_of(value: Any) -> str:
    """The letter that is chosen, `B` in `(B)`, `B.`, `The answer is b` or `b`; "" when there is none.

    What is said to be the answer counts before a letter that merely stands there, the last before the first.
    """
    text = text_of(value)[-MOST_CHARACTERS:].strip()
    if said := _SAID.findall(text):
        return str(said[-1]).upper()
    found = ""
    for match in _CHOICE.finditer(text):
        found = next(letter for letter in match.groups() if letter)
    return found.upper()


def set_of(value: Any) -> frozenset[str]:
    """The items of a list, or of a text between commas, semicolons and lines, each in its plain form."""
    listed = isinstance(value, (list, tuple, set, frozenset))
    items: Iterable[Any] = value if listed else re.split(r"[,;\n]", text_of(value))
    return frozenset(plain for item in items if (plain := normalised(item)))


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of an object, or of the JSON object that a text is; empty when it is none."""
    if isinstance(value, Mapping):
        return dict(value)
    import orjson

    text = text_of(value).strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        found = orjson.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
