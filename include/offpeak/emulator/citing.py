"""Citing: texts that carry marks such as `[#T12]` or `[#T12 #T40]`, and which ids a sentence of them stands under."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from offpeak.emulator import text as reading

NAMES = frozenset(
    {"id", "ids", "item", "items", "source", "sources", "cite", "cites", "cited", "citation", "citations"}
    | {"reference", "references"}
)
"""Words of a property's name that ask for ids."""
MOST_IDS = 5
"""That are cited where the schema sets no limit of its own."""
FEWEST_SENTENCES, MOST_SENTENCES = 3, 5
"""So many statements are made of a marked text, as far as the schema allows and the text has sentences."""

BRIEF_WORDS = 12
ALIKE = 0.4
"""The share of their words that two sentences have in common when they say nearly the same."""

_MARK = re.compile(r"\[#[^\[\]\s]+(?: #[^\[\]\s]+)*\]")
_PART = re.compile(r"\(part \d+ of \d+\)\s*")


def marked(text: str) -> Mapping[str, tuple[str, ...]]:
    """By sentence, without its marks: the ids of the last mark before it, of every place that it stands at.

    Sentences before the first mark say what the texts are about and are left out. Empty without marks.
    """
    found: dict[str, dict[str, None]] = {}
    starts = list(_MARK.finditer(text))
    ends = [*(at.start() for at in starts[1:]), len(text)]
    for at, end in zip(starts, ends[: len(starts)], strict=True):
        told = text[at.end() : end]
        ids = at.group()[1:-1].replace("#", "").split()
        for sentence in reading.sentences(_PART.sub("", told)):
            found.setdefault(sentence, {}).update(dict.fromkeys(ids))
    return {sentence: tuple(ids) for sentence, ids in found.items()}


def asks_for_ids(name: str) -> bool:
    """Whether a property of this name holds ids."""
    return bool(NAMES & set(reading.name_words(name)))


def themes(text_of: Mapping[str, tuple[str, ...]], limit: int) -> list[tuple[str, tuple[str, ...]]]:
    """So many sentences that speak of different things, those first whose words are repeated most; each with the
    ids of all that say nearly the same."""
    left = {sentence: frozenset(reading.stems(sentence)) for sentence in text_of}
    frequency = Counter(word for found in left.values() for word in found)
    chosen: list[tuple[str, tuple[str, ...]]] = []
    while left and len(chosen) < limit:
        best = max(left, key=lambda one: sum(frequency[word] for word in left[one]) / (len(left[one]) + 2))
        near = [one for one, found in left.items() if one == best or _alike(found, left[best])]
        ids = dict.fromkeys(name for one in (best, *near) for name in text_of[one])
        chosen.append((best, tuple(ids)))
        left = {one: found for one, found in left.items() if one not in near}
    return chosen


def brief(text_of: Mapping[str, tuple[str, ...]]) -> str:
    """The first whole sentence of a few words among those that say most, "" when all are longer."""
    told = (sentence for sentence, _ in themes(text_of, MOST_SENTENCES))
    return next((sentence for sentence in told if 3 <= len(sentence.split()) <= BRIEF_WORDS), "")


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    both = len(one | other)
    return both > 0 and len(one & other) / both >= ALIKE
