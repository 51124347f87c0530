"""Choosing among labels: whose name, and description if one was given, fits a text best."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from offpeak.emulator import text as reading
from offpeak.emulator.synonyms import concepts

NAME_WEIGHT, DESCRIPTION_WEIGHT, GRAM_WEIGHT = 1.0, 0.6, 1.0
CONCEPT_WEIGHT = 1.0  # of a synonym, against the word itself
LENGTH_PENALTY = 0.5  # how much a label's own weight counts against it
OTHER = frozenset({"other", "others", "unknown", "none", "misc", "general", "neutral", "normal", "medium"})
OTHER_BONUS = 1e-6  # wins only when nothing else fits

_LABEL_LINE = re.compile(r"^[\s\-*•\"'`]*(?P<label>[^:=\n]{1,80}?)[\"'`]?\s*(?::|=|—|–| - )\s*(?P<about>.+)$")


class Labels:
    """A set of labels, compiled for many texts. The choice is the same for the same text and labels."""

    def __init__(self, names: Sequence[str], *, system: str = "", about: str = "") -> None:
        self.names = list(names)
        self._words, self._grams = _postings(self.names, descriptions(self.names, system + "\n" + about))
        self._fallback = [OTHER_BONUS if _is_other(name) else 0.0 for name in self.names]

    def choose(self, found: Counter[str]) -> str:
        """The best label for a text given as its counted stems; ties go to the earlier label."""
        scores = list(self._fallback)
        concept_counts: Counter[str] = Counter()
        for stem, times in found.items():
            for concept in concepts(stem):
                concept_counts[concept] += times
            if stem not in self._words:
                for gram in reading.grams(stem):
                    for index, weight in self._grams.get(gram, ()):
                        scores[index] += weight
        for concept, times in concept_counts.items():
            boost = 1.0 + math.log(times)
            for index, weight in self._words.get(concept, ()):
                scores[index] += weight * boost
        return self.names[max(range(len(scores)), key=scores.__getitem__)]


Postings = dict[str, list[tuple[int, float]]]


def _postings(names: list[str], about: dict[str, str]) -> tuple[Postings, Postings]:
    bags = [_bag(name, about.get(name, "")) for name in names]
    idf = _inverse_frequency([set(bag) for bag in bags])
    name_grams = [{gram for word in bag for gram in reading.grams(word)} for bag in bags]
    gram_idf = _inverse_frequency(name_grams)
    by_word: Postings = defaultdict(list)
    by_gram: Postings = defaultdict(list)
    for index, bag in enumerate(bags):
        length = math.sqrt(sum((weight * idf[word]) ** 2 for word, weight in bag.items())) or 1.0
        for word, weight in bag.items():
            by_word[word].append((index, weight * idf[word] / length**LENGTH_PENALTY))
        for gram in name_grams[index]:
            share = GRAM_WEIGHT * gram_idf[gram] / (1 + len(name_grams[index]))
            by_gram[gram].append((index, share))
    return dict(by_word), dict(by_gram)


def _bag(name: str, about: str) -> dict[str, float]:
    bag: dict[str, float] = {}
    for word in reading.stems(about):
        _put(bag, word, DESCRIPTION_WEIGHT)
    for part in reading.name_words(name):
        if part not in reading.STOP_WORDS:
            _put(bag, reading.stem(part), NAME_WEIGHT)
    return bag


def _put(bag: dict[str, float], word: str, weight: float) -> None:
    itself, *others = concepts(word)
    bag[itself] = max(weight, bag.get(itself, 0.0))
    for other in others:
        bag[other] = max(weight * CONCEPT_WEIGHT, bag.get(other, 0.0))


def _inverse_frequency(bags: list[set[str]]) -> dict[str, float]:
    seen = Counter(word for bag in bags for word in bag)
    return {word: math.log(1 + len(bags) / count) for word, count in seen.items()}


def descriptions(names: list[str], text: str) -> dict[str, str]:
    """What `label: description` lines in a text say about each label."""
    known = {name.lower(): name for name in names}
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LABEL_LINE.match(line)
        name = known.get(match["label"].strip().lower()) if match else None
        if match and name is not None:
            found[name] = (found.get(name, "") + " " + match["about"]).strip()
    return found


def _is_other(name: str) -> bool:
    return bool(OTHER & set(reading.name_words(name)))
