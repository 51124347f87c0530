"""Reading English a little: words, stems, character grams, sentences, numbers."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_NUMBER = re.compile(r"(?<![\w.:-])-?\d+(?:,\d{3})*(?:\.\d+)?")

MAX_EXACT = 2.0**53

_STOP_WORDS = (
    "a about all am an and any are as at be been being but by can could did do does doing done for from had "
    "has have having he her here him his how i i'd i'll i'm i've if in into is it it's its just me my no of "
    "on or our out please she so some such than that the their them then there these they this those to too "
    "up us was we were what when where which while who why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
_NEGATIONS = "no not never without none cannot can't don't doesn't didn't isn't wasn't won't"
NEGATIONS = frozenset(_NEGATIONS.split())

_SUFFIXES = (
    "ations",
    "ation",
    "ments",
    "ment",
    "ings",
    "ing",
    "ies",
    "ied",
    "ers",
    "er",
    "ed",
    "es",
    "s",
    "ly",
)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A short form that most inflections of a word share."""
    word = word.split("'")[0]
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            if suffix in ("ies", "ied"):
                return word + "i"
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    if len(word) > 3 and word[-1] == "e":
        return word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word[-1] == "y" else word


def words(text: str) -> list[str]:
    """The words of a text in lower case, in order."""
    return _WORD.findall(text.lower())


def stems(text: str) -> list[str]:
    """The stems of the words that carry meaning, in order."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def name_words(name: str) -> list[str]:
    """The words of an identifier, split at _, - and capitals."""
    return [part.lower() for part in _NAME_PART.findall(name)]


def grams(word: str, size: int = 4) -> set[str]:
    """The character grams of one word, with its borders marked."""
    marked = f"<{word}>"
    return {marked[i : i + size] for i in range(max(1, len(marked) - size + 1))}


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, without blanks."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def numbers(text: str) -> list[float]:
    """The numbers written in digits, in order; those that JSON clients would round are passed over."""
    found = (float(digits.replace(",", "")) for digits in _NUMBER.findall(text))
    return [number for number in found if abs(number) < MAX_EXACT]


def best_sentences(parts: list[str], limit: int) -> list[str]:
    """The `limit` sentences whose words the whole text repeats most, in the text's order."""
    if len(parts) <= limit:
        return parts
    per_part = [set(stems(part)) for part in parts]
    frequency: dict[str, int] = {}
    for found in per_part:
        for word in found:
            frequency[word] = frequency.get(word, 0) + 1

    def worth(index: int) -> float:
        found = per_part[index]
        # The square root keeps a long sentence from winning by its length alone.
        return float(sum(frequency[word] for word in found) / (len(found) + 1) ** 0.5 + 1 / (1 + index))

    chosen = sorted(range(len(parts)), key=lambda i: (-worth(i), i))[:limit]
    return [parts[i] for i in sorted(chosen)]
