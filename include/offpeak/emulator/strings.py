"""Fitting a string: an extract of the text, or a value of the format the schema names."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable

from offpeak.emulator import text as reading

DEFAULT_DATE = "2026-01-01"
SHORT_NAMES = frozenset(["title", "name", "headline", "subject", "topic", "keyword", "label", "tag"])
SHORT_WORDS = 8

_DATE = re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b")
_TIME = re.compile(r"\b([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URI = re.compile(r"https?://[^\s<>\"]+")


def string_fitter(name: str, about: str, least: int | None, most: int | None) -> Callable[[list[str]], str]:
    """Picks the sentence that shares most with the property's name, else the one that says most."""
    wanted = {reading.stem(word) for word in reading.name_words(name)} | set(reading.stems(about))
    short = bool(SHORT_NAMES & set(reading.name_words(name)))

    def extract(sentences: list[str]) -> str:
        found = _nearest(sentences, wanted)
        if short:
            found = " ".join(found.split()[:SHORT_WORDS])
        return _sized(found, least or 0, most)

    return extract


def _nearest(sentences: list[str], wanted: set[str]) -> str:
    if not sentences:
        return ""
    if len(sentences) == 1:
        return sentences[0]
    shared = [len(wanted.intersection(reading.stems(sentence))) for sentence in sentences]
    if any(shared):
        return sentences[shared.index(max(shared))]
    return reading.best_sentences(sentences, 1)[0]


def _sized(found: str, least: int, most: int | None) -> str:
    if most is not None and len(found) > most:
        cut = found[:most]
        # Ends at a word, unless that would leave next to nothing.
        found = cut.rsplit(" ", 1)[0] if " " in cut and cut.rindex(" ") >= max(most // 2, least) else cut
    return found.ljust(least, ".")


def format_fitter(kind: str) -> Callable[[str], str] | None:
    """A function that finds, or else makes, a value of this format; None for a format we do not know."""
    return _FORMATS.get(kind)


def _date(text: str) -> str:
    found = _DATE.search(text)
    return found.group(0) if found else DEFAULT_DATE


def _time(text: str) -> str:
    found = _TIME.search(text)
    return f"{found[1]}:{found[2]}:{found[3] or '00'}" if found else "00:00:00"


def _uuid(text: str) -> str:
    return str(
        uuid.UUID(bytes=hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
    )


_FORMATS: dict[str, Callable[[str], str]] = {
    "date": _date,
    "time": lambda text: _time(text) + "Z",
    "date-time": lambda text: f"{_date(text)}T{_time(text)}Z",
    "duration": lambda text: "P1D",
    "email": lambda text: (_EMAIL.findall(text) or ["nobody@example.com"])[0],
    "uri": lambda text: (_URI.findall(text) or ["https://example.com/"])[0],
    "hostname": lambda text: "example.com",
    "ipv4": lambda text: "192.0.2.1",
    "ipv6": lambda text: "2001:db8::1",
    "uuid": _uuid,
}
